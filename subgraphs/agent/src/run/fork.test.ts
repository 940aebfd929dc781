import { givenCollection } from "@sba/knowledge/testing";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { encodeId } from "@sba/platform/ids";
import type { Message } from "@sba/platform/generated/prisma/client";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { createAgent, publishAgentVersion } from "../agent/agent.ts";
import { decideApproval } from "../approval/decide.ts";
import { schema } from "../schema.ts";
import { driveRun, journalOf } from "../testing.ts";
import { readHistory, type MessageToolCall } from "../thread/message.ts";
import { forkRun } from "./fork.ts";
import { continueRun, getRun, listRuns, startRun } from "./run.ts";

const database = useDatabase();
useBlobs();

const PROMPT = "How many days of annual leave do employees receive?";

async function aTenant() {
  const caller = aCaller();
  await givenCollection(caller, [
    { title: "Leave", text: "Employees receive twenty five days of annual leave. Leave is requested two weeks ahead." },
    { title: "Expenses", text: "Expenses are refunded within ten days. Receipts must be kept for seven years." },
  ]);
  const shared = { model: "local", name: "A", instructions: "Look it up." };
  await createAgent(caller, { ...shared, key: "reader", tools: ["knowledge.search", "document.render"] });
  await createAgent(caller, { ...shared, key: "clerk", tools: ["knowledge.search", "task.create"] });
  return caller;
}

const start = async (caller: Caller, prompt = PROMPT, agentKey = "reader") =>
  (await driveRun(caller, await startRun(caller, { agentKey, prompt }))).id;

const messagesOf = (caller: Caller, runId: string): Promise<Message[]> =>
  withTenant(caller, (tx) => tx.sql<Message>`SELECT * FROM agent.message WHERE run_id = ${runId} ORDER BY ordinal`);

/** What a message says, whatever its place and the ids of calls. */
const said = ({ role, text, toolCalls }: Message) => ({
  role,
  text,
  calls: ((toolCalls ?? []) as unknown as MessageToolCall[]).map(({ name, params }) => ({ name, params })),
});

async function effectsOf(runId: string) {
  const { rows } = await database().owner.query<{ calls: number; artifacts: number; tasks: number }>(
    `SELECT (SELECT count(*)::int FROM integrations.tool_call WHERE run_id = $1) AS calls,
            (SELECT count(*)::int FROM agent.artifact WHERE run_id = $1) AS artifacts,
            (SELECT count(*)::int FROM agent.task WHERE run_id = $1) AS tasks`,
    [runId],
  );
  return rows[0]!;
}

async function seqOf(caller: Caller, runId: string, type: string, nth = 0): Promise<number> {
  const found = (await journalOf(caller, runId)).filter((event) => event.type === `agent.run.${type}`);
  return found.at(nth)!.seq;
}

async function approveWhatWaits(caller: Caller, runId: string): Promise<void> {
  const { rows } = await database().owner.query<{ id: string; fingerprint: string; version: number }>(
    "SELECT id, fingerprint, version FROM agent.approval WHERE run_id = $1 AND status = 'PENDING'",
    [runId],
  );
  for (const { id: approvalId, fingerprint, version: expectedVersion } of rows) {
    const decision = { approvalId, fingerprint, expectedVersion, decision: "APPROVED" } as const;
    await decideApproval(aColleagueOf(caller), decision);
  }
}

