import { encodeId } from "@sba/platform/ids";
import type { Caller } from "@sba/platform/caller";
import { aCaller, aColleagueOf, eventually } from "@sba/testkit/fixtures";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { beforeEach, describe, expect, it } from "vitest";
import { findApprovalsOfRuns } from "../approval/approval.ts";
import { decide } from "../approval/testing.ts";
import { inTurn, says, useScriptedModels } from "../model/testing.ts";
import { schema } from "../schema.ts";
import { driveRun, journalOf } from "../testing.ts";
import { cancelRun } from "./cancel.ts";
import { pauseRun, resumeRun } from "./pause.ts";
import { continueRun, getRun, startRun } from "./run.ts";
import { sendRunInput, type RunInputMode } from "./send-input.ts";
import { anAgent, asks, calls, expectSoundRuns, holds, statusesOf, untilShown, workOn } from "./testing.ts";

const database = useDatabase();
const model = useScriptedModels().server;

let caller: Caller;
beforeEach(() => {
  caller = aCaller();
  model().received.length = 0;
});

const send = (runId: string, mode: RunInputMode, input = "And briefly.", who = caller): Promise<string> =>
  sendRunInput(who, { runId, input, mode });

/** A run in the middle of its first model turn, and the worker that is at it. */
async function aRunThatSpeaks() {
  const turn = holds("Half ");
  model().answer = inTurn(turn.answer, says("Brief."));
  const runId = await startRun(caller, { agentKey: await anAgent(caller), prompt: "Hello?" });
  const worker = workOn(caller, runId);
  await untilShown(caller, runId, "Half ");
  // The worker may have had its turn by then, and leave what follows to the next.
  const finish = async (rest?: string): Promise<void> => {
    turn.finish(rest);
    await worker;
    await driveRun(caller, runId);
  };
  return { runId, worker, turn, finish };
}

/** What each model turn was told, but the instructions. */
const told = (): string[][] =>
  model().received.map(({ body }) => body.messages.slice(1).map(({ content }) => String(content)));

async function eventsOf(runId: string, type: string): Promise<unknown[]> {
  return (await journalOf(caller, runId))
    .filter((event) => event.type === `agent.run.${type}`)
    .map(({ payload }) => payload);
}

