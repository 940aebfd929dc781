import { givenTenant } from "@sba/identity/testing";
import { createWebhookEndpoint } from "@sba/integrations/index";
import type { Caller } from "@sba/platform/caller";
import { platformErrors } from "@sba/platform/errors";
import { logger } from "@sba/platform/log";
import { useSecretKey } from "@sba/platform/secrets";
import { aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { findApprovalsOfRuns } from "../approval/approval.ts";
import { setApprovalPolicy } from "../approval/policy.ts";
import { decide } from "../approval/testing.ts";
import { inTurn, says, useScriptedModels } from "../model/testing.ts";
import { driveRun, journalOf } from "../testing.ts";
import { advanceTaken } from "./advance.ts";
import { cancelRun } from "./cancel.ts";
import { claimWoken } from "./claim.ts";
import { pauseRun, resumeRun } from "./pause.ts";
import { putBack } from "./poison.ts";
import { getRun, startRun, type RunOptions } from "./run.ts";
import { anAgent, calls, expectSoundRuns, workOn } from "./testing.ts";

const database = useDatabase();
const model = useScriptedModels().server;
const context = { signal: new AbortController().signal, log: logger };

beforeAll(() => {
  useSecretKey("a-secret-key-that-only-tests-know");
});
let caller: Caller;
beforeEach(async () => {
  caller = (await givenTenant()).owner;
});

/** A run whose model asked for these tasks, each of which somebody has to approve. */
async function aRunThatAsks(titles: readonly string[], options?: RunOptions): Promise<string> {
  const asked = titles.map((title) => ["task.create", { title }] as const);
  model().answer = inTurn(calls(...asked), says("Done."));
  const agentKey = await anAgent(caller, { tools: ["task.create"] });
  const runId = await startRun(caller, { agentKey, prompt: "Hello?", ...(options && { options }) });
  expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL", leaseExpiresAt: null });
  return runId;
}

/** Approves what the run still asks; returns the calls. */
async function approve(runId: string): Promise<string[]> {
  const approvals = await findApprovalsOfRuns(caller, [runId]);
  const pending = approvals.filter(({ status }) => status === "PENDING");
  for (const approval of pending) await decide(aColleagueOf(caller), approval, "APPROVED");
  return pending.map(({ toolCallId }) => toolCallId!);
}

/** Does the same and returns what readers of the run are told of it. */
async function toldByApproving(runId: string): Promise<string[]> {
  const { lastSeq } = await getRun(caller, runId);
  await approve(runId);
  return (await journalOf(caller, runId)).filter(({ seq }) => seq > lastSeq).map(({ type }) => type);
}

async function countTasks(): Promise<number> {
  const { rows } = await database().owner.query("SELECT id FROM agent.task WHERE tenant_id = $1", [caller.tenantId]);
  return rows.length;
}

/** Drives the run to its end, at which the tenant has so many tasks. */
async function expectDone(runId: string, tasks = 1): Promise<void> {
  expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
  expect(await countTasks()).toBe(tasks);
  await expectSoundRuns(database(), caller);
}

/** Takes the run away from its worker, as if that had died. */
async function takeAway(runId: string): Promise<void> {
  const text = "UPDATE agent.run SET lease_expires_at = clock_timestamp() WHERE id = $1";
  await database().owner.query(text, [runId]);
}

const RESTARTED = "agent.run.stepRestarted";
const typesOf = async (runId: string) => (await journalOf(caller, runId)).map(({ type }) => type);

describe("the step that an approval begins", () => {
  it("is committed with the decision, before any worker has heard of it", async () => {
    const runId = await aRunThatAsks(["Renew the lease"]);
    const { stepNumber } = await getRun(caller, runId);
    const [approval] = await findApprovalsOfRuns(caller, [runId]);
    expect(await toldByApproving(runId)).toEqual([
      "agent.run.approvalDecided",
      "agent.run.statusChanged",
      "agent.run.stepStarted",
    ]);
    expect(await getRun(caller, runId)).toMatchObject({
      ...{ status: "WAITING_TOOL", stepNumber: stepNumber + 1, stepAttempt: 0, leaseExpiresAt: null },
    });
    const { rows } = await database().owner.query(
      "SELECT type, tool_call_id, ended_at FROM agent.step WHERE run_id = $1 AND number = $2",
      [runId, stepNumber + 1],
    );
    expect(rows).toEqual([{ type: "TOOL", tool_call_id: approval!.toolCallId, ended_at: null }]);
    expect(await countTasks()).toBe(0);
    await expectDone(runId);
    expect(await typesOf(runId)).not.toContain(RESTARTED);
  });

  it("is a second attempt when who took the run up has died", async () => {
    const runId = await aRunThatAsks(["Renew the lease"]);
    const [callId] = await approve(runId);
    await (await claimWoken(caller, { id: runId, callId: callId! }))!.begin();
    await takeAway(runId);
    await expectDone(runId);
    const restarted = (await journalOf(caller, runId)).filter(({ type }) => type === RESTARTED);
    expect(restarted).toMatchObject([{ payload: { attempt: 2, cause: "WORKER_LOST" } }]);
  });

  it("is given up like any other when workers die of it", async () => {
    const runId = await aRunThatAsks(["Renew the lease"]);
    await approve(runId);
    for (let attempt = 1; attempt <= 5; attempt++) {
      await (await claimWoken(caller, { id: runId }))!.begin();
      await takeAway(runId);
    }
    expect(await driveRun(caller, runId)).toMatchObject({
      status: "FAILED",
      errorCode: "AGENT_RUN_ATTEMPTS_EXHAUSTED",
    });
    expect(await countTasks()).toBe(0);
    await expectSoundRuns(database(), caller);
  });

  it("rests with its run, and is its first attempt when that goes on", async () => {
    const runId = await aRunThatAsks(["Renew the lease"]);
    await approve(runId);
    await pauseRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "PAUSED", leaseExpiresAt: null });
    expect(await countTasks()).toBe(0);
    await resumeRun(caller, runId);
    await expectDone(runId);
    expect(await typesOf(runId)).not.toContain(RESTARTED);
  });

  it("is not done when what would run is not what was approved any more: it is asked again", async () => {
    const runId = await aRunThatAsks(["Renew the lease"]);
    const [callId] = await approve(runId);
    const tampered = 'UPDATE integrations.tool_call SET params = \'{"title": "Sell it"}\' WHERE id = $1';
    await database().owner.query(tampered, [callId]);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL" });
    expect(await countTasks()).toBe(0);
    const statuses = (await findApprovalsOfRuns(caller, [runId])).map(({ status }) => status);
    expect(statuses.toSorted()).toEqual(["PENDING", "SUPERSEDED"]);
    await approve(runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await countTasks()).toBe(1);
  });

  it("is not done when the run is cancelled before anybody has taken it up", async () => {
    const runId = await aRunThatAsks(["Renew the lease"]);
    await approve(runId);
    await cancelRun(caller, { runId });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "CANCELLED" });
    expect(await countTasks()).toBe(0);
    await expectSoundRuns(database(), caller);
  });
});

