import { withTenant } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { aCountingTool } from "../testing.ts";
import { callTool, runToolCall } from "./run-tool-call.ts";
import { requestToolCall } from "./tool-call.ts";

const database = useDatabase();
const { signal } = new AbortController();

async function aRequestedCall(counting = aCountingTool()) {
  const caller = aCaller();
  const { tool } = counting;
  const id = newId();
  const call = await withTenant(caller, (tx) => requestToolCall(tx, caller, { id, tool, params: {} }));
  return { ...counting, caller, id, run: () => runToolCall(caller, tool, call, { signal }) };
}

describe("runToolCall", () => {
  it("calls a tool that must not be called twice for the first who asks, whoever else does at the same time or later", async () => {
    const { id, run, received } = await aRequestedCall();
    const outcomes = await Promise.all([run(), run(), run()]);
    expect(received).toEqual([id]);
    expect(outcomes.filter(({ ok }) => ok)).toHaveLength(1);
    expect(await run()).toMatchObject({
      ok: false,
      unknown: true,
      error: { code: "INTEGRATIONS_TOOL_OUTCOME_UNKNOWN", retryable: false },
    });
    expect(received).toEqual([id]);
  });

  it("repeats with the same key what may be repeated, also when only this call may be", async () => {
    for (const counting of [
      aCountingTool({ idempotent: true }),
      aCountingTool({ isRepeatable: () => Promise.resolve(true) }),
    ]) {
      const { id, run, received } = await aRequestedCall(counting);
      expect(await run()).toMatchObject({ ok: true });
      expect(await run()).toMatchObject({ ok: true });
      expect(received).toEqual([id, id]);
    }
  });

  it("does not say that a call failed which was cut off in the middle of what must not happen twice", async () => {
    const { caller, tool } = await aRequestedCall(aCountingTool({ hangs: true }));
    const call = await withTenant(caller, (tx) => requestToolCall(tx, caller, { id: newId(), tool, params: {} }));
    expect(await runToolCall(caller, tool, call, { signal, timeoutMs: 1 })).toMatchObject({ unknown: true });
  });
});

describe("callTool", () => {
  it("calls the tool once for one id and gives every repeat the first outcome", async () => {
    const caller = aCaller();
    const { tool, received } = aCountingTool();
    const id = newId();
    const first = await callTool(caller, { id, tool, params: { step: 4 } }, { signal });
    expect(first).toMatchObject({ status: "SUCCEEDED", result: { total: 4 } });
    expect(await callTool(caller, { id, tool, params: { step: 4 } }, { signal })).toMatchObject({
      status: "SUCCEEDED",
      usage: [],
    });
    expect(received).toEqual([id]);
  });

  it("records a failing tool and throws nothing", async () => {
    const call = await callTool(aCaller(), { tool: aCountingTool({ fails: true }).tool, params: {} }, { signal });
    expect(call).toMatchObject({ status: "FAILED", error: { code: "INTEGRATIONS_TOOL_FAILED" } });
  });

  it("calls what was requested and never begun when a worker died", async () => {
    const { caller, id, tool, received } = await aRequestedCall();
    expect(await callTool(caller, { id, tool, params: {} }, { signal })).toMatchObject({ status: "SUCCEEDED" });
    expect(received).toEqual([id]);
  });

  it("does not repeat what was begun: first it may be under way, then its outcome is unknown", async () => {
    const { caller, id, tool, run, received } = await aRequestedCall();
    await run();
    await expect(callTool(caller, { id, tool, params: {} }, { signal })).rejects.toMatchObject({
      code: "INTEGRATIONS_TOOL_CALL_IN_PROGRESS",
      retryable: true,
    });
    await database().owner.query(
      "UPDATE integrations.tool_call SET begun_at = now() - interval '1 hour' WHERE id = $1",
      [id],
    );
    expect(await callTool(caller, { id, tool, params: {} }, { signal })).toMatchObject({
      status: "UNKNOWN",
      success: null,
    });
    expect(received).toEqual([id]);
  });
});
