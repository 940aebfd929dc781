import { rebindToolCall, type Tool, type ToolCall } from "@sba/integrations/index";
import { askAgainIfDrifted, askIfNeeded, cancelAsked, type Asked } from "../approval/of-run.ts";
import { findTool } from "../tool/index.ts";
import type { Draft } from "./session.ts";

/** Asking people, in the commit of a run's step. */

/** Asks for the approval that a call needs, if it needs one, in the commit that requests it. */
export function askFirst(draft: Draft, tool: Tool, call: ToolCall): void {
  const asked = askIfNeeded(draft.caller, { ...draft, tool, call });
  if (asked) recordAsked(draft, asked);
}

/**
 * Holds a call that is to run now against what was approved: undefined when it may run. When it is something else by now, or
 * nobody was asked who had to be, it is what to ask instead.
 */
export function findDrift(draft: Draft, callId: string): Asked | undefined {
  const call = draft.calls.get(callId)!;
  // One that may have run and must not run twice does not run again: its outcome is what is to be found out.
  if (call.begunAt !== null) return undefined;
  const tool = findTool(call.name);
  // Without its tool, or with one that does not take its params any more, the call is refused when it comes to run.
  if (!tool?.params.safeParse(call.params).success) return undefined;
  return askAgainIfDrifted(draft.caller, { ...draft, tool, call }, draft.approvals.get(callId));
}

/** Asks again, in this commit. What is asked about is the tool as it is now, whatever the run was pinned to. */
export function askAgain(draft: Draft, asked: Asked): void {
  const { toolCallId, action } = asked.approval;
  const { version, definitionHash } = findTool(action)!;
  const call = { ...draft.calls.get(toolCallId!)!, version, definitionHash };
  draft.calls.set(call.id, call);
  draft.writes.push((tx) => {
    rebindToolCall(tx, draft.caller, call);
  });
  recordAsked(draft, asked);
}

/** Ends, in the run's last commit, what it asked and nobody has decided. */
export function cancelWhatWaits(draft: Draft): void {
  for (const approval of [...draft.approvals.values()])
    if (approval.status === "PENDING") recordAsked(draft, cancelAsked(draft.caller, approval));
}

function recordAsked(draft: Draft, asked: Asked): void {
  draft.approvals.set(asked.approval.toolCallId!, asked.approval);
  draft.writes.push((tx) => {
    asked.write(tx);
  });
  draft.journal.push(...asked.events);
}
