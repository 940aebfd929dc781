import { createWebhookEndpoint } from "@sba/integrations/index";
import { answer, breakOff, useSink } from "@sba/integrations/testing";
import type { Caller } from "@sba/platform/caller";
import { encodeId, newId } from "@sba/platform/ids";
import { logger } from "@sba/platform/log";
import { useSecretKey } from "@sba/platform/secrets";
import { eventually } from "@sba/testkit/eventually";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { createAgent } from "../agent/agent.ts";
import { advanceRun } from "../run/advance.ts";
import { cancelRun } from "../run/cancel.ts";
import { getRun, startRun } from "../run/run.ts";
import { schema } from "../schema.ts";
import { driveRun, journalOf } from "../testing.ts";

/** Runs whose tool calls were cut off, by the one tool that reaches a world which does not forgive a repeat. */

const database = useDatabase();
const sink = useSink();
useSecretKey("a-secret-key-that-only-tests-know");
const context = { signal: new AbortController().signal, log: logger };

const UNKNOWN = `query ($first: Int = 20, $after: String) {
  unknownToolCalls(first: $first, after: $after) {
    edges { node { id name status success params unknownAt run { id status } } } pageInfo { hasNextPage endCursor } } }`;
const RESOLVE = `mutation ($input: ResolveToolCallInput!) {
  resolveToolCall(input: $input) { id status success run { id status } } }`;

async function aTenant(honoursIdempotencyKeys = false): Promise<Caller> {
  const caller = aCaller();
  await createWebhookEndpoint(caller, { name: "orders", url: sink.url(), honoursIdempotencyKeys });
  await createAgent(caller, {
    ...{ key: "courier", name: "Courier", instructions: "Send what you are told to.", model: "local" },
    tools: ["webhook.send"],
  });
  return caller;
}

const start = (caller: Caller) =>
  startRun(caller, { agentKey: "courier", prompt: 'Send {"order": 42} to the webhook orders.' });

/** A run whose call was cut off: it may have done its work. */
async function aRunWithUnknownCall(caller?: Caller) {
  const owner = caller ?? (await aTenant());
  sink.script(breakOff);
  const runId = await start(owner);
  const run = await driveRun(owner, runId);
  const [call] = await unknownCalls(owner);
  return { caller: owner, runId, run, callId: call!.id };
}

interface UnknownCall {
  readonly id: string;
  readonly run: { readonly id: string } | null;
}

async function unknownCalls(caller: Caller, variables: object = {}): Promise<UnknownCall[]> {
  const data = (await expectData(schema, caller, UNKNOWN, { ...variables })) as unknown as {
    unknownToolCalls: { edges: { node: UnknownCall }[] };
  };
  return data.unknownToolCalls.edges.map(({ node }) => node);
}

const resolve = (caller: Caller, input: object) => expectData(schema, caller, RESOLVE, { input });
const typesOf = async (caller: Caller, runId: string) =>
  (await journalOf(caller, runId)).map(({ type }) => type.replace("agent.run.", ""));
const done = { status: 200, response: "seen in the ledger" };

