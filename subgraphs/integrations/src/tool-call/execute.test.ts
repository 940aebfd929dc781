import { platformErrors } from "@sba/platform/errors";
import { newId } from "@sba/platform/ids";
import { setLogLevel } from "@sba/platform/log";
import { aCaller } from "@sba/testkit/fixtures";
import { beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { defineTool, type Tool, type ToolContext } from "../tool/tool.ts";
import { executeTool, MAX_RESULT_BYTES } from "./execute.ts";

const params = z.object({ text: z.string().min(1) });

interface Behaviour {
  readonly run: (context: ToolContext, text: string) => Promise<unknown>;
  readonly timeoutMs?: number;
  readonly sideEffect?: boolean;
  readonly idempotent?: boolean;
}

function toolThat({ run, timeoutMs = 5_000, sideEffect = false, idempotent = true }: Behaviour): Tool {
  return defineTool({
    name: "test.echo",
    version: 1,
    description: "Does what a test tells it to.",
    params,
    result: z.object({ said: z.string() }),
    example: { text: "hello" },
    requires: ["knowledge:read"],
    approval: "NEVER",
    sideEffect,
    idempotent,
    timeoutMs,
    execute: (context, { text }) => run(context, text) as Promise<{ said: string }>,
  });
}

const never = (): Promise<never> => new Promise(() => undefined);
const untilAborted = ({ signal }: ToolContext): Promise<never> =>
  new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => {
      reject(signal.reason as Error);
    });
  });

function call(
  tool: Tool,
  given: {
    params?: unknown;
    signal?: AbortSignal;
    timeoutMs?: number;
    permissions?: [];
    hold?: () => Promise<void>;
  } = {},
) {
  const caller = given.permissions ? aCaller({ permissions: given.permissions }) : aCaller();
  const request = { id: newId(), params: given.params ?? { text: "hello" }, runId: null, agentKey: null };
  const options = {
    signal: given.signal ?? new AbortController().signal,
    ...(given.timeoutMs === undefined ? {} : { timeoutMs: given.timeoutMs }),
    ...(given.hold === undefined ? {} : { hold: given.hold }),
  };
  return executeTool(caller, tool, request, options);
}

