import type { Caller } from "@sba/platform/caller";
import { withTenant, withTenantOnce } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { errors } from "../errors.ts";
import type { Tool } from "../tool/tool.ts";
import { executeTool, unknownOutcome, type ExecuteOptions, type ToolOutcome } from "./execute.ts";
import {
  recordToolOutcome,
  requestToolCall,
  type RecordedToolCall,
  type ToolCall,
  type ToolCallRequest,
} from "./tool-call.ts";

/**
 * Calls the tool of a requested call, outside any transaction. One that must not be called twice is called at most once, by
 * whoever first notes in its row that it begins: everybody else (after a crash, or a worker that was paused and wakes up
 * late) gets the outcome UNKNOWN. Whatever the tool does is an outcome; only the database and `hold` make it throw.
 */
export async function runToolCall(
  caller: Caller,
  tool: Tool,
  call: ToolCall,
  options: ExecuteOptions,
): Promise<ToolOutcome> {
  const mayRun = (await tool.isRepeatable(caller, call.params)) || (await begin(caller, call.id));
  return mayRun ? executeTool(caller, tool, call, options) : unknownOutcome();
}

/** True for the first who asks. */
async function begin(caller: Caller, callId: string): Promise<boolean> {
  const begun = await withTenantOnce(
    caller,
    (tx) => tx.sql`
    UPDATE integrations.tool_call SET begun_at = clock_timestamp()
    WHERE tenant_id = ${caller.tenantId} AND id = ${callId} AND status = 'REQUESTED' AND begun_at IS NULL RETURNING id`,
  );
  return begun.length > 0;
}

export interface CallToolInput extends Omit<ToolCallRequest, "id"> {
  /** UUID; made when absent. With one, a repeat of the whole call returns the first outcome. */
  readonly id?: string;
}

/**
 * Requests, executes and records one call, outside any transaction of the caller. A call that was under way when its
 * worker died is repeated when that is harmless; otherwise its outcome is UNKNOWN.
 * @throws INTEGRATIONS_TOOL_CALL_IN_PROGRESS when another worker may still be at a call that must not run twice; and as `requestToolCall`.
 */
export async function callTool(
  caller: Caller,
  input: CallToolInput,
  options: ExecuteOptions,
): Promise<RecordedToolCall> {
  const request = { ...input, id: input.id ?? newId() };
  const call = await withTenant(caller, (tx) => requestToolCall(tx, caller, request));
  if (call.status !== "REQUESTED") return { ...call, usage: [] };
  requireIdle(input.tool, call);
  const outcome = await runToolCall(caller, input.tool, call, options);
  return withTenant(caller, (tx) => recordToolOutcome(tx, caller, call.id, outcome));
}

/** Leaves room for an abandoned tool and for clocks that differ. */
const IN_PROGRESS_MARGIN_MS = 5_000;

function requireIdle(tool: Tool, { begunAt }: ToolCall): void {
  if (begunAt === null) return;
  const retryAfterMs = begunAt.getTime() + tool.timeoutMs + IN_PROGRESS_MARGIN_MS - Date.now();
  if (retryAfterMs > 0) throw errors.INTEGRATIONS_TOOL_CALL_IN_PROGRESS({ retryAfterMs });
}