describe("a decision begins nothing, and the run looks for itself,", () => {
  it("when another one has begun the next step already", async () => {
    const runId = await aRunThatAsks(["Renew the lease", "Water the plants"]);
    expect(await toldByApproving(runId)).toEqual([
      ...["agent.run.approvalDecided", "agent.run.statusChanged", "agent.run.stepStarted"],
      "agent.run.approvalDecided",
    ]);
    await expectDone(runId, 2);
  });

  it("when something else that happened to it is still to be looked at", async () => {
    const runId = await aRunThatAsks(["Renew the lease", "Water the plants"]);
    const [first] = await findApprovalsOfRuns(caller, [runId]);
    await decide(aColleagueOf(caller), first!, "DENIED");
    expect(await toldByApproving(runId)).toEqual(["agent.run.approvalDecided"]);
    await expectDone(runId);
  });

  it("when a worker could not make anything of what happened to it, and left it to be looked at again", async () => {
    const runId = await aRunThatAsks(["Renew the lease", "Water the plants"]);
    const [first] = await findApprovalsOfRuns(caller, [runId]);
    await decide(aColleagueOf(caller), first!, "DENIED");
    const taken = await claimWoken(caller, { id: runId });
    await putBack(taken!.run, platformErrors.DATABASE_UNAVAILABLE());
    expect(await toldByApproving(runId)).toEqual(["agent.run.approvalDecided"]);
    await expectDone(runId);
  });

  it.each([
    ["it may take no step more", { maxSteps: 1 }, "AGENT_RUN_STEPS_EXHAUSTED"],
    ["it has no money left for the call", { budgetMicros: "1000000" }, "BILLING_BUDGET_EXHAUSTED"],
  ])("when %s", async (_why, options, errorCode) => {
    const runId = await aRunThatAsks(["Renew the lease"], options);
    await database().owner.query(
      "UPDATE agent.run SET spent_micros = 1000000 WHERE id = $1 AND options ? 'budgetMicros'",
      [runId],
    );
    expect(await toldByApproving(runId)).toEqual(["agent.run.approvalDecided"]);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "FAILED", errorCode });
    expect(await countTasks()).toBe(0);
  });

  it("when its time is over", async () => {
    const runId = await aRunThatAsks(["Renew the lease"], { timeoutSeconds: 600 });
    await database().owner.query("UPDATE agent.run SET created_at = created_at - interval '1 hour' WHERE id = $1", [
      runId,
    ]);
    expect(await toldByApproving(runId)).toEqual(["agent.run.approvalDecided"]);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "FAILED", errorCode: "AGENT_RUN_TIMED_OUT" });
    expect(await countTasks()).toBe(0);
  });

  it("when the tool is not what was approved any more", async () => {
    const runId = await aRunThatAsks(["Renew the lease"]);
    // As a deployment does between the question and the answer: what was approved is of the tool before.
    const [approval] = await findApprovalsOfRuns(caller, [runId]);
    await database().owner.query(
      "UPDATE agent.approval SET definition_hash = 'of another', fingerprint = 'of another' WHERE id = $1",
      [approval!.id],
    );
    expect(await toldByApproving(runId)).toEqual(["agent.run.approvalDecided"]);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL" });
    expect(await countTasks()).toBe(0);
  });

  it("when enough people have not agreed yet", async () => {
    const runId = await aRunThatAsks(["Renew the lease"]);
    await database().owner.query("UPDATE agent.approval SET quorum = 2 WHERE run_id = $1", [runId]);
    expect(await toldByApproving(runId)).toEqual([]);
    expect(await toldByApproving(runId)).toContain("agent.run.stepStarted");
  });
});

