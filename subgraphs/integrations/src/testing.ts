import type { Caller } from "@sba/platform/caller";
import { newId } from "@sba/platform/ids";
import { isPermission } from "@sba/platform/permissions";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { executeTool, type ToolOutcome } from "./tool-call/execute.ts";
import { defineTool, type Tool } from "./tool/tool.ts";

/** For tests of this and higher domains. */

/** Cancelled tools answer within this time. */
const ABORT_LIMIT_MS = 1_000;

/**
 * What every tool promises, run over an array of tools. The file that calls it has a database (`useDatabase`), and what
 * the tools need beside it; `caller` makes a caller who may do everything.
 */
export function toolContract(tools: readonly Tool[], caller: () => Caller): void {
  describe("the tool contract", () => {
    it("has each name once", () => {
      expect(tools.map(({ name }) => name)).toEqual([...new Set(tools.map(({ name }) => name))]);
    });
    describe.each(tools.map((tool) => [tool.name, tool] as const))("%s", (_name, tool) => {
      definitionContract(tool);
      paramsContract(tool);
      executionContract(tool, caller);
    });
  });
}

function definitionContract(tool: Tool): void {
  it("says what it is, to a model and to an approver", () => {
    expect(tool.description.length).toBeGreaterThan(20);
    expect(tool.version).toBeGreaterThan(0);
    expect(tool.requires.filter((permission) => !isPermission(permission))).toEqual([]);
    expect(tool.requires).not.toEqual([]);
    expect(tool.definitionHash).toMatch(/^[\w-]{43}$/);
  });

  it("describes its parameters as a JSON Schema of an object", () => {
    expect(tool.paramsSchema).toMatchObject({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
    });
    expect(JSON.parse(JSON.stringify(tool.paramsSchema))).toEqual(tool.paramsSchema);
  });
}

function paramsContract(tool: Tool): void {
  it("takes its own example, and parses what it parsed to the same", () => {
    const parsed = tool.params.parse(tool.example);
    expect(tool.params.parse(JSON.parse(JSON.stringify(parsed)))).toEqual(parsed);
  });

  it("refuses parameters that are no object, and its example without what is required", () => {
    const example = tool.example as Record<string, unknown>;
    const required = (tool.paramsSchema["required"] ?? []) as string[];
    const incomplete = required.map((name) =>
      Object.fromEntries(Object.entries(example).filter(([key]) => key !== name)),
    );
    const wrong = Object.entries(example).map(([name, value]) => ({
      ...example,
      [name]: typeof value === "object" ? "no object" : { unexpected: true },
    }));
    for (const params of [null, "text", 42, [], ...incomplete, ...wrong]) {
      expect(tool.params.safeParse(params).success, JSON.stringify(params)).toBe(false);
    }
  });
}

function executionContract(tool: Tool, caller: () => Caller): void {
  it.each(tool.requires)("is not called for a caller without %s", async (permission) => {
    const all = caller();
    const permissions = new Set([...all.permissions].filter((each) => each !== permission));
    const outcome = await callWith(tool, { ...all, permissions }, new AbortController().signal);
    expect(outcome).toMatchObject({ ok: false, notRun: true, error: { code: "PERMISSION_MISSING" } });
  });

  it("ends within a second of being cancelled", async () => {
    const controller = new AbortController();
    const pending = callWith(tool, caller(), controller.signal);
    const cancelledAt = performance.now();
    controller.abort();
    await pending;
    expect(performance.now() - cancelledAt).toBeLessThan(ABORT_LIMIT_MS);
  });
}

function callWith(tool: Tool, caller: Caller, signal: AbortSignal): Promise<ToolOutcome> {
  const params = tool.params.parse(tool.example);
  return executeTool(caller, tool, { id: newId(), params, runId: null, agentKey: null }, { signal });
}

export interface CountingBehaviour {
  readonly idempotent?: boolean;
  readonly isRepeatable?: () => Promise<boolean>;
  readonly fails?: boolean;
  readonly hangs?: boolean;
}

/** A tool that must not be called twice unless it is told otherwise, and the idempotency keys that it was called with. */
export function aCountingTool({ idempotent = false, isRepeatable, fails, hangs }: CountingBehaviour = {}) {
  const received: string[] = [];
  const tool = defineTool({
    name: "test.count",
    version: 1,
    description: "Counts how often it is called.",
    params: z.object({ step: z.number().int().min(1).default(1) }),
    result: z.object({ total: z.number() }),
    example: { step: 1 },
    requires: ["knowledge:read"],
    approval: "NEVER",
    sideEffect: true,
    idempotent,
    ...(isRepeatable === undefined ? {} : { isRepeatable }),
    timeoutMs: 1_000,
    execute: ({ callId }, { step }) => {
      received.push(callId);
      if (hangs) return new Promise(() => undefined);
      return fails ? Promise.reject(new Error("broken")) : Promise.resolve({ total: step });
    },
  });
  return { tool, received };
}

export { answer, breakOff, useSink, type Sink } from "./webhook-endpoint/sink.testing.ts";
