import { setBudget } from "@sba/billing/index";
import { givenCollection } from "@sba/knowledge/testing";
import type { Caller } from "@sba/platform/caller";
import { logger } from "@sba/platform/log";
import { aCaller } from "@sba/testkit/fixtures";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { describe, expect, it } from "vitest";
import { createBuiltInAgents } from "../agent/agent.ts";
import { driveRun, journalOf } from "../testing.ts";
import { advanceRun } from "./advance.ts";
import { leaseDueRuns } from "./dispatch.ts";
import { cancelRun } from "./cancel.ts";
import { continueRun, getRun, listRuns, startRun } from "./run.ts";

const database = useDatabase();
useBlobs();

const HANDBOOK = [{ title: "Leave", text: "Employees receive twenty five days of annual leave." }];
const exhausted = { code: "BILLING_BUDGET_EXHAUSTED" };

async function aTenant(): Promise<Caller> {
  const caller = aCaller();
  await createBuiltInAgents(caller);
  await givenCollection(caller, HANDBOOK);
  return caller;
}

/** The tenant's and the handbook agent's, for the month; the same limit for both. */
async function limit(caller: Caller, limitMicros: bigint): Promise<void> {
  await setBudget(caller, { scope: "TENANT", period: "MONTH", limitMicros });
  await setBudget(caller, { scope: "AGENT", scopeId: "handbook", period: "MONTH", limitMicros });
}

const PROMPT = "How many days of annual leave do employees receive?";
const start = (caller: Caller, prompt = PROMPT) => startRun(caller, { agentKey: "handbook", prompt });

interface Books {
  readonly reserved: string;
  readonly spent: string;
  /** Rows of slices that runs hold. */
  readonly slices: number;
}

/** Of every budget of the tenant: they must be the same. */
async function books(caller: Caller): Promise<Books> {
  const { rows } = await database().owner.query<Books>(
    `SELECT DISTINCT p.reserved_micros::text AS reserved, p.spent_micros::text AS spent,
            (SELECT count(*)::int FROM billing.slice s WHERE s.tenant_id = p.tenant_id) AS slices
     FROM billing.budget_period p WHERE p.tenant_id = $1`,
    [caller.tenantId],
  );
  expect(rows).toHaveLength(1);
  return rows[0]!;
}

/** What the ledger has of these runs, in micros; what readers were told and what the runs count is the same. */
async function costOf(caller: Caller, ...runIds: string[]): Promise<bigint> {
  let total = 0n;
  for (const runId of runIds) {
    const { rows } = await database().owner.query<{ micros: string }>(
      "SELECT sum(amount_micros)::text AS micros FROM billing.usage_record WHERE run_id = $1",
      [runId],
    );
    const told = (await journalOf(caller, runId))
      .filter(({ type }) => type === "agent.run.usageRecorded")
      .flatMap(({ payload }) => payload["usage"] as { cost: { amountMicros: string } }[])
      .reduce((sum, { cost }) => sum + BigInt(cost.amountMicros), 0n);
    expect(told).toBe(BigInt(rows[0]!.micros));
    expect((await getRun(caller, runId)).spentMicros).toBe(told);
    total += told;
  }
  return total;
}

