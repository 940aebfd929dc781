import { encodeId } from "@sba/platform/ids";
import { setBudget } from "@sba/billing/index";
import { createWebhookEndpoint } from "@sba/integrations/index";
import type { Caller } from "@sba/platform/caller";
import { pubsub } from "@sba/platform/pubsub";
import { useSecretKey } from "@sba/platform/secrets";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { findApprovalsOfRuns } from "../approval/approval.ts";
import { decide } from "../approval/testing.ts";
import { inTurn, openChunks, says, useScriptedModels, type Answer } from "../model/testing.ts";
import { schema } from "../schema.ts";
import { driveRun, journalOf } from "../testing.ts";
import { leaseDueRuns } from "./dispatch.ts";
import { announceInterrupt } from "./interrupt-signal.ts";
import { pauseRun, resumeRun } from "./pause.ts";
import { executeRun, planRun } from "./plan-run.ts";
import { cancelRun } from "./cancel.ts";
import { continueRun, getRun, startRun } from "./run.ts";
import {
  anAgent,
  asks,
  auditedRuns,
  calls,
  expectSoundRuns,
  holds,
  shownText,
  statusesOf,
  untilShown,
  workOn,
} from "./testing.ts";

const database = useDatabase();
const model = useScriptedModels().server;

/** Nobody holds it, nobody looks at it. */
const AT_REST = { status: "PAUSED", dueAt: null, leaseExpiresAt: null };
const ALL = { free: 8, most: 8, held: [] };

beforeAll(() => {
  useSecretKey("a-secret-key-that-only-tests-know");
});
let caller: Caller;
beforeEach(() => {
  caller = aCaller();
});

async function aRun(): Promise<string> {
  return startRun(caller, { agentKey: await anAgent(caller), prompt: "Hello?" });
}

/** A run in the middle of a model turn, and the worker that is at it. */
async function aRunThatSpeaks() {
  const turn = holds("Half ");
  model().answer = inTurn(turn.answer, says("Whole."));
  const runId = await aRun();
  const worker = workOn(caller, runId);
  await untilShown(caller, runId, "Half ");
  return { runId, worker, turn };
}

/** A run that waits for an approval. */
async function aRunThatAsks(): Promise<string> {
  model().answer = inTurn(calls(["task.create", { title: "Renew the lease" }]), says("Done."));
  const agentKey = await anAgent(caller, { tools: ["task.create"] });
  const runId = await startRun(caller, { agentKey, prompt: "Hello?" });
  expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL" });
  return runId;
}

/** A run in the middle of a call to a webhook, which may or may not be repeated, and how to answer the call. */
async function aRunThatSends(honoursIdempotencyKeys: boolean) {
  await createWebhookEndpoint(caller, { name: "orders", url: `${model().url}/orders`, honoursIdempotencyKeys });
  const speaks = inTurn(calls(["webhook.send", { endpoint: "orders", payload: {} }]), says("Sent."));
  const keys: unknown[] = [];
  const sent = Promise.withResolvers<() => void>();
  model().answer = (response, request) => {
    if (!request.path.endsWith("/orders")) return speaks(response, request);
    keys.push(request.headers["idempotency-key"]);
    sent.resolve(() => response.end("ok"));
    if (keys.length > 1) response.end("ok");
  };
  const runId = await startRun(caller, {
    agentKey: await anAgent(caller, { tools: ["webhook.send"] }),
    prompt: "Hello?",
  });
  const worker = workOn(caller, runId);
  return { runId, worker, keys, finish: await sent.promise };
}

async function typesOf(runId: string): Promise<string[]> {
  return (await journalOf(caller, runId)).map(({ type }) => type.replace("agent.run.", ""));
}