describe("STEER", () => {
  it("in the middle of a turn is told in the next turn of the same run, which takes one more for it", async () => {
    const { runId, finish } = await aRunThatSpeaks();
    expect(await send(runId, "STEER", "And briefly.")).toBe(runId);
    expect(await send(runId, "STEER", "In French.")).toBe(runId);
    await finish("done.");
    expect(await getRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Brief.", unreadInputs: 0 });
    expect(told()).toEqual([["Hello?"], ["Hello?", "Half done.", "And briefly.", "In French."]]);
    expect(await eventsOf(runId, "inputReceived")).toMatchObject([
      { ordinal: 1, mode: "STEER", text: "And briefly.", answeringRunId: runId, sentBy: caller.principalId },
      { ordinal: 2, text: "In French." },
    ]);
    expect(await eventsOf(runId, "inputTold")).toEqual([{ ordinals: [1, 2], stepNumber: 2 }]);
    await expectSoundRuns(database(), caller);
  });

  it("before the first turn is told in that turn", async () => {
    model().answer = says("Brief.");
    const runId = await startRun(caller, { agentKey: await anAgent(caller), prompt: "Hello?" });
    await send(runId, "STEER");
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(told()).toEqual([["Hello?", "And briefly."]]);
  });

  it("while an approval is waited for changes nothing of it, and is told after its outcome", async () => {
    model().answer = inTurn(calls(["task.create", { title: "Renew the lease" }]), says("Done."));
    const agentKey = await anAgent(caller, { tools: ["task.create"] });
    const runId = await startRun(caller, { agentKey, prompt: "Hello?" });
    await driveRun(caller, runId);
    await send(runId, "STEER");
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL", dueAt: null, unreadInputs: 1 });
    const [approval] = await findApprovalsOfRuns(caller, [runId]);
    expect(approval).toMatchObject({ status: "PENDING" });
    await decide(aColleagueOf(caller), approval!, "APPROVED");
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(told()[1]).toEqual(["Hello?", "null", expect.stringContaining("taskId"), "And briefly."]);
  });

  it("while the run is paused is told in the turn that was cut off, when that is begun again", async () => {
    const { runId, worker } = await aRunThatSpeaks();
    await pauseRun(caller, runId);
    await worker;
    await send(runId, "STEER");
    expect(await driveRun(caller, runId)).toMatchObject({ status: "PAUSED", dueAt: null, unreadInputs: 1 });
    await resumeRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Brief." });
    expect(told()).toEqual([["Hello?"], ["Hello?", "And briefly."]]);
  });

  it("answers a run that asked the person, as QUEUE does", async () => {
    for (const mode of ["STEER", "QUEUE"] as const) {
      model().received.length = 0;
      model().answer = inTurn(asks("Which one?"), says("That one."));
      const runId = await startRun(caller, { agentKey: await anAgent(caller), prompt: "Hello?" });
      await driveRun(caller, runId);
      expect(await send(runId, mode, "The second.")).toBe(runId);
      expect(await getRun(caller, runId)).toMatchObject({ status: "EXECUTING" });
      expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "That one." });
      expect(told().at(-1)).toEqual(["Hello?", "Which one?", "The second."]);
    }
    await expectSoundRuns(database(), caller);
  });

  it("is told by the worker that takes over from one that died in the middle of the turn", async () => {
    const { runId, worker, turn } = await aRunThatSpeaks();
    await send(runId, "STEER");
    await database().owner.query("UPDATE agent.run SET lease_expires_at = now() WHERE id = $1", [runId]);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Brief." });
    turn.finish("too late");
    await worker;
    expect(told()).toEqual([["Hello?"], ["Hello?", "And briefly."]]);
    expect(await eventsOf(runId, "inputTold")).toHaveLength(1);
  });

  it("that a run is cancelled before it was told stays in the thread", async () => {
    const { runId, worker } = await aRunThatSpeaks();
    await send(runId, "STEER");
    await cancelRun(caller, { runId });
    await worker;
    const { threadId, agentKey } = await getRun(caller, runId);
    await driveRun(caller, await startRun(caller, { agentKey, prompt: "Well?", threadId }));
    expect(told().at(-1)).toEqual(["Hello?", "Half ", "And briefly.", "Well?"]);
  });

  it("is refused when the run is being cancelled or has ended, with how it stands", async () => {
    const runId = await startRun(caller, { agentKey: await anAgent(caller), prompt: "Hello?" });
    await cancelRun(caller, { runId });
    await expect(send(runId, "STEER")).rejects.toMatchObject({ code: "AGENT_RUN_CANCELLING", kind: "conflict" });
    await driveRun(caller, runId);
    await expect(send(runId, "STEER")).rejects.toMatchObject({
      code: "AGENT_RUN_ENDED",
      kind: "conflict",
      details: { status: "CANCELLED" },
    });
  });

  it("is refused when a hundred are unread", async () => {
    const { runId, finish } = await aRunThatSpeaks();
    await database().owner.query("UPDATE agent.run SET unread_inputs = 100 WHERE id = $1", [runId]);
    await expect(send(runId, "STEER")).rejects.toMatchObject({ code: "AGENT_RUN_INPUTS_FULL" });
    await finish();
  });

  it("takes what the run's tools may do for it, as an answer to its question does", async () => {
    model().answer = asks("Which one?");
    const agentKey = await anAgent(caller, { tools: ["task.create"] });
    const runId = await startRun(caller, { agentKey, prompt: "Hello?" });
    const starter = aColleagueOf(caller, ["run:start"]);
    await expect(send(runId, "STEER", "x", starter)).rejects.toMatchObject({ code: "PERMISSION_MISSING" });
    await driveRun(caller, runId);
    await expect(continueRun(starter, { runId, input: "x" })).rejects.toMatchObject({ code: "PERMISSION_MISSING" });
    expect(await send(runId, "STEER", "x", aColleagueOf(caller, ["run:start", "task:create"]))).toBe(runId);
  });
});

describe("QUEUE", () => {
  it("is answered by a run of its own with the same options, after this one", async () => {
    const { runId, finish } = await aRunThatSpeaks();
    await database().owner.query(`UPDATE agent.run SET options = '{"budgetMicros":"5000000"}' WHERE id = $1`, [runId]);
    const next = await send(runId, "QUEUE", "And then?");
    expect(await getRun(caller, next)).toMatchObject({ waitsForThread: true, options: { budgetMicros: "5000000" } });
    await finish("done.");
    await eventually(async () => (await getRun(caller, next)).dueAt !== null);
    expect(await driveRun(caller, next)).toMatchObject({ status: "COMPLETED", prompt: "And then?" });
    expect(told()[1]).toEqual(["Hello?", "Half done.", "And then?"]);
    expect(await eventsOf(runId, "inputReceived")).toMatchObject([
      { ordinal: null, mode: "QUEUE", answeringRunId: next },
    ]);
  });

  it("is answered at once when the run has ended, and nothing follows that run's last event", async () => {
    const { runId, finish } = await aRunThatSpeaks();
    await finish();
    for (const mode of ["QUEUE", "INTERRUPT"] as const) {
      expect(await driveRun(caller, await send(runId, mode))).toMatchObject({
        status: "COMPLETED",
        waitsForThread: false,
      });
    }
    expect((await journalOf(caller, runId)).at(-1)).toMatchObject({ type: "agent.run.finished" });
  });
});

