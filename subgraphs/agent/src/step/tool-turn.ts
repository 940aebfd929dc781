import { priceUsage, recordNewUsage } from "@sba/billing/index";
import { platformErrors } from "@sba/platform/errors";
import type { NewEvent } from "@sba/platform/events";
import {
  recordSettledCall,
  refuseCall,
  runToolCall,
  settleToolCall,
  type RecordedToolCall,
  type ToolCall,
  type ToolOutcome,
} from "@sba/integrations/index";
import { parseId } from "@sba/platform/ids";
import { errors } from "../errors.ts";
import { artifactCreated, toolOutcomeUnknown, toolResulted, usageRecorded, type ToolCallSnapshot } from "../events.ts";
import { spend, TOOL_CALL_USAGE } from "../run/budget.ts";
import { beginDelegation } from "../run/child.ts";
import { numberHits } from "../run/citation.ts";
import type { Work } from "../run/plan-next.ts";
import { usageSnapshot } from "../run/usage.ts";
import { addMessage, type Draft, type Session } from "../run/session.ts";
import { DELEGATE } from "../tool/agent-delegate.ts";
import { findTool } from "../tool/index.ts";
import { finishStep } from "./step.ts";

type ToolWork = Extract<Work, { kind: "tool" }>;

/** Attempts of a call that fails for a reason that passes; then the model is told. */
const MAX_TOOL_ATTEMPTS = 3;

/**
 * Calls the tool of a step: its beginning held it against what was approved. What the tool does is an outcome.
 * @throws OPERATION_CANCELLED, AGENT_TOOL_UNAVAILABLE when the step is to be begun again
 */
export async function takeToolTurn(session: Session, { call }: ToolWork, signals: ToolSignals): Promise<ToolOutcome> {
  const { caller, run } = session;
  const tool = findTool(call.name);
  if (!tool) return refuseCall(errors.AGENT_TOOL_NOT_ALLOWED({ details: { tool: call.name } }));
  // What was asked for is what runs: a definition that was deployed in between is another.
  if (tool.definitionHash !== call.definitionHash) {
    return refuseCall(errors.AGENT_TOOL_CHANGED({ details: { tool: call.name } }));
  }
  if (tool.name === DELEGATE) return beginDelegation(session, call);
  const isRepeatable = await tool.isRepeatable(caller, call.params);
  const signal = isRepeatable ? AbortSignal.any([signals.signal, signals.pause]) : signals.signal;
  const outcome = await runToolCall(caller, tool, call, { signal, hold: signals.hold });
  if (outcome.ok || outcome.unknown === true || !isRepeatable) return outcome;
  // Draining, cancelled or paused: not the tool's outcome, so the step is left to its next attempt or to the run's end.
  if (signal.aborted) throw platformErrors.OPERATION_CANCELLED();
  if (outcome.error.retryable && run.stepAttempt < MAX_TOOL_ATTEMPTS)
    throw errors.AGENT_TOOL_UNAVAILABLE({ details: { tool: call.name, code: outcome.error.code } });
  return outcome;
}

interface ToolSignals {
  readonly signal: AbortSignal;
  /** Stops only what can be called again. */
  readonly pause: AbortSignal;
  /** Of the lease that it is called under. */
  readonly hold: () => Promise<void>;
}

/** Commits the outcome of a tool call: its row, meter, message to the model and events. */
export function commitToolTurn(draft: Draft, { step, call }: ToolWork, outcome: ToolOutcome): void {
  if (outcome.ok && call.name === DELEGATE) {
    awaitDelegated(draft, call);
    finishStep(draft, step);
    return;
  }
  const settled = settleToolCall(call, outcome, draft.run.priceListVersion);
  draft.writes.push((tx) => {
    recordSettledCall(tx, draft.caller, call, outcome, draft.run.priceListVersion);
  });
  spend(draft, settled.usage);
  if (settled.status === "UNKNOWN") {
    // It stays open: the run waits until an operator says what became of it.
    draft.calls.set(call.id, settled);
    draft.journal.push(...outcomeUnknownEvents(settled));
  } else answerCall(draft, settled);
  finishStep(draft, step);
}

/** The call stays open until the run that it delegated has ended. It is charged now: afterwards the run may have to take money anew. */
function awaitDelegated(draft: Draft, call: ToolCall): void {
  const { caller, run } = draft;
  const { id: runId, agentKey, priceListVersion } = run;
  const known = draft.children.has(call.id);
  if (!known)
    draft.children.set(call.id, { id: call.id, status: "CREATED", output: null, errorCode: null, errorMessage: null });
  const usage = priceUsage(TOOL_CALL_USAGE, priceListVersion);
  draft.writes.push((tx) => {
    recordNewUsage(tx, caller, { key: call.id, lines: TOOL_CALL_USAGE, runId, agentKey, priceListVersion });
  });
  spend(draft, usage);
  draft.journal.push(usageRecorded({ usage: usage.map(usageSnapshot) }));
}

/** Tells the model, and readers, how a call ended. */
export function answerCall(draft: Draft, settled: RecordedToolCall): void {
  draft.calls.delete(settled.id);
  const shown = settled.status === "SUCCEEDED" ? numberHits(draft, settled) : { error: settled.error };
  addMessage(draft, { role: "tool", text: JSON.stringify(shown), toolCallId: settled.id });
  draft.journal.push(...toolEvents(settled));
}

function outcomeUnknownEvents(call: RecordedToolCall): NewEvent[] {
  return [toolOutcomeUnknown({ toolCall: toolCallSnapshot(call) }), ...usageEvents(call)];
}

/** What readers are told of an outcome. */
function toolEvents(recorded: RecordedToolCall): NewEvent[] {
  const artifactId = artifactOf(recorded);
  return [
    toolResulted({ toolCall: toolCallSnapshot(recorded) }),
    ...(artifactId === undefined ? [] : [artifactCreated({ artifactId })]),
    ...usageEvents(recorded),
  ];
}

function usageEvents({ usage }: RecordedToolCall): NewEvent[] {
  return usage.length === 0 ? [] : [usageRecorded({ usage: usage.map(usageSnapshot) })];
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
