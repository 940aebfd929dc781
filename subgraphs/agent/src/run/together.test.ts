import { setBudget, subscribeToPlan } from "@sba/billing/index";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { beforeEach, describe, expect, it } from "vitest";
import { createAgent, publishAgentVersion } from "../agent/agent.ts";
import { tokenDelta } from "../events.ts";
import { driveRun, journalOf } from "../testing.ts";
import { cancelRun } from "./cancel.ts";
import { appendText } from "./commit.ts";
import { leaseDueRuns } from "./dispatch.ts";
import { getRun, startAndReadRun, startRun } from "./run.ts";
import { expectSoundRuns } from "./testing.ts";

const database = useDatabase();
const AT_ONCE = 8;
const AGENT = { name: "A", instructions: "Help.", model: "local", tools: [] };

let caller: Caller;
let agentKey: string;
beforeEach(async () => {
  caller = aCaller();
  agentKey = `a-${newId().slice(-12)}`;
  await createAgent(caller, { key: agentKey, ...AGENT });
  // What is decided from an earlier start: no quotas, no budgets, one version.
  await withTenant(caller, (tx) => subscribeToPlan(tx, caller, "enterprise"));
  await start();
});

const start = (idempotencyKey?: string): Promise<string> =>
  startRun(caller, { agentKey, prompt: "Who are you?", idempotencyKey });
const startMany = (): Promise<string[]> => Promise.all(Array.from({ length: AT_ONCE }, () => start()));

const transactionsOf = async (runIds: readonly string[]): Promise<number> => {
  const { rows } = await database().owner.query<{ n: number }>(
    "SELECT count(DISTINCT xmin::text)::int AS n FROM agent.message WHERE run_id = ANY($1) AND ordinal = 1",
    [runIds],
  );
  return rows[0]?.n ?? 0;
};

describe("starts of one moment", () => {
  it("are one transaction, each a whole run of its own", async () => {
    const runIds = await startMany();
    expect(new Set(runIds).size).toBe(AT_ONCE);
    expect(await transactionsOf(runIds)).toBe(1);
    const runs = await Promise.all(runIds.map((id) => driveRun(caller, id)));
    expect(runs.map(({ status }) => status)).toEqual(runIds.map(() => "COMPLETED"));
    expect(new Set(runs.map(({ threadId }) => threadId)).size).toBe(AT_ONCE);
    await expectSoundRuns(database(), caller);
  });

  it("give each its run as it was accepted, in the same round trip", async () => {
    const startAndRead = () => startAndReadRun(caller, { agentKey, prompt: "Who are you?" });
    const runs = await Promise.all(Array.from({ length: AT_ONCE }, startAndRead));
    expect(runs).toEqual(await Promise.all(runs.map(({ id }) => getRun(caller, id))));
    const { result, trips } = await countStatements(startAndRead);
    expect(result).toMatchObject({ status: "CREATED", lastSeq: 2 });
    expect(trips).toBe(1);
  });

  it("are pinned to the version that is current when they are committed", async () => {
    const { agentId } = await getRun(caller, await start());
    const { model, tools } = AGENT;
    const version = await publishAgentVersion(caller, { agentId, model, tools, instructions: "Help more." });
    const runs = await Promise.all((await startMany()).map((id) => getRun(caller, id)));
    expect(new Set(runs.map(({ agentVersionId }) => agentVersionId))).toEqual(new Set([version.id]));
  });

  it("are held to a budget that was set since", async () => {
    await setBudget(caller, { scope: "TENANT", period: "MONTH", limitMicros: 0n });
    await expect(start()).rejects.toMatchObject({ code: "BILLING_BUDGET_EXHAUSTED" });
  });

  it("are held to the quotas of a plan that was chosen since", async () => {
    await withTenant(caller, (tx) => subscribeToPlan(tx, caller, "free"));
    const run = await getRun(caller, await start());
    expect(run.slot).toBe("HELD");
  });

  it("with one key are one run, whoever comes first and however often", async () => {
    const runIds = await Promise.all(Array.from({ length: AT_ONCE }, () => start("one")));
    expect(new Set(runIds).size).toBe(1);
    expect(await start("one")).toBe(runIds[0]);
    await expect(startRun(caller, { agentKey, prompt: "Something else", idempotencyKey: "one" })).rejects.toMatchObject(
      { code: "IDEMPOTENCY_KEY_REUSED" },
    );
  });

  it("of two tenants are pinned to what each of them has", async () => {
    const other = aCaller();
    await createAgent(other, { key: agentKey, ...AGENT });
    const [mine, theirs] = await Promise.all([start(), startRun(other, { agentKey, prompt: "Who are you?" })]);
    expect((await getRun(caller, mine)).agentId).not.toBe((await getRun(other, theirs)).agentId);
    await expect(getRun(other, mine)).rejects.toMatchObject({ code: "AGENT_RUN_NOT_FOUND" });
  });
});

describe("what runs commit at one moment", () => {
  it("leaves out who lost its lease, and keeps the text of the others", async () => {
    const runIds = await startMany();
    await leaseDueRuns({ free: 100, most: 100, held: [] });
    const runs = await Promise.all(runIds.map((id) => getRun(caller, id)));
    const written = await Promise.allSettled(
      runs.map((run, index) =>
        appendText(
          index === 3 ? { ...run, fence: run.fence - 1 } : run,
          tokenDelta({ stepNumber: 1, index: 0, text: `text of ${run.id}` }),
        ),
      ),
    );
    expect(written.map(({ status }) => status)).toEqual(
      runs.map((_, index) => (index === 3 ? "rejected" : "fulfilled")),
    );
    expect(written[3]).toMatchObject({ reason: { code: "AGENT_RUN_LEASE_LOST" } });
    for (const [index, id] of runIds.entries()) {
      const texts = (await journalOf(caller, id)).filter(({ type }) => type === "agent.run.tokenDelta");
      expect(texts.map(({ payload }) => payload["text"])).toEqual(index === 3 ? [] : [`text of ${id}`]);
    }
  });

  it("decides one that was changed meanwhile anew, and ends all", async () => {
    const runIds = await startMany();
    const [first = "", ...others] = runIds;
    const [ended] = await Promise.all([
      Promise.all(runIds.map((id) => driveRun(caller, id))),
      // It may have ended before.
      cancelRun(caller, { runId: first }).catch(() => undefined),
    ]);
    expect(ended.slice(1).map(({ status }) => status)).toEqual(others.map(() => "COMPLETED"));
    expect(["CANCELLED", "COMPLETED"]).toContain((await driveRun(caller, first)).status);
    await expectSoundRuns(database(), caller);
  });
});
