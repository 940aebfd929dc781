import { requirePermission, type Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { once } from "@sba/platform/idempotency";
import { getToolCall, resolveToolCall as resolveCall, type ResolveToolCallInput } from "@sba/integrations/index";
import { errors } from "../errors.ts";
import { lockRun } from "../run/lock.ts";
import { isEnded } from "../run/run.state.ts";
import { wakeRun } from "../run/wake.ts";
import { findTool } from "../tool/index.ts";

/** Tool calls as an operator deals with them. */

export interface ResolveInput extends ResolveToolCallInput {
  readonly idempotencyKey?: string | undefined;
}

/**
 * Says what became of a call whose outcome is unknown, once, and wakes the run that waits for it: it goes on with the result
 * or the failure, or calls the tool once more.
 * @throws INTEGRATIONS_TOOL_CALL_NOT_FOUND, INTEGRATIONS_TOOL_CALL_NOT_UNKNOWN, INTEGRATIONS_TOOL_RESOLUTION_INVALID,
 * AGENT_RUN_ENDED for a call that nobody would try again, IDEMPOTENCY_KEY_REUSED, PERMISSION_MISSING
 */
export async function resolveToolCall(caller: Caller, input: ResolveInput): Promise<void> {
  requirePermission(caller, "toolcall:resolve");
  const { idempotencyKey, ...request } = input;
  const operation = { operation: "resolveToolCall", key: idempotencyKey, input: request };
  await withTenant(caller, (tx) => once(tx, caller, operation, input.toolCallId, () => resolve(tx, caller, request)));
}

async function resolve(tx: Tx, caller: Caller, input: ResolveToolCallInput): Promise<void> {
  const { name, runId } = await getToolCall(tx, caller, input.toolCallId);
  // The run first, as the loop does, so that the two never wait for each other.
  const run = runId === null ? undefined : await lockRun(tx, runId);
  await resolveCall(tx, caller, input, findTool(name));
  if (run && !isEnded(run.status)) wakeRun(tx, run.id);
  else if (run && input.outcome === "RETRY") throw errors.AGENT_RUN_ENDED({ details: { status: run.status } });
}
