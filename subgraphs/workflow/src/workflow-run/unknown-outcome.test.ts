import { resolveToolCall } from "@sba/agent/index";
import { createWebhookEndpoint, listUnknownToolCalls } from "@sba/integrations/index";
import { breakOff, useSink } from "@sba/integrations/testing";
import type { Caller } from "@sba/platform/caller";
import { useSecretKey } from "@sba/platform/secrets";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { driveWorkflowRun, givenWorkflow, givenWorkflowRun } from "../testing.ts";
import { cancelWorkflowRun, getWorkflowRun, resumeAfterToolCall } from "./workflow-run.ts";

useDatabase();
const sink = useSink();
useSecretKey("a-secret-key-that-only-tests-know");

/** A workflow run whose one tool call was cut off: it may have done its work. */
async function aRunWithUnknownCall() {
  const caller = aCaller();
  await createWebhookEndpoint(caller, { name: "orders", url: sink.url(), honoursIdempotencyKeys: false });
  const key = await givenWorkflow(caller, [
    { key: "send", kind: "tool-call", tool: "webhook.send", params: { endpoint: "orders", payload: { order: 42 } } },
  ]);
  sink.script(breakOff);
  const id = await givenWorkflowRun(caller, key);
  const { items } = await listUnknownToolCalls(caller, { first: 10 });
  return { caller, id, toolCallId: items[0]!.id };
}

/** What the operator says, and what the reaction to it does. */
async function resolve(caller: Caller, input: Parameters<typeof resolveToolCall>[1]): Promise<void> {
  await resolveToolCall(caller, input);
  await resumeAfterToolCall(caller, input.toolCallId);
}

describe("a step whose tool call was cut off", () => {
  it("waits for an operator without holding a worker, and ends as the operator says", async () => {
    const { caller, id, toolCallId } = await aRunWithUnknownCall();
    expect(await getWorkflowRun(caller, id)).toMatchObject({ status: "WAITING", leaseExpiresAt: null });
    expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "WAITING" });
    const result = { status: 200, response: "seen" };
    await resolve(caller, { toolCallId, outcome: "SUCCEEDED", result });
    expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "COMPLETED", output: result });
    expect(sink.received).toHaveLength(1);
  });

  it("fails with what the operator says", async () => {
    const { caller, id, toolCallId } = await aRunWithUnknownCall();
    await resolve(caller, { toolCallId, outcome: "FAILED", reason: "Never arrived." });
    expect(await driveWorkflowRun(caller, id)).toMatchObject({
      status: "FAILED",
      errorCode: "INTEGRATIONS_TOOL_RESOLVED_FAILED",
    });
    expect(sink.received).toHaveLength(1);
  });

  it("calls once more, with the same key, when the operator says so", async () => {
    const { caller, id, toolCallId } = await aRunWithUnknownCall();
    await resolve(caller, { toolCallId, outcome: "RETRY" });
    expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "COMPLETED" });
    expect(new Set(sink.received.map(({ headers }) => headers["idempotency-key"])).size).toBe(1);
    expect(sink.received).toHaveLength(2);
  });

  it("is cancelled with its run, and leaves the call to the operator", async () => {
    const { caller, id, toolCallId } = await aRunWithUnknownCall();
    await cancelWorkflowRun(caller, { workflowRunId: id });
    expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "CANCELLED" });
    expect((await listUnknownToolCalls(caller, { first: 10 })).items.map((call) => call.id)).toEqual([toolCallId]);
    expect(sink.received).toHaveLength(1);
  });
});
