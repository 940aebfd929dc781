import { listRunUsage } from "@sba/billing/index";
import { withTenant } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { defineTool } from "../tool/tool.ts";
import { refuseCall, type ToolOutcome } from "./execute.ts";
import { errors } from "../errors.ts";
import { listToolCalls, recordSettledCall, recordToolOutcome, requestToolCall, settleToolCall } from "./tool-call.ts";

useDatabase();

const tool = defineTool({
  name: "test.count",
  version: 1,
  description: "Counts how often it is called.",
  params: z.object({ step: z.number().int().min(1).default(1), note: z.string().optional() }),
  result: z.object({ total: z.number() }),
  example: { step: 1 },
  requires: ["knowledge:read"],
  approval: "NEVER",
  sideEffect: true,
  idempotent: true,
  timeoutMs: 1_000,
  execute: (_context, { step }) => Promise.resolve({ total: step }),
});

const done: ToolOutcome = { ok: true, result: { total: 1 }, durationMs: 7 };

describe("requestToolCall", () => {
  it("writes down what is about to be done, with parameters as they were parsed", async () => {
    const caller = aCaller();
    const [id, runId] = [newId(), newId()];
    const call = await withTenant(caller, (tx) =>
      requestToolCall(tx, caller, { id, tool, params: {}, runId, stepNumber: 3, agentKey: "handbook" }),
    );
    expect(call).toMatchObject({
      id,
      name: "test.count",
      version: 1,
      params: { step: 1 },
      status: "REQUESTED",
      success: null,
      runId,
      stepNumber: 3,
      agentKey: "handbook",
    });
    expect(await listToolCalls(caller, [id])).toMatchObject([{ id, status: "REQUESTED" }]);
  });

  it("returns the same call for the same id, and refuses the id for another call", async () => {
    const caller = aCaller();
    const id = newId();
    const request = (params: unknown) => withTenant(caller, (tx) => requestToolCall(tx, caller, { id, tool, params }));
    const first = await request({ note: "a", step: 2 });
    expect(await request({ step: 2, note: "a" })).toEqual(first);
    await expect(request({ step: 3, note: "a" })).rejects.toMatchObject({ code: "INTEGRATIONS_TOOL_CALL_REUSED" });
  });

  it.each([
    ["of the wrong type", { step: "many" }],
    ["out of range", { step: 0 }],
    ["that are no object", null],
    ["that jsonb cannot hold", { note: "a\0b" }],
    ["that are too large", { note: "x".repeat(512 * 1024) }],
  ])("refuses parameters %s and writes nothing", async (_what, params) => {
    const caller = aCaller();
    const id = newId();
    const request = withTenant(caller, (tx) => requestToolCall(tx, caller, { id, tool, params }));
    await expect(request).rejects.toMatchObject({ code: "INTEGRATIONS_TOOL_PARAMS_INVALID", kind: "invalid_input" });
    expect(await listToolCalls(caller, [id])).toEqual([]);
  });

  it("refuses a caller without the tool's permission", async () => {
    const caller = aCaller({ permissions: ["run:start"] });
    const request = withTenant(caller, (tx) => requestToolCall(tx, caller, { id: newId(), tool, params: {} }));
    await expect(request).rejects.toMatchObject({
      code: "PERMISSION_MISSING",
      details: { permission: "knowledge:read" },
    });
  });
});

describe("recordToolOutcome", () => {
  async function aRequestedCall() {
    const caller = aCaller();
    const [id, runId] = [newId(), newId()];
    await withTenant(caller, (tx) => requestToolCall(tx, caller, { id, tool, params: {}, runId }));
    const record = (outcome: ToolOutcome) => withTenant(caller, (tx) => recordToolOutcome(tx, caller, id, outcome));
    return { caller, id, runId, record };
  }

  it("records the outcome and meters one call", async () => {
    const { caller, runId, record } = await aRequestedCall();
    const recorded = await record(done);
    expect(recorded).toMatchObject({
      status: "SUCCEEDED",
      success: true,
      result: { total: 1 },
      error: null,
      durationMs: 7,
    });
    expect(recorded.usage).toMatchObject([{ meter: "tool.called", quantity: 1n }]);
    expect(await listRunUsage(caller, [runId])).toMatchObject([{ meter: "tool.called", quantity: 1n }]);
  });

  it("keeps the first outcome and meters nothing more when it is recorded again", async () => {
    const { caller, runId, record } = await aRequestedCall();
    await record(done);
    const again = await record({ ok: false, error: { code: "X", message: "later", retryable: false }, durationMs: 9 });
    expect(again).toMatchObject({ status: "SUCCEEDED", result: { total: 1 }, durationMs: 7, usage: [] });
    expect(await listRunUsage(caller, [runId])).toMatchObject([{ quantity: 1n }]);
  });

  it("keeps one outcome when two workers record at once", async () => {
    const { caller, runId, record } = await aRequestedCall();
    const both = await Promise.all([record(done), record({ ok: true, result: { total: 2 }, durationMs: 8 })]);
    expect(both[0].result).toEqual(both[1].result);
    expect(both.map(({ usage }) => usage.length).sort()).toEqual([0, 1]);
    expect(await listRunUsage(caller, [runId])).toMatchObject([{ quantity: 1n }]);
  });

  it("meters a call that failed, and none that was refused before it began", async () => {
    const failed = await aRequestedCall();
    const failure = await failed.record({
      ok: false,
      error: { code: "X", message: "no", retryable: true },
      durationMs: 1,
    });
    expect(failure).toMatchObject({
      status: "FAILED",
      success: false,
      result: null,
      error: { code: "X", message: "no", retryable: true },
    });
    expect(failure.usage).toHaveLength(1);
    const refused = await aRequestedCall();
    const refusal = await refused.record(refuseCall(errors.INTEGRATIONS_TOOL_CANCELLED()));
    expect(refusal).toMatchObject({ status: "FAILED", durationMs: null, usage: [] });
    expect(await listRunUsage(refused.caller, [refused.runId])).toEqual([]);
  });

  it("shows colleagues the same call", async () => {
    const { caller, id, record } = await aRequestedCall();
    await record(done);
    expect(await listToolCalls(aColleagueOf(caller), [id])).toMatchObject([{ id, status: "SUCCEEDED" }]);
  });

  it("does not find another tenant's call, and does not show it", async () => {
    const { id } = await aRequestedCall();
    const stranger = aCaller();
    const record = withTenant(stranger, (tx) => recordToolOutcome(tx, stranger, id, done));
    await expect(record).rejects.toMatchObject({ code: "INTEGRATIONS_TOOL_CALL_NOT_FOUND" });
    expect(await listToolCalls(stranger, [id])).toEqual([]);
  });
});

describe("recordSettledCall", () => {
  it("stores what settleToolCall says that the call costs, by the price list that is asked for", async () => {
    const caller = aCaller();
    const [id, runId] = [newId(), newId()];
    const call = await withTenant(caller, async (tx) => {
      const requested = await requestToolCall(tx, caller, { id, tool, params: {}, runId });
      recordSettledCall(tx, caller, requested, done, 1);
      return requested;
    });
    expect(await listRunUsage(caller, [runId])).toEqual([{ runId, ...settleToolCall(call, done, 1).usage[0]! }]);
    expect(() => settleToolCall(call, done, 99)).toThrow("there is no price list 99");
    const other = { ...call, id: newId() };
    const record = withTenant(caller, (tx) => Promise.resolve(recordSettledCall(tx, caller, other, done, 99)));
    await expect(record).rejects.toThrow("there is no price list 99");
  });
});
