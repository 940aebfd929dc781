import type { Caller } from "@sba/platform/caller";
import { platformErrors } from "@sba/platform/errors";
import { withTenant, type Tx } from "@sba/platform/db";
import { appendEvents, type NewEvent } from "@sba/platform/events";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import {
  executeTool,
  isRepeatable,
  recordToolOutcome,
  refuseCall,
  unknownOutcome,
  type RecordedToolCall,
  type Tool,
  type ToolCall,
  type ToolOutcome,
} from "@sba/integrations/index";
import { parseId } from "@sba/platform/ids";
import { approvalsOfCalls, isAsApproved } from "../approval/approval.ts";
import { errors } from "../errors.ts";
import { artifactCreated, runStream, toolResulted, usageRecorded, type ToolCallSnapshot } from "../events.ts";
import { spend } from "../run/budget.ts";
import { numberHits } from "../run/citation.ts";
import type { Work } from "../run/plan-next.ts";
import { usageSnapshot } from "../run/usage.ts";
import { appendMessage } from "../thread/message.ts";
import { findTool } from "../tool/index.ts";
import { finishStep } from "./step.ts";

type ToolWork = Extract<Work, { kind: "tool" }>;

/** Calls the tool of a step, if it is still what was asked for and approved. Never throws for what the tool does. */
export async function takeToolTurn(
  caller: Caller,
  { call, attempt }: ToolWork,
  signal: AbortSignal,
): Promise<ToolOutcome> {
  const tool = findTool(call.name);
  if (!tool) return refuseCall(errors.AGENT_TOOL_NOT_ALLOWED({ details: { tool: call.name } }));
  if (tool.approval === "ALWAYS" && !(await isApproved(caller, tool, call))) {
    return refuseCall(errors.AGENT_APPROVAL_DRIFTED());
  }
  // An earlier attempt may have reached the outside: only what may be repeated is called again.
  if (attempt > 1 && !isRepeatable(tool)) return unknownOutcome();
  const outcome = await executeTool(caller, tool, call, { signal });
  // Draining or cancelled: not the tool's outcome, so the step is left to its next attempt or to the run's end.
  if (signal.aborted && !outcome.ok && isRepeatable(tool)) throw platformErrors.OPERATION_CANCELLED();
  return outcome;
}

async function isApproved(caller: Caller, tool: Tool, call: ToolCall): Promise<boolean> {
  const [approval] = await withTenant(caller, (tx) => approvalsOfCalls(tx, [call.id]));
  return approval?.status === "APPROVED" && isAsApproved(approval, tool, call.params);
}

/** Commits the outcome of a tool call: its row, meter, message to the model and events. */
export async function commitToolTurn(
  tx: Tx,
  caller: Caller,
  run: RunRow,
  { step, call }: ToolWork,
  outcome: ToolOutcome,
): Promise<void> {
  const recorded = await recordToolOutcome(tx, caller, call.id, outcome);
  // What does not wait for another's answer is sent together: one round trip.
  const [finished, shown] = await Promise.all([
    finishStep(tx, step),
    recorded.status === "SUCCEEDED" ? numberHits(tx, run, recorded) : { error: recorded.error },
    spend(tx, run.id, recorded.usage),
  ]);
  await Promise.all([
    appendMessage(tx, caller, { runId: run.id, role: "tool", text: JSON.stringify(shown), toolCallId: call.id }),
    appendEvents(tx, caller, runStream(run.id), [...toolEvents(recorded), finished]),
  ]);
}

/** What readers are told of an outcome. */
export function toolEvents(recorded: RecordedToolCall): NewEvent[] {
  const artifactId = artifactOf(recorded);
  return [
    toolResulted({ toolCall: toolCallSnapshot(recorded) }),
    ...(artifactId === undefined ? [] : [artifactCreated({ artifactId })]),
    ...(recorded.usage.length === 0 ? [] : [usageRecorded({ usage: recorded.usage.map(usageSnapshot) })]),
  ];
}

/** A tool call as events carry it. */
export function toolCallSnapshot({
  id,
  name,
  version,
  params,
  status,
  success,
  durationMs,
}: ToolCall): ToolCallSnapshot {
  return { id, name, version, params, status, success, durationMs };
}

/** The artifact that a call wrote, if its result names one. */
function artifactOf({ result }: ToolCall): string | undefined {
  const id = (result as { artifactId?: unknown } | null)?.artifactId;
  const parsed = typeof id === "string" ? parseId(id) : undefined;
  return parsed?.type === "Artifact" ? parsed.uuid : undefined;
}