describe("a run whose tool call was cut off", () => {
  it("waits for an operator, holding nothing, and says so", async () => {
    const { caller, runId, run, callId } = await aRunWithUnknownCall();
    expect(run).toMatchObject({ status: "WAITING_TOOL", dueAt: null, leaseExpiresAt: null });
    const types = await typesOf(caller, runId);
    expect(types.filter((type) => type.startsWith("tool"))).toEqual(["toolRequested", "toolOutcomeUnknown"]);
    expect(types.at(-1)).toBe("stepFinished");
    expect(await unknownCalls(caller)).toMatchObject([
      {
        ...{ id: callId, name: "webhook.send", status: "UNKNOWN", success: null },
        params: { endpoint: "orders", payload: { order: 42 } },
        unknownAt: expect.any(String) as string,
        run: { id: encodeId("Run", runId), status: "WAITING_TOOL" },
      },
    ]);
    expect(sink.received).toHaveLength(1);
  });

  it("goes on with the result that the operator gives, without calling again", async () => {
    const { caller, runId, callId } = await aRunWithUnknownCall();
    expect(await resolve(caller, { toolCallId: callId, outcome: "SUCCEEDED", result: done })).toMatchObject({
      resolveToolCall: { id: callId, status: "SUCCEEDED", success: true },
    });
    const run = await driveRun(caller, runId);
    expect(run).toMatchObject({ status: "COMPLETED", output: "I sent it to the webhook “orders”." });
    expect(await unknownCalls(caller)).toEqual([]);
    expect(sink.received).toHaveLength(1);
    const journal = await journalOf(caller, runId);
    expect(journal.map(({ seq }) => seq)).toEqual(journal.map((_, index) => index + 1));
    expect(journal.filter(({ type }) => type === "agent.run.toolResulted")).toMatchObject([
      { payload: { toolCall: { status: "SUCCEEDED", success: true } } },
    ]);
    const steps = journal.filter(({ type }) => type === "agent.run.stepFinished");
    expect(steps.map(({ payload }) => (payload["step"] as { type: string }).type)).toEqual([
      ...["MODEL", "TOOL", "TOOL", "MODEL"],
    ]);
  });

  it("tells the model what the operator says of a failure", async () => {
    const { caller, runId, callId } = await aRunWithUnknownCall();
    await resolve(caller, { toolCallId: callId, outcome: "FAILED", reason: "The order never arrived." });
    const run = await driveRun(caller, runId);
    expect(run.status).toBe("COMPLETED");
    expect(run.output).toContain("The order never arrived.");
    expect(sink.received).toHaveLength(1);
  });

  it("calls once more, with the same key, when the operator says so, and is charged for one call", async () => {
    const { caller, runId, callId } = await aRunWithUnknownCall();
    await resolve(caller, { toolCallId: callId, outcome: "RETRY" });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(sink.received.map(({ headers }) => headers["idempotency-key"])).toEqual([callId, callId]);
    const { rows } = await database().owner.query(
      "SELECT sum(quantity)::int AS calls FROM billing.usage_record WHERE run_id = $1 AND meter = 'tool.called'",
      [runId],
    );
    expect(rows).toEqual([{ calls: 1 }]);
    const announced = (await journalOf(caller, runId))
      .filter(({ type }) => type === "agent.run.usageRecorded")
      .flatMap(({ payload }) => payload["usage"] as { meter: string }[]);
    expect(announced.filter(({ meter }) => meter === "tool.called")).toHaveLength(1);
  });

  it("asks again when the repeat is cut off, too", async () => {
    const { caller, runId, callId } = await aRunWithUnknownCall();
    sink.script(breakOff);
    await resolve(caller, { toolCallId: callId, outcome: "RETRY" });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "WAITING_TOOL", dueAt: null });
    expect(await unknownCalls(caller)).toMatchObject([{ id: callId }]);
    expect(sink.received).toHaveLength(2);
  });

  it("is cancelled like any other, and its call can still be accounted for, but not be tried again", async () => {
    const { caller, runId, callId } = await aRunWithUnknownCall();
    await cancelRun(caller, { runId });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "CANCELLED" });
    const retry = { input: { toolCallId: callId, outcome: "RETRY" } };
    expect(await expectRefusal(schema, caller, RESOLVE, retry)).toMatchObject({ reason: "AGENT_RUN_ENDED" });
    await resolve(caller, { toolCallId: callId, outcome: "SUCCEEDED", result: done });
    expect(await getRun(caller, runId)).toMatchObject({ status: "CANCELLED", dueAt: null });
    expect(await unknownCalls(caller)).toEqual([]);
  });

  it("does not ask when the endpoint honours idempotency keys: it sends again", async () => {
    const caller = await aTenant(true);
    sink.script(breakOff);
    expect(await driveRun(caller, await start(caller))).toMatchObject({ status: "COMPLETED" });
    expect(sink.received).toHaveLength(2);
  });

  it("does not ask when the endpoint refused", async () => {
    const caller = await aTenant();
    sink.script(answer(422));
    expect((await driveRun(caller, await start(caller))).output).toContain("status 422");
    expect(await unknownCalls(caller)).toEqual([]);
  });
});

