import { subscribeToPlan } from "@sba/billing/index";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { aCaller } from "@sba/testkit/fixtures";
import { eventually } from "@sba/testkit/eventually";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { describe, expect, it } from "vitest";
import { createBuiltInAgents } from "../agent/agent.ts";
import { driveRun } from "../testing.ts";
import { letWaitingRunsIn } from "./admission.ts";
import { cancelRun } from "./cancel.ts";
import { getRun, listRuns, startRun, type StartRunInput } from "./run.ts";
import { wakeRun } from "./wake.ts";

const database = useDatabase();
useBlobs();

const full = { code: "BILLING_QUOTA_EXCEEDED", details: { quota: "CONCURRENT_RUNS", limit: "100" } };

async function aTenant(): Promise<Caller> {
  const caller = aCaller();
  await createBuiltInAgents(caller);
  return caller;
}

const start = (caller: Caller, input: Partial<StartRunInput> = {}) =>
  startRun(caller, { agentKey: "handbook", prompt: "What about leave?", ...input });

/** How many runs hold a slot, and how many wait. */
async function slots(caller: Caller): Promise<{ running: number; held: number; waiting: number }> {
  const { rows } = await database().owner.query<{ running: number; held: number; waiting: number }>(
    `SELECT running, (SELECT count(*)::int FROM billing.run_slot s WHERE s.tenant_id = u.tenant_id AND admitted_at IS NOT NULL) AS held,
            (SELECT count(*)::int FROM billing.run_slot s WHERE s.tenant_id = u.tenant_id AND admitted_at IS NULL) AS waiting
     FROM billing.quota_use u WHERE tenant_id = $1`,
    [caller.tenantId],
  );
  return rows[0]!;
}

/** The free plan lets 100 runs be under way: all of them are but those of this test. */
const othersRun = (caller: Caller, runs: number) =>
  database().owner.query("UPDATE billing.quota_use SET running = running + $2 WHERE tenant_id = $1", [
    caller.tenantId,
    runs,
  ]);
const queue = (caller: Caller) =>
  database().owner.query("INSERT INTO billing.quota_policy (tenant_id, when_full) VALUES ($1, 'QUEUE')", [
    caller.tenantId,
  ]);

describe("concurrent runs", () => {
  it("of 200 parallel starts at a quota of 100 exactly 100 are accepted", { timeout: 300_000 }, async () => {
    const caller = await aTenant();
    const starts = await Promise.allSettled(Array.from({ length: 200 }, () => start(caller)));
    const accepted = starts.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    expect(accepted).toHaveLength(100);
    for (const outcome of starts) if (outcome.status === "rejected") expect(outcome.reason).toMatchObject(full);
    expect(await slots(caller)).toEqual({ running: 100, held: 100, waiting: 0 });
    const { items } = await listRuns(caller, { first: 100 });
    expect(items.map(({ id }) => id).toSorted()).toEqual(accepted.toSorted());
  });

  it("are given back when they end, whichever way", async () => {
    const caller = await aTenant();
    const [completed, cancelled] = [await start(caller), await start(caller)];
    await othersRun(caller, 98);
    await expect(start(caller)).rejects.toMatchObject(full);
    await driveRun(caller, completed);
    await cancelRun(caller, { runId: cancelled });
    await driveRun(caller, cancelled);
    expect(await slots(caller)).toEqual({ running: 98, held: 0, waiting: 0 });
    await start(caller);
  });

  it("are not asked for by a start that repeats an earlier one", async () => {
    const caller = await aTenant();
    const runId = await start(caller, { idempotencyKey: "same" });
    await othersRun(caller, 99);
    expect(await start(caller, { idempotencyKey: "same" })).toBe(runId);
    await expect(start(caller, { idempotencyKey: "other" })).rejects.toMatchObject(full);
    expect(await slots(caller)).toMatchObject({ running: 100, held: 1 });
  });

  it("make a start wait where the tenant wants that, until another run ends", async () => {
    const caller = await aTenant();
    await queue(caller);
    const first = await start(caller);
    await othersRun(caller, 99);
    const [second, third] = [await start(caller), await start(caller)];
    expect(await getRun(caller, second)).toMatchObject({ status: "CREATED", slot: "WAITING", dueAt: null });
    // Whatever wakes it before its turn: it does nothing.
    await withTenant(caller, async (tx) => {
      wakeRun(tx, second);
      await tx.sql`SELECT 1`;
    });
    expect(await driveRun(caller, second)).toMatchObject({ status: "CREATED", dueAt: null, stepNumber: 0 });
    await driveRun(caller, first);
    await eventually(async () => (await getRun(caller, second)).slot === "HELD");
    expect(await getRun(caller, third)).toMatchObject({ slot: "WAITING", dueAt: null });
    expect(await driveRun(caller, second)).toMatchObject({ status: "COMPLETED" });
    await eventually(async () => (await getRun(caller, third)).slot === "HELD");
    expect(await slots(caller)).toEqual({ running: 100, held: 1, waiting: 0 });
  });

  it("are not held by a waiting run that is cancelled", async () => {
    const caller = await aTenant();
    await queue(caller);
    await start(caller);
    await othersRun(caller, 99);
    const waiting = await start(caller);
    expect(await slots(caller)).toEqual({ running: 100, held: 1, waiting: 1 });
    await cancelRun(caller, { runId: waiting });
    expect(await driveRun(caller, waiting)).toMatchObject({ status: "CANCELLED" });
    expect(await slots(caller)).toEqual({ running: 100, held: 1, waiting: 0 });
  });

  it("are found by the schedule when whoever should have let a run in died", async () => {
    const caller = await aTenant();
    await queue(caller);
    await start(caller);
    await othersRun(caller, 99);
    const [missed, admitted] = [await start(caller), await start(caller)];
    // One was let in by billing and its run not told; for the other there is room that nobody looked for.
    await database().owner.query("UPDATE billing.run_slot SET admitted_at = now() WHERE run_id = $1", [admitted]);
    await othersRun(caller, -1);
    expect(await letWaitingRunsIn()).toBeGreaterThanOrEqual(2);
    for (const runId of [missed, admitted])
      expect(await getRun(caller, runId)).toMatchObject({ slot: "HELD", dueAt: expect.any(Date) as unknown });
    expect(await letWaitingRunsIn()).toBe(0);
  });
});

describe("a tenant without quotas and budgets", () => {
  it("pays one look at a start, and nothing after it", async () => {
    const caller = await aTenant();
    await withTenant(caller, (tx) => subscribeToPlan(tx, caller, "enterprise"));
    const { statements } = await countStatements(async () => driveRun(caller, await start(caller)));
    const asked = statements.filter((text) => /billing\.(?!usage_record)/.test(text));
    expect(asked).toEqual([expect.stringContaining("billing.plan_subscription")]);
  });
});
