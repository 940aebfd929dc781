import type { Caller } from "@sba/platform/caller";
import { encodeId } from "@sba/platform/ids";
import { givenCollection } from "@sba/knowledge/testing";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { execute, expectData, expectRefusal } from "@sba/testkit/graphql";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { createAgent, createBuiltInAgents, publishAgentVersion } from "../agent/agent.ts";
import { schema } from "../schema.ts";
import { driveRun, journalOf } from "../testing.ts";
import { listDeadLetters, replayDeadLetter } from "./dead-letter.ts";
import { leaseDueRuns } from "./dispatch.ts";
import { cancelRun } from "./cancel.ts";
import { getRun, startRun } from "./run.ts";
import { dieAtStep } from "./testing.ts";

const database = useDatabase();
useBlobs();

const PROMPT = "What about annual leave?";

async function aTenant(): Promise<Caller> {
  const caller = aCaller();
  await createBuiltInAgents(caller);
  await givenCollection(caller, [{ title: "Leave", text: "Employees receive twenty five days of annual leave." }]);
  return caller;
}

/** Every worker that takes the run dies in its first step, until it is given up. */
async function giveUp(caller: Caller, runId: string): Promise<void> {
  while ((await getRun(caller, runId)).endedAt === null) await dieAtStep(database(), caller, runId);
}

async function aDeadRun(caller: Caller, input: Partial<Parameters<typeof startRun>[1]> = {}): Promise<string> {
  const runId = await startRun(caller, { agentKey: "handbook", prompt: PROMPT, ...input });
  await giveUp(caller, runId);
  return runId;
}

const first = { first: 10 };