describe("the first attempt of a step that an approval began", () => {
  /** The run in the middle of the call that was approved, of a webhook that may be called again, and its worker. */
  async function aCallUnderWay(drain?: AbortSignal) {
    await createWebhookEndpoint(caller, { name: "orders", url: `${model().url}/orders`, honoursIdempotencyKeys: true });
    await setApprovalPolicy(caller, { tool: "webhook.send", quorum: 1, allowRequester: false });
    const speaks = inTurn(calls(["webhook.send", { endpoint: "orders", payload: {} }]), says("Sent."));
    const called = Promise.withResolvers<void>();
    let count = 0;
    model().answer = (response, request) => {
      if (!request.path.endsWith("/orders")) return speaks(response, request);
      count += 1;
      called.resolve();
      if (count > 1) response.end("ok");
    };
    const runId = await startRun(caller, {
      agentKey: await anAgent(caller, { tools: ["webhook.send"] }),
      prompt: "Hello?",
    });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL" });
    await approve(runId);
    const worker = workOn(caller, runId, drain);
    await called.promise;
    return { runId, worker };
  }
  const restartsOf = async (runId: string) =>
    (await journalOf(caller, runId)).filter(({ type }) => type === RESTARTED).map(({ payload }) => payload);

  it("that a pause cuts off is none that failed", async () => {
    const { runId, worker } = await aCallUnderWay();
    await pauseRun(caller, runId);
    await worker;
    expect(await getRun(caller, runId)).toMatchObject({ status: "PAUSED", stepAttempt: 0, errorCode: "RUN_PAUSED" });
    await resumeRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await restartsOf(runId)).toMatchObject([{ attempt: 1, cause: "RUN_PAUSED" }]);
    await expectSoundRuns(database(), caller);
  });

  it("that its worker breaks off is none that failed", async () => {
    const drain = new AbortController();
    const { runId, worker } = await aCallUnderWay(drain.signal);
    drain.abort();
    await worker;
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await restartsOf(runId)).toMatchObject([{ attempt: 1, cause: "WORKER_DRAINED" }]);
    await expectSoundRuns(database(), caller);
  });
});

it("is taken up by a worker that heard of it as by one that looked", async () => {
  const runId = await aRunThatAsks(["Renew the lease"]);
  const [callId] = await approve(runId);
  const taken = await claimWoken(caller, { id: runId, callId: callId! });
  await advanceTaken(taken!, context);
  expect(await getRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
  await expectSoundRuns(database(), caller);
});