describe("executeTool", () => {
  beforeAll(() => {
    setLogLevel("silent");
  });

  it("calls nothing for who may no longer call it by then", async () => {
    let called = false;
    const tool = toolThat({
      run: () => {
        called = true;
        return Promise.resolve({ said: "hello" });
      },
    });
    const hold = () => Promise.reject(platformErrors.OPERATION_CANCELLED());
    await expect(call(tool, { hold })).rejects.toMatchObject({ code: "OPERATION_CANCELLED" });
    expect(called).toBe(false);
  });

  it("gives the tool its caller, the call's id and parsed parameters, and returns the parsed result", async () => {
    const seen: ToolContext[] = [];
    const tool = toolThat({
      run: (context, text) => {
        seen.push(context);
        return Promise.resolve({ said: text, more: 1 });
      },
    });
    const caller = aCaller();
    const [id, runId] = [newId(), newId()];
    const outcome = await executeTool(
      caller,
      tool,
      { id, params: { text: "hi" }, runId, agentKey: "handbook" },
      { signal: new AbortController().signal },
    );
    expect(outcome).toMatchObject({ ok: true, result: { said: "hi" } });
    expect(outcome.ok && outcome.result).not.toHaveProperty("more");
    expect(seen[0]).toMatchObject({ caller, callId: id, runId, agentKey: "handbook" });
  });

  it("calls nothing for a caller without the permission", async () => {
    let calls = 0;
    const tool = toolThat({
      run: () => {
        calls += 1;
        return Promise.resolve({ said: "" });
      },
    });
    expect(await call(tool, { permissions: [] })).toMatchObject({
      ok: false,
      notRun: true,
      error: { code: "PERMISSION_MISSING", retryable: false },
    });
    expect(calls).toBe(0);
  });

  it("calls nothing with parameters that do not fit, and does not repeat their values", async () => {
    const outcome = await call(toolThat({ run: never }), { params: { text: { password: "hunter2" } } });
    expect(outcome).toMatchObject({ ok: false, notRun: true, error: { code: "INTEGRATIONS_TOOL_PARAMS_INVALID" } });
    expect(JSON.stringify(outcome)).not.toContain("hunter2");
  });

  it("calls nothing once the caller has given up", async () => {
    expect(await call(toolThat({ run: never }), { signal: AbortSignal.abort() })).toMatchObject({
      notRun: true,
      error: { code: "INTEGRATIONS_TOOL_CANCELLED" },
    });
  });

  it("aborts the tool's signal at its timeout, and at the caller's shorter one", async () => {
    expect(await call(toolThat({ run: untilAborted, timeoutMs: 30 }))).toMatchObject({
      ok: false,
      error: { code: "INTEGRATIONS_TOOL_TIMED_OUT", retryable: true },
    });
    expect(await call(toolThat({ run: untilAborted }), { timeoutMs: 30 })).toMatchObject({
      error: { code: "INTEGRATIONS_TOOL_TIMED_OUT" },
    });
  });

  it("never waits longer than the tool's own timeout", async () => {
    const outcome = await call(toolThat({ run: untilAborted, timeoutMs: 30 }), { timeoutMs: 60_000 });
    expect(outcome).toMatchObject({ error: { code: "INTEGRATIONS_TOOL_TIMED_OUT" } });
  });

  it("aborts the tool's signal when the caller gives up", async () => {
    const controller = new AbortController();
    const outcome = call(
      toolThat({
        run: (context) => {
          controller.abort();
          return untilAborted(context);
        },
      }),
      { signal: controller.signal },
    );
    expect(await outcome).toMatchObject({
      ok: false,
      error: { code: "INTEGRATIONS_TOOL_CANCELLED", retryable: false },
    });
  });

  it("abandons a tool that ignores its signal, within a second", async () => {
    const startedAt = performance.now();
    expect(await call(toolThat({ run: never, timeoutMs: 30 }))).toMatchObject({
      error: { code: "INTEGRATIONS_TOOL_TIMED_OUT" },
    });
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  it("takes the result of a tool that finished its work although it was aborted", async () => {
    const controller = new AbortController();
    const tool = toolThat({
      run: () => {
        controller.abort();
        return Promise.resolve({ said: "done" });
      },
    });
    expect(await call(tool, { signal: controller.signal })).toMatchObject({ ok: true, result: { said: "done" } });
  });

  it("does not guess what an aborted tool did that must not run twice", async () => {
    const tool = toolThat({ run: never, timeoutMs: 30, sideEffect: true, idempotent: false });
    expect(await call(tool)).toMatchObject({
      ok: false,
      unknown: true,
      error: { code: "INTEGRATIONS_TOOL_OUTCOME_UNKNOWN", retryable: false },
    });
  });

  it("turns whatever a tool throws into an outcome without its words", async () => {
    for (const thrown of [
      new Error("password=hunter2"),
      "hunter2",
      undefined,
      platformErrors.INTERNAL({ message: "hunter2" }),
    ]) {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- that is what a careless tool does
      const outcome = await call(toolThat({ run: () => Promise.reject(thrown) }));
      expect(outcome).toMatchObject({
        ok: false,
        error: { code: "INTEGRATIONS_TOOL_FAILED", message: "The tool test.echo failed." },
      });
      expect(JSON.stringify(outcome)).not.toContain("hunter2");
    }
  });

  it("survives a tool that throws before it returns a promise", async () => {
    expect(
      await call(
        toolThat({
          run: () => {
            throw new Error("at once");
          },
        }),
      ),
    ).toMatchObject({ error: { code: "INTEGRATIONS_TOOL_FAILED" } });
  });

  it("keeps the code and the retry of errors that a domain meant to be seen", async () => {
    const outcome = await call(toolThat({ run: () => Promise.reject(platformErrors.DATABASE_UNAVAILABLE()) }));
    expect(outcome).toMatchObject({ ok: false, error: { code: "DATABASE_UNAVAILABLE", retryable: true } });
  });

  it.each([
    ["of another shape", { spoken: "hi" }],
    ["that jsonb cannot hold", { said: "a\0b" }],
    ["with half a character", { said: "\ud83d" }],
  ])("refuses a result %s", async (_what, result) => {
    expect(await call(toolThat({ run: () => Promise.resolve(result) }))).toMatchObject({
      ok: false,
      error: { code: "INTEGRATIONS_TOOL_RESULT_INVALID" },
    });
  });

  it("takes a result of 256 KiB and refuses one of a byte more", async () => {
    const fitting = "x".repeat(MAX_RESULT_BYTES - JSON.stringify({ said: "" }).length);
    const echo = (said: string) => call(toolThat({ run: () => Promise.resolve({ said }) }));
    expect(await echo(fitting)).toMatchObject({ ok: true });
    expect(await echo(`${fitting}x`)).toMatchObject({
      ok: false,
      error: { code: "INTEGRATIONS_TOOL_RESULT_TOO_LARGE" },
    });
  });

  it("leaves no listener on the caller's signal", async () => {
    const controller = new AbortController();
    let listeners = 0;
    const add = controller.signal.addEventListener.bind(controller.signal);
    const remove = controller.signal.removeEventListener.bind(controller.signal);
    controller.signal.addEventListener = (...given: Parameters<typeof add>) => {
      listeners += 1;
      add(...given);
    };
    controller.signal.removeEventListener = (...given: Parameters<typeof remove>) => {
      listeners -= 1;
      remove(...given);
    };
    await call(toolThat({ run: () => Promise.resolve({ said: "hi" }) }), { signal: controller.signal });
    expect(listeners).toBe(0);
  });
});