describe("INTERRUPT", () => {
  it("stops the run, keeps what it did, and starts over with the input", async () => {
    const { runId, worker } = await aRunThatSpeaks();
    const next = await send(runId, "INTERRUPT", "Stop. Which day?");
    await worker;
    expect(await getRun(caller, runId)).toMatchObject({ status: "CANCELLED", output: "Half " });
    expect(await statusesOf(caller, runId)).toEqual(["CREATED", "EXECUTING", "CANCELLING", "CANCELLED"]);
    await eventually(async () => (await getRun(caller, next)).dueAt !== null);
    expect(await driveRun(caller, next)).toMatchObject({ status: "COMPLETED" });
    expect(told()[1]).toEqual(["Hello?", "Half ", "Stop. Which day?"]);
    await expectSoundRuns(database(), caller);
  });

  it("takes the permission to cancel", async () => {
    const { runId, finish } = await aRunThatSpeaks();
    const starter = aColleagueOf(caller, ["run:start"]);
    await expect(send(runId, "INTERRUPT", "x", starter)).rejects.toMatchObject({ code: "PERMISSION_MISSING" });
    await finish();
  });
});

const SEND = `mutation SendRunInput($runId: ID!, $input: String!, $mode: RunInputMode!, $key: String) {
  sendRunInput(input: { runId: $runId, input: $input, mode: $mode, idempotencyKey: $key }) { id status } }`;

describe("sendRunInput", () => {
  it("is shown to readers of the run's events", async () => {
    const { runId, finish } = await aRunThatSpeaks();
    const id = encodeId("Run", runId);
    const { sendRunInput: sent } = await expectData(schema, caller, SEND, { runId: id, input: "Well?", mode: "STEER" });
    expect(sent).toEqual({ id, status: "EXECUTING" });
    await finish();
    const log = `query ($id: ID!) { runEventLog(runId: $id, first: 100) { edges { node { __typename
      ... on RunInputReceived { ordinal mode text sentBy { id } answeringRunId } ... on RunInputTold { ordinals stepNumber } } } } }`;
    const { runEventLog } = await expectData(schema, caller, log, { id });
    const shown = (runEventLog.edges as { node: { __typename: string } }[]).map(({ node }) => node);
    expect(shown.filter(({ __typename }) => __typename.startsWith("RunInput"))).toEqual([
      {
        ...{ __typename: "RunInputReceived", ordinal: 1, mode: "STEER", text: "Well?", answeringRunId: id },
        sentBy: { id: encodeId("Principal", caller.principalId) },
      },
      { __typename: "RunInputTold", ordinals: [1], stepNumber: 2 },
    ]);
  });

  it("sends the same once, and is a conflict for something else under its key", async () => {
    const { runId, finish } = await aRunThatSpeaks();
    for (const mode of ["STEER", "QUEUE"] as const) {
      const variables = { runId: encodeId("Run", runId), input: "Well?", mode, key: mode };
      const ids = [];
      for (let repeat = 0; repeat < 2; repeat++) {
        ids.push((await expectData(schema, caller, SEND, variables)).sendRunInput.id);
      }
      expect(new Set(ids).size).toBe(1);
      const refused = await expectRefusal(schema, caller, SEND, { ...variables, input: "Another" });
      expect(refused).toMatchObject({ code: "CONFLICT", reason: "IDEMPOTENCY_KEY_REUSED" });
    }
    expect(await getRun(caller, runId)).toMatchObject({ unreadInputs: 1 });
    await finish();
  });

  it("finds no run of another tenant, and takes neither an empty input nor one that is too long", async () => {
    const { runId, finish } = await aRunThatSpeaks();
    const id = encodeId("Run", runId);
    for (const mode of ["STEER", "QUEUE", "INTERRUPT"]) {
      const stranger = await expectRefusal(schema, aCaller(), SEND, { runId: id, input: "x", mode });
      expect(stranger).toMatchObject({ code: "NOT_FOUND", reason: "AGENT_RUN_NOT_FOUND" });
    }
    for (const input of ["", "x".repeat(100_001)]) {
      const bad = await expectRefusal(schema, caller, SEND, { runId: id, input, mode: "STEER" });
      expect(bad).toMatchObject({ code: "BAD_USER_INPUT" });
    }
    await finish();
  });
});
