import { listRunUsage } from "@sba/billing/index";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { encodeId, newId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { aCountingTool } from "../testing.ts";
import { unknownOutcome, type ToolOutcome } from "./execute.ts";
import { listUnknownToolCalls, resolveToolCall, type ResolveToolCallInput } from "./resolve.ts";
import { runToolCall } from "./run-tool-call.ts";
import { getToolCall, recordSettledCall, recordToolOutcome, requestToolCall, settleToolCall } from "./tool-call.ts";

const database = useDatabase();
const { signal } = new AbortController();
const { tool } = aCountingTool();
const done: ToolOutcome = { ok: true, result: { total: 1 }, durationMs: 7 };

async function anUnknownCall(caller = aCaller(), runId?: string) {
  const id = newId();
  const call = await withTenant(caller, async (tx) => {
    await requestToolCall(tx, caller, { id, tool, params: {}, runId });
    return recordToolOutcome(tx, caller, id, unknownOutcome());
  });
  return { caller, id, call };
}

function resolve(caller: Caller, toolCallId: string, input: Omit<ResolveToolCallInput, "toolCallId">) {
  return withTenant(caller, (tx) => resolveToolCall(tx, caller, { toolCallId, ...input }, tool));
}

const read = (caller: Caller, id: string) => withTenant(caller, (tx) => getToolCall(tx, caller, id));

async function auditOf(id: string) {
  const { rows } = await database().owner.query(
    "SELECT action, principal_id, details FROM platform.audit_entry WHERE target = $1",
    [encodeId("ToolCall", id)],
  );
  return rows as unknown[];
}

describe("a call whose outcome is unknown", () => {
  it("has not ended, and says since when", async () => {
    const { caller, id, call } = await anUnknownCall();
    expect(call).toMatchObject({ status: "UNKNOWN", success: null, durationMs: null, finishedAt: null });
    expect(call.unknownAt).toBeInstanceOf(Date);
    expect(await read(caller, id)).toMatchObject({ status: "UNKNOWN", finishedAt: null });
  });

  it("is listed to operators, the newest first, page by page and of their tenant only", async () => {
    const caller = aCaller();
    const ids: string[] = [];
    for (let index = 0; index < 3; index++) ids.unshift((await anUnknownCall(caller)).id);
    await anUnknownCall();
    const first = await listUnknownToolCalls(caller, { first: 2 });
    expect(first).toMatchObject({ items: [{ id: ids[0] }, { id: ids[1] }], hasNextPage: true });
    const after = Buffer.from(`key:${ids[1]}`).toString("base64url");
    expect(await listUnknownToolCalls(caller, { first: 2, after })).toMatchObject({
      items: [{ id: ids[2] }],
      hasNextPage: false,
    });
    await resolve(caller, ids[0]!, { outcome: "FAILED" });
    expect((await listUnknownToolCalls(caller, { first: 5 })).items.map(({ id }) => id)).toEqual(ids.slice(1));
  });

  it("succeeds with the result that an operator gives, as the tool's schema reads it", async () => {
    const { caller, id } = await anUnknownCall();
    const resolved = await resolve(caller, id, { outcome: "SUCCEEDED", result: { total: 2, more: 1 }, reason: "seen" });
    expect(resolved).toMatchObject({ status: "SUCCEEDED", success: true, result: { total: 2 }, error: null });
    expect(resolved.result).not.toHaveProperty("more");
    expect(await auditOf(id)).toEqual([
      {
        action: "integrations.toolCall.resolved",
        principal_id: caller.principalId,
        details: { tool: "test.count", outcome: "SUCCEEDED", reason: "seen", runId: null },
      },
    ]);
  });

  it("fails with what the operator says", async () => {
    const { caller, id } = await anUnknownCall();
    expect(await resolve(caller, id, { outcome: "FAILED", reason: "Never arrived." })).toMatchObject({
      status: "FAILED",
      success: false,
      result: null,
      error: {
        code: "INTEGRATIONS_TOOL_RESOLVED_FAILED",
        message: "An operator found that the call did not do its work. Never arrived.",
      },
    });
  });

  it.each([
    ["no result", { outcome: "SUCCEEDED" as const }],
    ["a result that the tool does not give", { outcome: "SUCCEEDED" as const, result: { total: "many" } }],
    ["the result of a failure", { outcome: "FAILED" as const, result: { total: 1 } }],
    ["the result of what is to be tried again", { outcome: "RETRY" as const, result: { total: 1 } }],
  ])("is not resolved with %s", async (_what, input) => {
    const { caller, id } = await anUnknownCall();
    await expect(resolve(caller, id, input)).rejects.toMatchObject({
      code: "INTEGRATIONS_TOOL_RESOLUTION_INVALID",
      kind: "invalid_input",
    });
    expect(await read(caller, id)).toMatchObject({ status: "UNKNOWN" });
    expect(await auditOf(id)).toEqual([]);
  });

  it("is resolved once, also by two at the same time, and only while it is unknown", async () => {
    const { caller, id } = await anUnknownCall();
    const both = await Promise.allSettled([
      resolve(caller, id, { outcome: "RETRY" }),
      resolve(caller, id, { outcome: "FAILED" }),
    ]);
    expect(both.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    await expect(resolve(caller, id, { outcome: "FAILED" })).rejects.toMatchObject({
      code: "INTEGRATIONS_TOOL_CALL_NOT_UNKNOWN",
      kind: "conflict",
    });
    expect(await auditOf(id)).toHaveLength(1);
  });

  it("is resolved by whoever may, and not from another tenant", async () => {
    const { caller, id } = await anUnknownCall();
    await expect(resolve(aColleagueOf(caller, ["run:start"]), id, { outcome: "RETRY" })).rejects.toMatchObject({
      code: "PERMISSION_MISSING",
    });
    await expect(resolve(aCaller(), id, { outcome: "RETRY" })).rejects.toMatchObject({
      code: "INTEGRATIONS_TOOL_CALL_NOT_FOUND",
    });
    const operator = aColleagueOf(caller, ["toolcall:resolve"]);
    expect(await resolve(operator, id, { outcome: "RETRY" })).toMatchObject({ status: "REQUESTED", error: null });
  });

  it("is called once more when the operator says so, once, and is metered as one call", async () => {
    const [caller, runId] = [aCaller(), newId()];
    const counting = aCountingTool();
    const id = newId();
    const requested = await withTenant(caller, (tx) => requestToolCall(tx, caller, { id, tool, params: {}, runId }));
    const run = async () => runToolCall(caller, counting.tool, await read(caller, id), { signal });
    await run();
    const settled = settleToolCall(requested, unknownOutcome());
    expect(settled).toMatchObject({ status: "UNKNOWN", usage: [{ meter: "tool.called", quantity: 1n }] });
    await withTenant(caller, (tx) => Promise.resolve(recordSettledCall(tx, caller, requested, unknownOutcome())));
    await resolve(caller, id, { outcome: "RETRY" });
    const again = await read(caller, id);
    expect(await run()).toEqual({ ok: true, result: { total: 1 }, durationMs: expect.any(Number) as number });
    expect(await run()).toMatchObject({ unknown: true });
    expect(counting.received).toEqual([id, id]);
    expect(settleToolCall(again, done).usage).toEqual([]);
    expect(await withTenant(caller, (tx) => recordToolOutcome(tx, caller, id, done))).toMatchObject({
      status: "SUCCEEDED",
      usage: [],
    });
    expect(await listRunUsage(caller, [runId])).toMatchObject([{ quantity: 1n }]);
  });

  it("tells higher domains when it is resolved, unless a run waits for it", async () => {
    const caller = aCaller();
    const ofNobody = await anUnknownCall(caller);
    const ofRun = await anUnknownCall(caller, newId());
    for (const { id } of [ofNobody, ofRun]) await resolve(caller, id, { outcome: "FAILED" });
    const { rows } = await database().owner.query(
      "SELECT envelope->'payload'->>'stream' AS stream FROM platform.outbox WHERE tenant_id = $1",
      [caller.tenantId],
    );
    expect(rows).toEqual([{ stream: `toolCall:${ofNobody.id}` }]);
  });
});