describe("a run that was given up", () => {
  it("is listed with why, how often it was tried and when it failed", async () => {
    const caller = await aTenant();
    const runIds = [await aDeadRun(caller), await aDeadRun(caller)];
    const { items } = await listDeadLetters(caller, first);
    expect(items.map(({ runId }) => runId)).toEqual(runIds.toReversed());
    const run = await getRun(caller, runIds[1]!);
    expect(run).toMatchObject({ status: "FAILED", errorCode: "AGENT_RUN_ATTEMPTS_EXHAUSTED" });
    expect(items[0]).toMatchObject({
      reason: "WORKER_LOST",
      attempts: 5,
      failedAt: run.endedAt,
      replayedAt: null,
      replacedBy: null,
    });
  });

  it("is listed when no worker could begin a step, and goes on when it is replayed without its broken part", async () => {
    const caller = await aTenant();
    const runId = await startRun(caller, { agentKey: "handbook", prompt: PROMPT });
    // Nothing of its history can be read; it was leased ten times, and the next look gives it up.
    await database().owner.query("UPDATE agent.message SET tool_calls = '7' WHERE run_id = $1", [runId]);
    await database().owner.query("UPDATE agent.run SET takeovers = 10, error_code = 'INTERNAL' WHERE id = $1", [runId]);
    await leaseDueRuns({ free: 8, most: 8, held: [] });
    expect((await listDeadLetters(caller, first)).items).toMatchObject([{ runId, reason: "INTERNAL", attempts: 10 }]);
    const replayed = await replayDeadLetter(caller, { runId });
    expect(await driveRun(caller, replayed)).toMatchObject({ status: "COMPLETED" });
  });

  it("is replayed as a new run of the same input and version in its thread, and itself stays as it ended", async () => {
    const caller = await aTenant();
    const version = { instructions: "Look it up.", model: "default", tools: ["knowledge.search"] };
    const agent = await createAgent(caller, { key: "librarian", name: "Librarian", ...version });
    const options = { maxSteps: 7, topK: 3 };
    const failedId = await aDeadRun(caller, { agentKey: "librarian", options });
    await publishAgentVersion(caller, { agentId: agent.id, ...version, instructions: "Guess." });
    const [failed, journal] = [await getRun(caller, failedId), await journalOf(caller, failedId)];

    const replayedId = await replayDeadLetter(caller, { runId: failedId });
    const replayed = await getRun(caller, replayedId);
    const { threadId, agentVersionId, prompt } = failed;
    expect(replayed).toMatchObject({ threadId, agentVersionId, prompt, options, status: "CREATED" });
    expect(await driveRun(caller, replayedId)).toMatchObject({ status: "COMPLETED" });

    expect(await journalOf(caller, failedId)).toEqual(journal);
    expect(await getRun(caller, failedId)).toEqual({ ...failed, replacedBy: replayedId });
    const [letter] = (await listDeadLetters(caller, first)).items;
    expect(letter).toMatchObject({ replacedBy: replayedId, replayedBy: caller.principalId });
    const { rows } = await database().owner.query(
      "SELECT principal_id, target, details FROM platform.audit_entry WHERE tenant_id = $1 AND action = 'agent.deadLetter.replayed'",
      [caller.tenantId],
    );
    expect(rows).toEqual([
      {
        principal_id: caller.principalId,
        target: encodeId("Run", failedId),
        details: { replayedAs: encodeId("Run", replayedId) },
      },
    ]);
  });

  it("gives its place in the thread to its replay: what follows is not shown the failed attempt", async () => {
    const caller = await aTenant();
    const failed = await aDeadRun(caller, { prompt: "Remember that the code is 4711." });
    const replayed = await replayDeadLetter(caller, { runId: failed });
    await driveRun(caller, replayed);
    const { threadId } = await getRun(caller, failed);
    const { readHistory } = await import("../thread/message.ts");
    const { withTenant } = await import("@sba/platform/db");
    const next = await startRun(caller, { agentKey: "handbook", prompt: "And?", threadId });
    const history = await withTenant(caller, (tx) => readHistory(tx, { id: next, threadId }));
    expect(history.map(({ runId }) => runId)).not.toContain(failed);
    expect(history.filter(({ text }) => text.includes("4711") && text.startsWith("Remember"))).toHaveLength(1);
  });

  it("is not one that was cancelled, or failed for another reason", async () => {
    const caller = await aTenant();
    const cancelled = await startRun(caller, { agentKey: "handbook", prompt: PROMPT });
    await cancelRun(caller, { runId: cancelled });
    await driveRun(caller, cancelled);
    const failed = await startRun(caller, { agentKey: "handbook", prompt: PROMPT, options: { maxSteps: 1 } });
    expect(await driveRun(caller, failed)).toMatchObject({ status: "FAILED" });
    expect((await listDeadLetters(caller, first)).items).toEqual([]);
    for (const runId of [cancelled, failed]) {
      await expect(replayDeadLetter(caller, { runId })).rejects.toMatchObject({ code: "AGENT_DEAD_LETTER_NOT_FOUND" });
    }
  });

  it("is replayed once, whoever asks at the same moment", async () => {
    const caller = await aTenant();
    for (let trial = 0; trial < 10; trial++) {
      const runId = await aDeadRun(caller);
      const colleagues = [caller, aColleagueOf(caller), aColleagueOf(caller)];
      const outcomes = await Promise.allSettled(colleagues.map((each) => replayDeadLetter(each, { runId })));
      const started = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
      expect(started).toHaveLength(1);
      for (const outcome of outcomes) {
        if (outcome.status === "rejected")
          expect(outcome.reason).toMatchObject({
            code: "AGENT_DEAD_LETTER_REPLAYED",
            details: { replayedAs: encodeId("Run", started[0]!) },
          });
      }
      expect(await getRun(caller, runId)).toMatchObject({ replacedBy: started[0] });
    }
  });

  it("is the same replay for the same idempotency key", async () => {
    const caller = await aTenant();
    const [runId, other] = [await aDeadRun(caller), await aDeadRun(caller)];
    const input = { runId, idempotencyKey: "again" };
    const ids = await Promise.all([1, 2, 3].map(() => replayDeadLetter(caller, input)));
    expect(new Set([...ids, await replayDeadLetter(caller, input)]).size).toBe(1);
    await expect(replayDeadLetter(caller, { ...input, runId: other })).rejects.toMatchObject({
      code: "IDEMPOTENCY_KEY_REUSED",
    });
  });

  it("acts for who replays it, with no permission that it did not have itself", async () => {
    const caller = await aTenant();
    const starter = aColleagueOf(caller, ["run:start", "knowledge:read"]);
    const runId = await aDeadRun(starter);
    const operator = aColleagueOf(caller, ["run:operate", "knowledge:read", "task:create"]);
    const replayed = await getRun(caller, await replayDeadLetter(operator, { runId }));
    expect(replayed).toMatchObject({ startedBy: operator.principalId, permissions: ["knowledge:read"] });
  });

  it("waits for its thread while another run is under way in it", async () => {
    const caller = await aTenant();
    const runId = await aDeadRun(caller);
    const { threadId } = await getRun(caller, runId);
    const busy = await startRun(caller, { agentKey: "handbook", prompt: PROMPT, threadId });
    await expect(replayDeadLetter(caller, { runId })).rejects.toMatchObject({ code: "AGENT_THREAD_BUSY" });
    await driveRun(caller, busy);
    expect(await driveRun(caller, await replayDeadLetter(caller, { runId }))).toMatchObject({ status: "COMPLETED" });
  });

  it("is nobody's but an operator's of its tenant", async () => {
    const caller = await aTenant();
    const runId = await aDeadRun(caller);
    const other = await aTenant();
    expect((await listDeadLetters(other, first)).items).toEqual([]);
    await expect(replayDeadLetter(other, { runId })).rejects.toMatchObject({ code: "AGENT_DEAD_LETTER_NOT_FOUND" });
    const reader = aColleagueOf(caller, ["run:read", "run:start"]);
    await expect(listDeadLetters(reader, first)).rejects.toMatchObject({ code: "PERMISSION_MISSING" });
    await expect(replayDeadLetter(reader, { runId })).rejects.toMatchObject({ code: "PERMISSION_MISSING" });
  });
});