describe("a run under budgets", () => {
  it("spends of all of them exactly what it costs, and returns the rest", async () => {
    const caller = await aTenant();
    await limit(caller, 1_000_000n);
    const runId = await start(caller);
    expect(await books(caller)).toMatchObject({ slices: 2, spent: "0" });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await books(caller)).toEqual({ reserved: "0", spent: String(await costOf(caller, runId)), slices: 0 });
  });

  it("takes its slice once, with its start, and waits for no row of others until its end", async () => {
    const caller = await aTenant();
    await limit(caller, 1_000_000n);
    const { statements } = await countStatements(async () => driveRun(caller, await start(caller)));
    const touched = statements.filter((text) => /(FROM|UPDATE) billing\.budget_period/.test(text));
    // The locks and changes of the start's reservation, and of the end's return.
    expect(touched.filter((text) => text.includes("granted AS"))).toHaveLength(1);
    expect(touched).toHaveLength(5);
  });

  it("is refused, and leaves nothing behind, when not even its first word can be paid for", async () => {
    const caller = await aTenant();
    await limit(caller, 1_000n);
    await expect(start(caller)).rejects.toMatchObject(exhausted);
    expect((await listRuns(caller, { first: 10 })).items).toEqual([]);
    await limit(caller, 1_000_000n);
    await driveRun(caller, await start(caller));
  });

  it("ends FAILED, keeping what it has, before it spends a micro too much, wherever that is", async () => {
    const outcomes = new Set<string | null>();
    for (const micros of [1_003n, 1_100n, 1_200n, 1_500n, 1_560n, 1_600n, 1_650n, 1_700n, 1_800n, 2_300n, 9_999n]) {
      const caller = await aTenant();
      await limit(caller, micros);
      const run = await driveRun(caller, await start(caller));
      expect(await books(caller)).toEqual({ reserved: "0", spent: String(run.spentMicros), slices: 0 });
      expect(run.spentMicros, String(micros)).toBeLessThanOrEqual(micros);
      expect(await costOf(caller, run.id)).toBe(run.spentMicros);
      const journal = await journalOf(caller, run.id);
      if (run.status === "FAILED") {
        expect(journal.at(-1)).toMatchObject({ type: "agent.run.failed", payload: { output: run.output } });
        expect(journal.some(({ type }) => type === "agent.run.stepStarted")).toBe(true);
      }
      outcomes.add(run.errorCode);
    }
    expect(outcomes).toEqual(new Set(["BILLING_BUDGET_EXHAUSTED", null]));
  });

  it("shares them with others at the same time without a micro above the limit", async () => {
    const caller = await aTenant();
    await limit(caller, 7_000n);
    const ends = await Promise.allSettled(Array.from({ length: 8 }, async () => driveRun(caller, await start(caller))));
    const runs = ends.flatMap((end) => (end.status === "fulfilled" ? [end.value] : []));
    for (const end of ends) if (end.status === "rejected") expect(end.reason).toMatchObject(exhausted);
    expect(runs.length).toBeGreaterThan(1);
    for (const { status, errorCode } of runs)
      expect([status, errorCode]).toSatisfy(
        ([, code]: unknown[]) => status === "COMPLETED" || code === "BILLING_BUDGET_EXHAUSTED",
      );
    const { reserved, spent, slices } = await books(caller);
    expect({ reserved, slices }).toEqual({ reserved: "0", slices: 0 });
    expect(BigInt(spent)).toBeLessThanOrEqual(7_000n);
    expect(BigInt(spent)).toBe(await costOf(caller, ...runs.map(({ id }) => id)));
  });

  it("holds nothing while it waits for a person, and takes anew when it goes on", async () => {
    const caller = await aTenant();
    await limit(caller, 1_000_000n);
    const runId = await startRun(caller, { agentKey: "handbook", prompt: "?!" });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_INPUT" });
    expect(await books(caller)).toEqual({ reserved: "0", spent: String(await costOf(caller, runId)), slices: 0 });
    await continueRun(caller, { runId, input: "How many days of annual leave are there?" });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await books(caller)).toEqual({ reserved: "0", spent: String(await costOf(caller, runId)), slices: 0 });
  });

  it("is reached by a budget that is set while it is under way", async () => {
    const caller = await aTenant();
    const [stopped, goesOn] = [await start(caller), await start(caller)];
    await database().owner.query("UPDATE agent.run SET created_at = created_at - interval '10 seconds'");
    await limit(caller, 2_500n);
    const first = await driveRun(caller, goesOn);
    expect(first).toMatchObject({ status: "FAILED", errorCode: "BILLING_BUDGET_EXHAUSTED" });
    await limit(caller, 1_000_000n);
    expect(await driveRun(caller, stopped)).toMatchObject({ status: "COMPLETED" });
    // What both had used before it was set is counted, too.
    expect(await books(caller)).toEqual({
      reserved: "0",
      spent: String(await costOf(caller, stopped, goesOn)),
      slices: 0,
    });
  });

  it("stops when the limit is lowered, after what it had reserved", async () => {
    const caller = await aTenant();
    await limit(caller, 1_000_000n);
    // So long that its second turn needs more than its start reserved.
    const runId = await start(caller, `${PROMPT} ${"Please. ".repeat(3_000)}`);
    await limit(caller, 0n);
    const run = await driveRun(caller, runId);
    expect(run).toMatchObject({ status: "FAILED", errorCode: "BILLING_BUDGET_EXHAUSTED" });
    expect(run.spentMicros).toBeGreaterThan(1_000n); // its first turn was paid for
    expect(await books(caller)).toEqual({ reserved: "0", spent: String(await costOf(caller, runId)), slices: 0 });
  });

  it("gives back what it holds when it is cancelled, when its worker died, and when it is given up", async () => {
    const caller = await aTenant();
    await limit(caller, 1_000_000n);
    const [cancelled, interrupted, poisoned] = [await start(caller), await start(caller), await start(caller)];
    await cancelRun(caller, { runId: cancelled });
    expect(await driveRun(caller, cancelled)).toMatchObject({ status: "CANCELLED" });
    const draining = new AbortController();
    draining.abort();
    await advanceRun(caller, { runId: interrupted }, { signal: draining.signal, log: logger });
    expect(await driveRun(caller, interrupted)).toMatchObject({ status: "COMPLETED" });
    await database().owner.query("UPDATE agent.run SET takeovers = 100 WHERE id = $1", [poisoned]);
    await leaseDueRuns({ free: 100, most: 100, held: [] });
    expect(await getRun(caller, poisoned)).toMatchObject({ status: "FAILED" });
    expect(await books(caller)).toEqual({
      reserved: "0",
      spent: String(await costOf(caller, cancelled, interrupted, poisoned)),
      slices: 0,
    });
  });
});