describe("pausing a run", () => {
  it("cuts a model turn off, lets go of the run, and begins the turn again when it goes on", async () => {
    const { runId, worker } = await aRunThatSpeaks();
    await pauseRun(caller, runId);
    await worker;
    expect(await getRun(caller, runId)).toMatchObject(AT_REST);
    expect(await driveRun(caller, runId)).toMatchObject(AT_REST);
    await resumeRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Whole." });
    expect(await statusesOf(caller, runId)).toEqual(["CREATED", "EXECUTING", "PAUSED", "EXECUTING", "COMPLETED"]);
    expect((await journalOf(caller, runId)).filter(({ type }) => type === "agent.run.stepRestarted")).toMatchObject([
      { payload: { attempt: 1, cause: "RUN_PAUSED", step: { number: 1 } } },
    ]);
    expect(await shownText(caller, runId)).toBe("Half Whole.");
    await expectSoundRuns(database(), caller);
  });

  it("is not paused again by what is heard of its pause when it has gone on", async () => {
    const { runId, worker } = await aRunThatSpeaks();
    const before = await getRun(caller, runId);
    await pauseRun(caller, runId);
    await worker;
    const turn = holds("Again ");
    model().answer = turn.answer;
    await resumeRun(caller, runId);
    const again = workOn(caller, runId);
    await untilShown(caller, runId, "Half Again ");
    const heard = Promise.withResolvers<void>();
    const leave = await pubsub().subscribe("agent.run.interrupted", () => {
      heard.resolve();
    });
    announceInterrupt(before, "pause");
    await heard.promise;
    await leave();
    turn.finish("whole.");
    await again;
    expect(await getRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Again whole." });
    expect((await typesOf(runId)).filter((type) => type === "stepRestarted")).toHaveLength(1);
  });

  it("waits for a tool that must not be called twice, and keeps what came of it", async () => {
    const { runId, worker, keys, finish } = await aRunThatSends(false);
    await pauseRun(caller, runId);
    expect(await getRun(caller, runId)).toMatchObject({ status: "PAUSED", leaseExpiresAt: expect.any(Date) as Date });
    finish();
    await worker;
    expect(await getRun(caller, runId)).toMatchObject(AT_REST);
    await resumeRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Sent." });
    expect(keys).toHaveLength(1);
    expect(await typesOf(runId)).not.toContain("stepRestarted");
    await expectSoundRuns(database(), caller);
  });

  it("cuts a tool off that may be called again, and calls it again with the same key", async () => {
    const { runId, worker, keys } = await aRunThatSends(true);
    await pauseRun(caller, runId);
    await worker;
    expect(await getRun(caller, runId)).toMatchObject(AT_REST);
    await resumeRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Sent." });
    expect(keys).toEqual([keys[0], keys[0]]);
    expect((await typesOf(runId)).filter((type) => type === "stepRestarted")).toHaveLength(1);
  });

  it("that rests with its plan keeps the plan", async () => {
    model().answer = inTurn(calls(["submit_plan", { steps: [{ title: "Say so" }] }]), says("Whole."));
    const { signal } = new AbortController();
    const runId = await planRun(caller, { agentKey: await anAgent(caller), prompt: "Hello?", signal });
    await pauseRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject(AT_REST);
    await expect(executeRun(caller, { runId })).rejects.toMatchObject({ code: "AGENT_RUN_NOT_PLANNED" });
    await resumeRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "PLANNING", dueAt: expect.any(Date) as Date });
    await executeRun(caller, { runId });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Whole." });
    await expectSoundRuns(database(), caller);
  });

  it("is no failed attempt of the step, however often it happens", async () => {
    model().answer = holds("Half ").answer;
    const runId = await aRun();
    for (let paused = 1; paused <= 7; paused++) {
      const worker = workOn(caller, runId);
      await untilShown(caller, runId, "Half ".repeat(paused));
      await pauseRun(caller, runId);
      await worker;
      await resumeRun(caller, runId);
    }
    model().answer = says("Whole.");
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Whole." });
  });

  it("is charged for what was said before it, each time", async () => {
    const speaks: Answer = (response) => {
      openChunks(response).text("Half ", { usage: { prompt_tokens: 20, completion_tokens: 1 } });
    };
    model().answer = speaks;
    const runId = await aRun();
    for (let paused = 1; paused <= 2; paused++) {
      const worker = workOn(caller, runId);
      await untilShown(caller, runId, "Half ".repeat(paused));
      await pauseRun(caller, runId);
      await worker;
      await resumeRun(caller, runId);
    }
    model().answer = says("Whole.");
    const { spentMicros } = await driveRun(caller, runId);
    const { rows } = await database().owner.query(
      "SELECT sum(amount_micros)::bigint AS spent, count(DISTINCT key)::int AS keys FROM billing.usage_record WHERE run_id = $1",
      [runId],
    );
    // That it was started, two that came to nothing, and the answer.
    expect(rows).toEqual([{ spent: String(spentMicros), keys: 4 }]);
    await expectSoundRuns(database(), caller);
  });

  it("and resuming it before its step has stopped begins the step again at once", async () => {
    const { runId, worker } = await aRunThatSpeaks();
    await Promise.all([pauseRun(caller, runId), resumeRun(caller, runId)]);
    await resumeRun(caller, runId);
    await worker;
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Whole." });
    await expectSoundRuns(database(), caller);
  });

  it("before it begins keeps it from beginning", async () => {
    model().answer = says("Whole.");
    const runId = await aRun();
    await pauseRun(caller, runId);
    expect(await getRun(caller, runId)).toMatchObject(AT_REST);
    expect(await leaseDueRuns(ALL)).toEqual([]);
    await resumeRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await statusesOf(caller, runId)).toEqual(["CREATED", "PAUSED", "CREATED", "EXECUTING", "COMPLETED"]);
  });

  it("keeps the decision that it waited for, and acts on it when it goes on", async () => {
    const runId = await aRunThatAsks();
    await pauseRun(caller, runId);
    const [approval] = await findApprovalsOfRuns(caller, [runId]);
    await decide(aColleagueOf(caller), approval!, "APPROVED");
    expect(await leaseDueRuns(ALL)).toEqual([]);
    expect(await driveRun(caller, runId)).toMatchObject(AT_REST);
    await resumeRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    const { rows } = await database().owner.query("SELECT title FROM agent.task WHERE tenant_id = $1", [
      caller.tenantId,
    ]);
    expect(rows).toHaveLength(1);
    await expectSoundRuns(database(), caller);
  });

  it("keeps waiting for what it waited for when nobody said anything meanwhile", async () => {
    const runId = await aRunThatAsks();
    await pauseRun(caller, runId);
    await resumeRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL", dueAt: null });
    expect(await findApprovalsOfRuns(caller, [runId])).toMatchObject([{ status: "PENDING" }]);
  });

  it("that waits for an answer takes one again once it has gone on", async () => {
    model().answer = inTurn(asks("Which year?"), says("Whole."));
    const runId = await aRun();
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_INPUT" });
    await pauseRun(caller, runId);
    await expect(continueRun(caller, { runId, input: "2026" })).rejects.toMatchObject({
      code: "AGENT_RUN_NOT_AWAITING_INPUT",
    });
    await resumeRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_INPUT", dueAt: null });
    await continueRun(caller, { runId, input: "2026" });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
  });

  it("holds nothing even when the worker that was to let go of it died", async () => {
    const { runId, worker } = await aRunThatSpeaks();
    // As if another worker had taken it over and died.
    await database().owner.query("UPDATE agent.run SET fence = fence + 1 WHERE id = $1", [runId]);
    await pauseRun(caller, runId);
    await worker;
    await database().owner.query("UPDATE agent.run SET lease_expires_at = now() WHERE id = $1", [runId]);
    expect(await driveRun(caller, runId)).toMatchObject(AT_REST);
    expect(model().received).toHaveLength(1);
    await resumeRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Whole." });
    await expectSoundRuns(database(), caller);
  });

  it("holds nothing, and no money, when its worker had died before", async () => {
    await setBudget(caller, { scope: "TENANT", period: "MONTH", limitMicros: 1_000_000n });
    const { runId, worker } = await aRunThatSpeaks();
    const { owner } = database();
    // As if another worker had taken it over and died some time ago.
    await owner.query("UPDATE agent.run SET fence = fence + 1, lease_expires_at = now() WHERE id = $1", [runId]);
    await pauseRun(caller, runId);
    await worker;
    await expectSoundRuns(database(), caller);
    expect(await driveRun(caller, runId)).toMatchObject(AT_REST);
    const { rows } = await owner.query("SELECT run_id FROM billing.slice WHERE tenant_id = $1", [caller.tenantId]);
    expect(rows).toEqual([]);
    await resumeRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Whole." });
    await expectSoundRuns(database(), caller);
  });

  it("can be repeated, as resuming it can", async () => {
    const runId = await aRunThatAsks();
    await resumeRun(caller, runId);
    await pauseRun(caller, runId);
    await pauseRun(caller, runId);
    await resumeRun(caller, runId);
    await resumeRun(caller, runId);
    expect((await statusesOf(caller, runId)).slice(-3)).toEqual(["AWAITING_APPROVAL", "PAUSED", "AWAITING_APPROVAL"]);
  });

  it("is audited with who did it, as resuming it is, when it changed something", async () => {
    const runId = await aRun();
    const [pauser, resumer] = [aColleagueOf(caller), aColleagueOf(caller)];
    await resumeRun(resumer, runId);
    await pauseRun(pauser, runId);
    await pauseRun(resumer, runId);
    await resumeRun(resumer, runId);
    await resumeRun(pauser, runId);
    const entry = { target: encodeId("Run", runId), details: {} };
    expect(await auditedRuns(database(), caller)).toEqual([
      { action: "agent.run.paused", by: pauser.principalId, ...entry },
      { action: "agent.run.resumed", by: resumer.principalId, ...entry },
    ]);
  });

  it("leaves it to be cancelled, and is refused once it is or has ended", async () => {
    const runId = await aRun();
    await pauseRun(caller, runId);
    await cancelRun(caller, { runId });
    for (const change of [pauseRun, resumeRun]) {
      await expect(change(caller, runId)).rejects.toMatchObject({ code: "AGENT_RUN_CANCELLING", kind: "conflict" });
    }
    expect(await driveRun(caller, runId)).toMatchObject({ status: "CANCELLED" });
    for (const change of [pauseRun, resumeRun]) {
      await expect(change(caller, runId)).rejects.toMatchObject({ code: "AGENT_RUN_ENDED", kind: "conflict" });
    }
    await expectSoundRuns(database(), caller);
  });

  it("is for those who may cancel it, in its own tenant", async () => {
    const runId = await aRun();
    const id = encodeId("Run", runId);
    const PAUSE = "mutation PauseRun($runId: ID!) { pauseRun(input: { runId: $runId }) { id status } }";
    const RESUME = "mutation ResumeRun($runId: ID!) { resumeRun(input: { runId: $runId }) { id status } }";
    const starter = aColleagueOf(caller, ["run:start", "run:read"]);
    for (const operation of [PAUSE, RESUME]) {
      expect(await expectRefusal(schema, starter, operation, { runId: id })).toMatchObject({ code: "FORBIDDEN" });
      expect(await expectRefusal(schema, aCaller(), operation, { runId: id })).toMatchObject({ code: "NOT_FOUND" });
    }
    const may = aColleagueOf(caller, ["run:cancel", "run:read"]);
    expect(await expectData(schema, may, PAUSE, { runId: id })).toEqual({ pauseRun: { id, status: "PAUSED" } });
    expect(await expectData(schema, may, RESUME, { runId: id })).toEqual({ resumeRun: { id, status: "CREATED" } });
  });
});

describe("cancelling a run in the middle of a tool that never answers", () => {
  it.each([
    { what: "may be called again", honoursIdempotencyKeys: true, left: "REQUESTED" },
    { what: "must not be called twice, whose outcome nobody knows", honoursIdempotencyKeys: false, left: "UNKNOWN" },
  ])("cuts one off that $what", async ({ honoursIdempotencyKeys, left }) => {
    const { runId, worker, keys } = await aRunThatSends(honoursIdempotencyKeys);
    await cancelRun(caller, { runId });
    // The endpoint is never answered for: only the cancellation ends what waits for it.
    await worker;
    expect(await driveRun(caller, runId)).toMatchObject({ status: "CANCELLED" });
    expect((await statusesOf(caller, runId)).slice(-2)).toEqual(["CANCELLING", "CANCELLED"]);
    expect(keys).toHaveLength(1);
    const { rows } = await database().owner.query("SELECT status FROM integrations.tool_call WHERE tenant_id = $1", [
      caller.tenantId,
    ]);
    expect(rows).toEqual([{ status: left }]);
    await expectSoundRuns(database(), caller);
  });
});