describe("dead letters as they are shown", () => {
  const LETTERS = `query Letters($after: String, $isReplayed: Boolean) { deadLetters(first: 1, after: $after, isReplayed: $isReplayed) {
    edges { node { id reason attempts failedAt replayedAt replayedBy { id } run { id status error { code } } replayedAs { id } } }
    pageInfo { hasNextPage endCursor } } }`;
  const REPLAY = `mutation Replay($runId: ID!, $key: String) { replayDeadLetter(input: { runId: $runId, idempotencyKey: $key }) { id status } }`;

  it("page, name the run and its replay, and can be narrowed to those that wait", async () => {
    const caller = await aTenant();
    const [older, newer] = [await aDeadRun(caller), await aDeadRun(caller)];
    const { replayDeadLetter: replay } = await expectData(schema, caller, REPLAY, {
      runId: encodeId("Run", newer),
      key: "k",
    });
    expect(replay).toMatchObject({ status: "CREATED" });
    const page = await expectData(schema, caller, LETTERS);
    expect(page.deadLetters).toMatchObject({
      edges: [
        {
          node: {
            reason: "WORKER_LOST",
            attempts: 5,
            run: { id: encodeId("Run", newer), status: "FAILED", error: { code: "AGENT_RUN_ATTEMPTS_EXHAUSTED" } },
            replayedAs: { id: replay.id },
            replayedBy: { id: encodeId("Principal", caller.principalId) },
          },
        },
      ],
      pageInfo: { hasNextPage: true },
    });
    const next = await expectData(schema, caller, LETTERS, { after: page.deadLetters.pageInfo.endCursor });
    expect(next.deadLetters.edges[0].node).toMatchObject({ run: { id: encodeId("Run", older) }, replayedAs: null });
    const waiting = await expectData(schema, caller, LETTERS, { isReplayed: false });
    expect(waiting.deadLetters.edges).toEqual(next.deadLetters.edges);
    expect(await expectRefusal(schema, caller, REPLAY, { runId: encodeId("Run", newer) })).toMatchObject({
      code: "CONFLICT",
      reason: "AGENT_DEAD_LETTER_REPLAYED",
    });
  });

  it("are for operators", async () => {
    const reader = aColleagueOf(aCaller(), ["run:read"]);
    expect(await expectRefusal(schema, reader, LETTERS)).toMatchObject({ code: "FORBIDDEN" });
    const runId = "run_00000000000000000000000000";
    expect(await expectRefusal(schema, reader, REPLAY, { runId })).toMatchObject({ code: "FORBIDDEN" });
    expect((await execute(schema, undefined, LETTERS)).errors).toHaveLength(1);
  });
});
