import type { Caller } from "@sba/platform/caller";
import { hashInput } from "@sba/platform/idempotency";
import type { Logger } from "@sba/platform/log";
import type { Permission } from "@sba/platform/permissions";
import { z } from "zod";

/** Whether a person must agree before a call. A tenant's policy may ask for more, never for less. */
export type ToolApproval = "NEVER" | "ALWAYS";

/** What a tool learns about the call it serves. */
export interface ToolContext {
  readonly caller: Caller;
  /** UUID of the call and its idempotency key: a repeat after a crash carries the same one. */
  readonly callId: string;
  /** UUID of the run that asked, if one did. */
  readonly runId?: string;
  readonly agentKey?: string;
  /** Aborted at the timeout or when the caller gives up; whoever ignores it is abandoned shortly after. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** How one tool is written. What `params` and `result` say is also what models and people are told. */
export interface ToolDefinition<Params extends z.ZodType, Result extends z.ZodType> {
  /** `domain.verb`, as `knowledge.search`. */
  readonly name: string;
  /** Grows whenever a caller could notice the change. */
  readonly version: number;
  /** One or two sentences for the model that decides whether to call it. */
  readonly description: string;
  /** Plain JSON in, the same JSON out: parsing what was parsed changes nothing, since calls are stored parsed. */
  readonly params: Params;
  readonly result: Result;
  /** Parameters that a call could carry: shown to authors of agents, and tried by the contract suite. */
  readonly example: z.input<Params>;
  /** What the caller must hold, each of them. */
  readonly requires: readonly Permission[];
  readonly approval: ToolApproval;
  /** True when a call changes something outside the platform's own run. */
  readonly sideEffect: boolean;
  /** True when a repeat with the same `callId` does nothing more than the first call. */
  readonly idempotent: boolean;
  /** The same of one call, for a tool that is idempotent only with some parameters. */
  isRepeatable?(caller: Caller, params: z.output<Params>): Promise<boolean>;
  /** 1 to 600,000. */
  readonly timeoutMs: number;
  execute(context: ToolContext, params: z.output<Params>): Promise<z.input<Result>>;
}

/** A tool as the platform calls it: whatever its types are, it takes and gives checked JSON. */
export interface Tool {
  readonly name: string;
  readonly version: number;
  readonly description: string;
  readonly params: z.ZodType;
  readonly result: z.ZodType;
  readonly example: unknown;
  /** JSON Schema (draft 2020-12) of the parameters. */
  readonly paramsSchema: Readonly<Record<string, unknown>>;
  readonly requires: readonly Permission[];
  readonly approval: ToolApproval;
  readonly sideEffect: boolean;
  readonly idempotent: boolean;
  readonly timeoutMs: number;
  /** Changes with everything that a caller or an approver relies on. */
  readonly definitionHash: string;
  /** Whether a call that may already have run can be run again without doing its work twice. */
  isRepeatable(caller: Caller, params: unknown): Promise<boolean>;
  /** Parses the parameters, does the work and parses the result. Call it through `runToolCall`. */
  run(context: ToolContext, params: unknown): Promise<unknown>;
}

const NAME = /^[a-z][a-z0-9]*(\.[a-z][a-zA-Z0-9]*)+$/;
const MAX_TIMEOUT_MS = 600_000;

/** Declares a tool. A definition that cannot be served (no JSON Schema, a name outside the form) fails here, at start. */
export function defineTool<Params extends z.ZodType, Result extends z.ZodType>(
  definition: ToolDefinition<Params, Result>,
): Tool {
  const { name, version, description, example, requires, approval, sideEffect, idempotent, timeoutMs } = definition;
  if (!NAME.test(name)) throw new Error(`the tool name ${name} is not of the form domain.verb`);
  if (!Number.isInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > MAX_TIMEOUT_MS) {
    throw new Error(`the tool ${name} needs a timeout of 1 to ${MAX_TIMEOUT_MS} ms`);
  }
  const paramsSchema = z.toJSONSchema(definition.params, { io: "input" });
  const resultSchema = z.toJSONSchema(definition.result, { io: "output" });
  const facts = { name, version, approval, sideEffect, idempotent, requires: requires.toSorted() };
  return {
    name,
    version,
    description,
    example,
    requires,
    approval,
    sideEffect,
    idempotent,
    timeoutMs,
    paramsSchema,
    params: definition.params,
    result: definition.result,
    definitionHash: hashInput({ ...facts, paramsSchema, resultSchema }),
    isRepeatable: async (caller, params) =>
      idempotent ||
      !sideEffect ||
      ((await definition.isRepeatable?.(caller, definition.params.parse(params))) ?? false),
    run: async (context, params) => {
      const answer = await definition.execute(context, definition.params.parse(params));
      return definition.result.parse(answer);
    },
  };
}