describe("a fork", () => {
  it("goes on from any event with what was recorded by then, and repeats no effect", async () => {
    const caller = await aTenant();
    const runId = await start(caller);
    const [original, journal, recorded] = [
      await getRun(caller, runId),
      await journalOf(caller, runId),
      await messagesOf(caller, runId),
    ];
    expect(journal.length).toBeGreaterThan(12);
    // The passages were looked up before this event, the document was written before that one.
    const [searched, rendered] = [
      await seqOf(caller, runId, "stepFinished", 1),
      await seqOf(caller, runId, "artifactCreated"),
    ];
    for (const { seq } of journal) {
      const known = recorded.filter((message) => message.seq <= seq);
      const forkId = await forkRun(caller, { runId, fromSeq: seq });
      expect((await messagesOf(caller, forkId)).map(said), `at ${seq}`).toEqual(known.map(said));
      expect(await effectsOf(forkId)).toEqual({ calls: 0, artifacts: 0, tasks: 0 });
      const fork = await driveRun(caller, forkId);
      expect(fork, `at ${seq}`).toMatchObject({ status: "COMPLETED", output: original.output });
      // A commit's events are all of it: what was committed with the event is known, whatever its place in the commit.
      const hasSearched = known.some(({ role }) => role === "tool");
      const hasRendered = known.filter(({ role }) => role === "tool").length === 2;
      expect(await effectsOf(forkId), `at ${seq}`).toEqual({
        calls: (hasSearched ? 0 : 1) + (hasRendered ? 0 : 1),
        artifacts: hasRendered ? 0 : 1,
        tasks: 0,
      });
      if (seq >= searched) expect(hasSearched).toBe(true);
      if (seq >= rendered) expect(hasRendered).toBe(true);
    }
    expect(await getRun(caller, runId)).toEqual(original);
    expect(await journalOf(caller, runId)).toEqual(journal);
  });

  it("knows nothing of what came after its event", async () => {
    const caller = await aTenant();
    const runId = await start(caller);
    const firstTurn = await seqOf(caller, runId, "stepFinished");
    const before = await seqOf(caller, runId, "stepStarted");
    const texts = async (fromSeq: number) =>
      (await messagesOf(caller, await forkRun(caller, { runId, fromSeq }))).map(({ role }) => role);
    expect(await texts(1)).toEqual(["user"]);
    expect(await texts(before)).toEqual(["user"]);
    expect(await texts(firstTurn)).toEqual(["user", "assistant"]);
  });

  it("cites the passages that it was told of, as if it had looked them up", async () => {
    const caller = await aTenant();
    const runId = await start(caller);
    const fork = await driveRun(
      caller,
      await forkRun(caller, { runId, fromSeq: await seqOf(caller, runId, "stepFinished", 1) }),
    );
    const quotes = async (id: string) =>
      (
        await database().owner.query<{ quote: string }>(
          "SELECT quote FROM agent.citation WHERE run_id = $1 ORDER BY ordinal",
          [id],
        )
      ).rows;
    expect(await quotes(fork.id)).not.toEqual([]);
    expect(await quotes(fork.id)).toEqual(await quotes(runId));
  });

  it("is another run in another thread: of who forked it, with its own events, steps and usage", async () => {
    const caller = await aTenant();
    const runId = await start(caller);
    const colleague = aColleagueOf(caller);
    const forkId = await forkRun(colleague, { runId, fromSeq: 3 });
    const [original, fork] = [await getRun(caller, runId), await driveRun(caller, forkId)];
    expect(fork).toMatchObject({
      forkedFromRunId: runId,
      forkedFromSeq: 3,
      startedBy: colleague.principalId,
      agentVersionId: original.agentVersionId,
      prompt: original.prompt,
    });
    expect(fork.threadId).not.toBe(original.threadId);
    const journal = await journalOf(caller, forkId);
    expect(journal.map(({ seq }) => seq)).toEqual(journal.map((_, index) => index + 1));
    expect(journal[0]).toMatchObject({ payload: { from: null, to: "CREATED" } });
    const { rows } = await database().owner.query(
      "SELECT sum(amount_micros)::int AS micros FROM billing.usage_record WHERE run_id = $1",
      [forkId],
    );
    expect(rows).toEqual([{ micros: Number(fork.spentMicros) }]);
  });

  it("says something else in place of the last words, or after everything, and drops calls that were open", async () => {
    const caller = await aTenant();
    const runId = await start(caller);
    const instead = await forkRun(caller, { runId, fromSeq: 1, prompt: "When are expenses refunded?" });
    expect((await messagesOf(caller, instead)).map(({ text }) => text)).toEqual(["When are expenses refunded?"]);
    const run = await driveRun(caller, instead);
    expect(run).toMatchObject({ status: "COMPLETED", prompt: "When are expenses refunded?" });
    expect(run.output).toContain("within ten days");

    const asked = await seqOf(caller, runId, "toolRequested");
    const dropped = await forkRun(caller, { runId, fromSeq: asked, prompt: "When are expenses refunded?" });
    expect((await messagesOf(caller, dropped)).map(said)).toEqual([
      { role: "user", text: PROMPT, calls: [] },
      { role: "assistant", text: "", calls: [] },
      { role: "user", text: "When are expenses refunded?", calls: [] },
    ]);
    expect((await driveRun(caller, dropped)).output).toContain("within ten days");

    const { lastSeq } = await getRun(caller, runId);
    const after = await forkRun(caller, { runId, fromSeq: lastSeq, prompt: "When are expenses refunded?" });
    expect(await driveRun(caller, after)).toMatchObject({ status: "COMPLETED" });
    expect((await messagesOf(caller, after)).filter(({ role }) => role === "user").map(({ text }) => text)).toEqual([
      PROMPT,
      "When are expenses refunded?",
    ]);
  });

  it("goes on with another version of the agent, and makes only calls that this one may make", async () => {
    const caller = await aTenant();
    const runId = await start(caller);
    const { agentId } = await getRun(caller, runId);
    const version = { agentId, instructions: "Answer from memory.", model: "local", tools: [] };
    const { number } = await publishAgentVersion(caller, version);
    const asked = await seqOf(caller, runId, "toolRequested");
    const fork = await driveRun(caller, await forkRun(caller, { runId, fromSeq: asked, agentVersion: number }));
    expect(fork.status).toBe("COMPLETED");
    expect(await effectsOf(fork.id)).toMatchObject({ calls: 0, artifacts: 0 });
    expect((await messagesOf(caller, fork.id)).map(({ text }) => text).join()).toContain("AGENT_TOOL_NOT_ALLOWED");
    await expect(forkRun(caller, { runId, fromSeq: 1, agentVersion: 9 })).rejects.toMatchObject({
      code: "AGENT_AGENT_VERSION_NOT_FOUND",
    });
    const same = await getRun(caller, await forkRun(caller, { runId, fromSeq: 1 }));
    expect(same.agentVersionId).not.toBe(fork.agentVersionId);
  });

  it("asks people again for what it is about to do itself, and never for what was done", async () => {
    const caller = await aTenant();
    const runId = await startRun(caller, { agentKey: "clerk", prompt: "Create a task to call Ada" });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL" });
    const waiting = await getRun(caller, runId);
    await approveWhatWaits(caller, runId);
    await driveRun(caller, runId);
    expect(await effectsOf(runId)).toMatchObject({ tasks: 1 });

    const before = await forkRun(caller, { runId, fromSeq: waiting.lastSeq });
    expect(await driveRun(caller, before)).toMatchObject({ status: "AWAITING_APPROVAL" });
    expect(await effectsOf(before)).toMatchObject({ tasks: 0 });
    await approveWhatWaits(caller, before);
    expect(await driveRun(caller, before)).toMatchObject({ status: "COMPLETED" });
    expect(await effectsOf(before)).toEqual({ calls: 1, artifacts: 0, tasks: 1 });

    const done = await seqOf(caller, runId, "toolResulted");
    const after = await driveRun(caller, await forkRun(caller, { runId, fromSeq: done }));
    expect(after).toMatchObject({ status: "COMPLETED" });
    expect(await effectsOf(after.id)).toEqual({ calls: 0, artifacts: 0, tasks: 0 });
  });

  it("waits for the person where the run did", async () => {
    const caller = await aTenant();
    const runId = await start(caller, "?!");
    const { lastSeq } = await getRun(caller, runId);
    await continueRun(caller, { runId, input: PROMPT });
    await driveRun(caller, runId);
    const forkId = await forkRun(caller, { runId, fromSeq: lastSeq });
    expect(await driveRun(caller, forkId)).toMatchObject({ status: "AWAITING_INPUT" });
    const answered = await forkRun(caller, { runId, fromSeq: lastSeq + 1 });
    expect(await driveRun(caller, answered)).toMatchObject({ status: "COMPLETED" });
  });

  it("knows what was said in the thread before, and so does what follows in its own", async () => {
    const caller = await aTenant();
    const first = await start(caller, "When are expenses refunded?");
    const { threadId } = await getRun(caller, first);
    const second = await driveRun(caller, await startRun(caller, { agentKey: "reader", prompt: PROMPT, threadId }));
    const later = await driveRun(caller, await startRun(caller, { agentKey: "reader", prompt: "And then?", threadId }));
    const fork = await driveRun(
      caller,
      await forkRun(caller, { runId: second.id, fromSeq: 1, prompt: "Who keeps receipts?" }),
    );
    const history = await withTenant(caller, (tx) => readHistory(tx, fork));
    const texts = history.map(({ text }) => text);
    expect(texts[0]).toBe("When are expenses refunded?");
    expect(texts).toContain("Who keeps receipts?");
    expect(texts).not.toContain(PROMPT);
    expect(texts).not.toContain(later.prompt);
    expect(fork.output).toContain("[1]");
    const forkOfFork = await driveRun(
      caller,
      await forkRun(caller, { runId: fork.id, fromSeq: fork.lastSeq, prompt: "More?" }),
    );
    const deeper = await withTenant(caller, (tx) => readHistory(tx, forkOfFork));
    expect(deeper.map(({ text }) => text).slice(0, texts.length)).toEqual(texts);
    const next = await startRun(caller, { agentKey: "reader", prompt: "Next?", threadId: fork.threadId });
    const goesOn = await withTenant(caller, (tx) => readHistory(tx, { id: next, threadId: fork.threadId }));
    expect(goesOn.map(({ text }) => text)).toEqual([...texts, "Next?"]);
  });

  it("takes over the budget that the run was given, and no permission that it did not have", async () => {
    const caller = await aTenant();
    const options = { budgetMicros: "4000", topK: 2 };
    const starter = aColleagueOf(caller, ["run:start", "knowledge:read"]);
    const runId = await startRun(starter, { agentKey: "reader", prompt: PROMPT, options });
    await driveRun(caller, runId);
    const forker = aColleagueOf(caller, ["run:start", "run:read", "knowledge:read", "document:render"]);
    const fork = await getRun(caller, await forkRun(forker, { runId, fromSeq: 1 }));
    expect(fork).toMatchObject({ options, startedBy: forker.principalId });
    expect(fork.permissions.toSorted()).toEqual(["knowledge:read", "run:start"]);
    const reader = aColleagueOf(caller, ["run:start"]);
    await expect(forkRun(reader, { runId, fromSeq: 1 })).rejects.toMatchObject({ code: "PERMISSION_MISSING" });
  });

  it("is made once for an idempotency key, and only of events that the tenant's run has", async () => {
    const [caller, other] = [await aTenant(), await aTenant()];
    const runId = await start(caller);
    const input = { runId, fromSeq: 2, idempotencyKey: "fork" };
    const ids = await Promise.all([1, 2, 3].map(() => forkRun(caller, input)));
    expect(new Set(ids).size).toBe(1);
    await expect(forkRun(caller, { ...input, fromSeq: 3 })).rejects.toMatchObject({ code: "IDEMPOTENCY_KEY_REUSED" });
    const { lastSeq } = await getRun(caller, runId);
    for (const fromSeq of [0, -1, lastSeq + 1]) {
      await expect(forkRun(caller, { runId, fromSeq })).rejects.toMatchObject({ code: "AGENT_FORK_SEQ_INVALID" });
    }
    await expect(forkRun(other, { runId, fromSeq: 1 })).rejects.toMatchObject({ code: "AGENT_RUN_NOT_FOUND" });
    expect((await listRuns(other, { first: 1 })).items).toEqual([]);
  });

  it("is cancelled before it began like any run", async () => {
    const caller = await aTenant();
    const runId = await start(caller);
    const { cancelRun } = await import("./cancel.ts");
    const forkId = await forkRun(caller, { runId, fromSeq: await seqOf(caller, runId, "toolRequested") });
    await cancelRun(caller, { runId: forkId });
    expect(await driveRun(caller, forkId)).toMatchObject({ status: "CANCELLED" });
    expect(await effectsOf(forkId)).toEqual({ calls: 0, artifacts: 0, tasks: 0 });
  });
});

describe("forks as they are shown", () => {
  it("name the run and the event that they go on from", async () => {
    const caller = await aTenant();
    const runId = encodeId("Run", await start(caller));
    const FORK = `mutation ForkRun($runId: ID!, $fromSeq: Int!, $agentVersion: Int, $prompt: String) {
      forkRun(input: { runId: $runId, fromSeq: $fromSeq, agentVersion: $agentVersion, prompt: $prompt }) { id status forkedFrom { run { id forkedFrom { seq } } seq } } }`;
    const { forkRun: fork } = await expectData(schema, caller, FORK, { runId, fromSeq: 3 });
    expect(fork).toMatchObject({ status: "CREATED", forkedFrom: { run: { id: runId, forkedFrom: null }, seq: 3 } });
    expect(await expectRefusal(schema, caller, FORK, { runId, fromSeq: 0 })).toMatchObject({ code: "BAD_USER_INPUT" });
    const reader = aColleagueOf(caller, ["run:read"]);
    expect(await expectRefusal(schema, reader, FORK, { runId, fromSeq: 1 })).toMatchObject({ code: "FORBIDDEN" });
  });
});