describe("a worker that dies or is paused while it calls", () => {
  it("leaves a call of unknown outcome, and commits nothing when it comes back", async () => {
    const caller = await aTenant();
    const arrived = Promise.withResolvers<() => void>();
    sink.script((response) => {
      arrived.resolve(() => response.end("late"));
    });
    const runId = await start(caller);
    const paused = advanceRun(caller, { runId }, context);
    const goOn = await arrived.promise;
    // It still renews its lease, unlike one that does not run at all: another takes it in between.
    await eventually(async () => {
      await database().owner.query("UPDATE agent.run SET lease_expires_at = now() WHERE id = $1", [runId]);
      await advanceRun(caller, { runId }, context);
      return (await getRun(caller, runId)).dueAt === null;
    });
    expect(await getRun(caller, runId)).toMatchObject({ status: "WAITING_TOOL" });
    goOn();
    await paused;
    expect(await unknownCalls(caller)).toHaveLength(1);
    expect((await typesOf(caller, runId)).filter((type) => type === "toolResulted")).toEqual([]);
    expect(sink.received).toHaveLength(1);
  });

  it("leaves a call that is simply made when it had not begun it", async () => {
    const caller = await aTenant();
    const runId = await start(caller);
    // Drained after each step was begun and before anything of it was done.
    const drained = AbortSignal.abort();
    for (let step = 0; step < 2; step++) await advanceRun(caller, { runId }, { ...context, signal: drained });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(sink.received).toHaveLength(1);
  });
});

describe("resolveToolCall", () => {
  it("works once, and gives a repeat with the same idempotency key the same answer", async () => {
    const { caller, runId, callId } = await aRunWithUnknownCall();
    const input = { toolCallId: callId, outcome: "FAILED", idempotencyKey: "resolve-1" };
    const first = await resolve(caller, input);
    await driveRun(caller, runId);
    expect(await resolve(caller, input)).toMatchObject({
      resolveToolCall: {
        id: callId,
        status: (first as { resolveToolCall: { status: string } }).resolveToolCall.status,
      },
    });
    const again = { input: { toolCallId: callId, outcome: "RETRY" } };
    expect(await expectRefusal(schema, caller, RESOLVE, again)).toMatchObject({
      code: "CONFLICT",
      reason: "INTEGRATIONS_TOOL_CALL_NOT_UNKNOWN",
    });
    expect(sink.received).toHaveLength(1);
  });

  it("is an operator's, of the same tenant", async () => {
    const { caller, callId } = await aRunWithUnknownCall();
    const other = aColleagueOf(caller, ["run:start", "run:cancel", "run:read"]);
    const retry = { input: { toolCallId: callId, outcome: "RETRY" } };
    expect(await expectRefusal(schema, other, RESOLVE, retry)).toMatchObject({ code: "FORBIDDEN" });
    expect(await expectRefusal(schema, other, UNKNOWN)).toMatchObject({ code: "FORBIDDEN" });
    expect(await expectRefusal(schema, aCaller(), RESOLVE, retry)).toMatchObject({ code: "NOT_FOUND" });
    const nowhere = { input: { toolCallId: encodeId("ToolCall", newId()), outcome: "RETRY" } };
    expect(await expectRefusal(schema, caller, RESOLVE, nowhere)).toMatchObject({ code: "NOT_FOUND" });
    expect(await unknownCalls(aCaller())).toEqual([]);
  });

  it("refuses a result that the tool could not have given, and leaves the call as it is", async () => {
    const { caller, callId } = await aRunWithUnknownCall();
    const input = { toolCallId: callId, outcome: "SUCCEEDED", result: { status: "fine" } };
    expect(await expectRefusal(schema, caller, RESOLVE, { input })).toMatchObject({
      code: "BAD_USER_INPUT",
      reason: "INTEGRATIONS_TOOL_RESOLUTION_INVALID",
    });
    expect(await unknownCalls(caller)).toHaveLength(1);
  });
});
