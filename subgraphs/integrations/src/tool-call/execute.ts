import { hasPermission, type Caller } from "@sba/platform/caller";
import { AppError, platformErrors } from "@sba/platform/errors";
import { logger } from "@sba/platform/log";
import { ZodError } from "zod";
import { errors } from "../errors.ts";
import type { Tool, ToolContext } from "../tool/tool.ts";
import { toStorableJson } from "./json-value.ts";
import type { ToolCall } from "./tool-call.ts";

/** What a client and a model may know of a failure. Never a foreign error's own words: they may quote secrets. */
export interface ToolFailure {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

/** How one call ended. */
export type ToolOutcome =
  | { readonly ok: true; readonly result: unknown; readonly durationMs: number }
  | {
      readonly ok: false;
      readonly error: ToolFailure;
      readonly durationMs: number;
      /** True when the tool was never called (refused, denied): nothing is metered. */
      readonly notRun?: boolean;
      /** True when it was called and may have done its work all the same. */
      readonly unknown?: boolean;
    };

export interface ExecuteOptions {
  /** The caller's: a cancelled run, a draining worker. */
  readonly signal: AbortSignal;
  /** Shortens the tool's own timeout, never lengthens it. */
  readonly timeoutMs?: number;
  /** Waited for right before the tool is called: who may no longer call it is stopped by what it throws. */
  readonly hold?: () => Promise<void>;
}

/** Results are stored inline and travel in events: 256 KiB. Larger things are artifacts. */
export const MAX_RESULT_BYTES = 256 * 1024;

/** A tool has this long to give its answer or its error after it was aborted; then nobody waits for it any more. */
const ABANDON_AFTER_MS = 500;

/**
 * Calls a tool for a requested call: checks the caller's permissions and the parameters once more, limits the time,
 * checks the result. No transaction is open meanwhile. Throws only what `hold` does: whatever else goes wrong is an outcome. Stored
 * calls are called through `runToolCall`.
 */
export async function executeTool(
  caller: Caller,
  tool: Tool,
  call: Pick<ToolCall, "id" | "params" | "runId" | "agentKey">,
  options: ExecuteOptions,
): Promise<ToolOutcome> {
  await options.hold?.();
  // From here to where the tool is called nothing is waited for: whoever cancels meanwhile would not be heard.
  const refusal = refusalOf(caller, tool, call.params, options.signal);
  if (refusal) return refuseCall(refusal);
  const startedAt = performance.now();
  const deadline = openDeadline(options.signal, Math.min(options.timeoutMs ?? tool.timeoutMs, tool.timeoutMs));
  try {
    const result = await Promise.race([
      tool.run(contextOf(caller, tool, call, deadline.signal), call.params),
      deadline.abandoned,
    ]);
    return { ok: true, result: checkResult(tool, result), durationMs: elapsedMs(startedAt) };
  } catch (thrown) {
    const failure = toFailure(tool, thrown, deadline.cause());
    // Aborted in the middle of something that must not happen twice: nobody can say how far it came.
    const isUnknown =
      isOutcomeUnknown(thrown) || (deadline.cause() && !(await isRepeatable(caller, tool, call.params)));
    return isUnknown ? unknownOutcome() : { ok: false, error: failure, durationMs: elapsedMs(startedAt) };
  } finally {
    deadline.close();
  }
}

/** The outcome of a call whose tool is not called: denied, refused, cancelled before it began. */
export function refuseCall(error: AppError): ToolOutcome {
  return { ok: false, error: describe(error), durationMs: 0, notRun: true };
}

/** The outcome of a call that was cut off and must not be repeated: an operator says what became of it. */
export function unknownOutcome(): ToolOutcome {
  return { ok: false, error: describe(errors.INTEGRATIONS_TOOL_OUTCOME_UNKNOWN()), durationMs: 0, unknown: true };
}

function refusalOf(caller: Caller, tool: Tool, params: unknown, signal: AbortSignal): AppError | undefined {
  const missing = tool.requires.find((permission) => !hasPermission(caller, permission));
  if (missing) {
    return platformErrors.PERMISSION_MISSING({
      message: `The permission ${missing} is missing.`,
      details: { permission: missing, tool: tool.name },
    });
  }
  if (signal.aborted) return errors.INTEGRATIONS_TOOL_CANCELLED();
  const parsed = tool.params.safeParse(params);
  return parsed.success ? undefined : paramsInvalid(tool, parsed.error);
}

/** What is wrong with the parameters, by path; the values themselves are not repeated. */
export function paramsInvalid(tool: Tool, error: ZodError): AppError {
  return errors.INTEGRATIONS_TOOL_PARAMS_INVALID({
    message: `${tool.name} does not accept these parameters: ${describeIssues(error)}`,
    details: { tool: tool.name, issues: issuesOf(error) },
  });
}

export function describeIssues(error: ZodError): string {
  return issuesOf(error)
    .map(({ path, message }) => (path ? `${path}: ${message}` : message))
    .join("; ");
}

function issuesOf(error: ZodError): { path: string; message: string }[] {
  return error.issues.slice(0, 20).map(({ path, message }) => ({ path: path.join("."), message }));
}

function contextOf(
  caller: Caller,
  tool: Tool,
  call: Pick<ToolCall, "id" | "runId" | "agentKey">,
  signal: AbortSignal,
): ToolContext {
  return {
    caller,
    callId: call.id,
    ...(call.runId === null ? {} : { runId: call.runId }),
    ...(call.agentKey === null ? {} : { agentKey: call.agentKey }),
    signal,
    log: logger.child({ "tool.name": tool.name, "tool.callId": call.id, requestId: caller.requestId }),
  };
}

type AbortCause = "timeout" | "cancelled";

interface Deadline {
  readonly signal: AbortSignal;
  /** Rejects when the tool was aborted and has not settled since. */
  readonly abandoned: Promise<never>;
  cause(): AbortCause | undefined;
  close(): void;
}

/** One signal for both ends of patience; `abandoned` gives a tool that heeds it a moment to say what it has done. */
function openDeadline(callerSignal: AbortSignal, timeoutMs: number): Deadline {
  const controller = new AbortController();
  const { promise: abandoned, reject } = Promise.withResolvers<never>();
  abandoned.catch(() => undefined);
  let cause: AbortCause | undefined;
  let grace: NodeJS.Timeout | undefined;
  const abort = (why: AbortCause): void => {
    if (cause) return;
    cause = why;
    grace = setTimeout(() => {
      reject(abortError(why));
    }, ABANDON_AFTER_MS);
    controller.abort(abortError(why));
  };
  const cancel = (): void => {
    abort("cancelled");
  };
  const timer = setTimeout(() => {
    abort("timeout");
  }, timeoutMs);
  callerSignal.addEventListener("abort", cancel, { once: true });
  return {
    signal: controller.signal,
    abandoned,
    cause: () => cause,
    close: () => {
      clearTimeout(timer);
      clearTimeout(grace);
      callerSignal.removeEventListener("abort", cancel);
    },
  };
}

function abortError(cause: AbortCause): AppError {
  return cause === "timeout" ? errors.INTEGRATIONS_TOOL_TIMED_OUT() : errors.INTEGRATIONS_TOOL_CANCELLED();
}

function checkResult(tool: Tool, result: unknown): unknown {
  const text = toStorableJson(result);
  if (text === undefined) throw errors.INTEGRATIONS_TOOL_RESULT_INVALID({ details: { tool: tool.name } });
  const sizeBytes = Buffer.byteLength(text);
  if (sizeBytes > MAX_RESULT_BYTES) {
    throw errors.INTEGRATIONS_TOOL_RESULT_TOO_LARGE({
      details: { tool: tool.name, sizeBytes, limitBytes: MAX_RESULT_BYTES },
    });
  }
  return result;
}

function toFailure(tool: Tool, thrown: unknown, cause: AbortCause | undefined): ToolFailure {
  return describe(cause ? abortError(cause) : toAppError(tool, thrown));
}

/** What a tool throws when it was cut off in the middle of something that must not happen twice. */
function isOutcomeUnknown(thrown: unknown): boolean {
  return thrown instanceof AppError && thrown.code === "INTEGRATIONS_TOOL_OUTCOME_UNKNOWN";
}

/** False also when it cannot be found out. */
function isRepeatable(caller: Caller, tool: Tool, params: unknown): Promise<boolean> {
  return tool.isRepeatable(caller, params).catch(() => false);
}

function toAppError(tool: Tool, thrown: unknown): AppError {
  if (thrown instanceof AppError && thrown.kind !== "internal") return thrown;
  // Parameters were parsed before the call: a ZodError from inside is about the result.
  if (thrown instanceof ZodError) return errors.INTEGRATIONS_TOOL_RESULT_INVALID({ details: { tool: tool.name } });
  logger.warn(
    { "tool.name": tool.name, "error.name": nameOf(thrown), "error.frames": framesOf(thrown) },
    "tool failed",
  );
  return errors.INTEGRATIONS_TOOL_FAILED({ message: `The tool ${tool.name} failed.` });
}

function nameOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.name : typeof thrown;
}

/** Where it happened without what it said: the message of a foreign error may hold a credential or a prompt. */
function framesOf(thrown: unknown): string[] {
  if (!(thrown instanceof Error)) return [];
  return (thrown.stack ?? "")
    .split("\n")
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 8);
}

function describe({ code, message, retryable }: AppError): ToolFailure {
  return { code, message, retryable };
}

function elapsedMs(startedAt: number): number {
  return Math.round(performance.now() - startedAt);
}
