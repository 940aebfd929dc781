import { ensureAppError } from "@sba/platform/errors";
import type { Step } from "@sba/platform/generated/prisma/client";
import { returnSlice } from "@sba/billing/index";
import {
  recordLateOutcome,
  recordSettledCall,
  refuseCall,
  settleToolCall,
  type ToolCall,
} from "@sba/integrations/index";
import { refusalOf } from "../approval/of-run.ts";
import { errors } from "../errors.ts";
import { runStatusChanged, stepRestarted } from "../events.ts";
import type { PaidAttempt } from "../step/model-request.ts";
import { requestForkedCalls } from "../step/model-turn.ts";
import { answerCall } from "../step/tool-turn.ts";
import { beginStep, finishStep, stepSnapshot, type Beginning } from "../step/step.ts";
import { openCallIds } from "../thread/message.ts";
import { askAgain, findDrift } from "./ask.ts";
import { requireToolBudget } from "./budget.ts";
import { outcomeOfChild, type ChildRun } from "./child-end.ts";
import { giveUpRun } from "./dead-letter.ts";
import { remainingMs } from "./deadline.ts";
import { endRun, failRun } from "./end.ts";
import { tellInputs } from "./inbox.ts";
import { planOf } from "./plan.ts";
import { DEFAULT_MAX_STEPS, type RunOptions } from "./run.ts";
import {
  assertMove,
  isEnded,
  isStopping,
  nextAction,
  type NextAction,
  type PendingCall,
  type RunStatus,
} from "./run.state.ts";
import type { Draft } from "./session.ts";

/** How often a step is begun, over all workers that die or fail at it, before the run is given up. */
export const MAX_ATTEMPTS = 5;

/** A step that was begun and is to be done, outside any transaction. */
export type Work =
  /** `billed` fills with what attempts were billed for that came to nothing. */
  | { readonly kind: "model"; readonly step: Step; readonly billed: PaidAttempt[] }
  | { readonly kind: "tool"; readonly step: Step; readonly call: ToolCall };

/**
 * Decides what the run does next and begins it, in the commit that made it due: a step to do (returned), a wait, or the
 * end (undefined).
 */
export function planNext(draft: Draft): Work | undefined {
  const action = nextAction(situationOf(draft));
  switch (action.kind) {
    case "model":
      return beginModel(draft);
    case "tool":
      return beginTool(draft, action.callId);
    case "refuse":
      return refuse(draft, action);
    case "answer":
      return answer(draft, action.callId);
    case "awaitApproval":
      return suspend(draft, "AWAITING_APPROVAL");
    case "collect":
      return collect(draft, action.callId);
    case "awaitOutcome":
      return suspend(draft, "WAITING_TOOL");
    case "awaitInput":
      return suspend(draft, "AWAITING_INPUT");
    case "rest":
      return rest(draft);
    case "awaitExecution":
      return restPlan(draft);
    case "cancel":
      return endRun(draft, "CANCELLED");
    case "complete":
      return endRun(draft, "COMPLETED");
    case "stepsExhausted":
      return failRun(draft, errors.AGENT_RUN_STEPS_EXHAUSTED());
    case "overdue":
      return failRun(draft, errors.AGENT_RUN_TIMED_OUT());
  }
}

function situationOf({
  run,
  history,
  approvals,
  calls,
  children,
  inbox,
  now,
}: Draft): Parameters<typeof nextAction>[0] {
  const last = history.at(-1);
  return {
    status: run.status as RunStatus,
    nextStepNumber: run.stepNumber + 1,
    maxSteps: (run.options as RunOptions).maxSteps ?? DEFAULT_MAX_STEPS,
    pendingCalls: openCallIds(history, run.id).map((id) => ({
      id,
      approval: approvals.get(id)?.status as PendingCall["approval"],
      outcome: outcomeOf(calls.get(id), children.get(id)),
    })),
    lastSpeaker: (last?.role ?? "user") as "user" | "assistant" | "tool",
    asksPerson: last?.asksPerson ?? false,
    hasUnread: inbox.length > 0,
    isOverdue: remainingMs(run, now) === 0,
  };
}

function outcomeOf(call: ToolCall | undefined, child: ChildRun | undefined): PendingCall["outcome"] {
  if (call?.status === "REQUESTED" && child) return isEnded(child.status) ? "RETURNED" : "DELEGATED";
  return call?.status ?? "REQUESTED";
}

/** Moves the run to a status, unless it is there already. */
export function moveTo(draft: Beginning, to: RunStatus): void {
  const from = draft.run.status;
  if (from === to) return;
  assertMove(from, to);
  draft.run = { ...draft.run, status: to };
  draft.journal.push(runStatusChanged({ from, to }));
}

function beginModel(draft: Draft): Work {
  moveTo(draft, "EXECUTING");
  tellInputs(draft, draft.run.stepNumber + 1);
  return { kind: "model", step: beginStep(draft, "MODEL"), billed: [] };
}

function beginTool(draft: Draft, callId: string): Work | undefined {
  const drift = findDrift(draft, callId);
  if (drift) {
    askAgain(draft, drift);
    return planNext(draft);
  }
  try {
    requireToolBudget(draft);
  } catch (error) {
    return failRun(draft, ensureAppError(error));
  }
  moveTo(draft, "WAITING_TOOL");
  return { kind: "tool", step: beginStep(draft, "TOOL", callId), call: draft.calls.get(callId)! };
}

/** A call that a person denied: a step of its own with an outcome that the model sees, without the tool being called. */
function refuse(draft: Draft, { callId }: Extract<NextAction, { kind: "refuse" }>): Work | undefined {
  const call = draft.calls.get(callId)!;
  const step = beginStep(draft, "TOOL", callId);
  const outcome = refuseCall(refusalOf(draft.approvals.get(callId)!));
  const settled = settleToolCall(call, outcome, draft.run.priceListVersion);
  draft.writes.push((tx) => {
    recordSettledCall(tx, draft.caller, call, outcome, draft.run.priceListVersion);
  });
  answerCall(draft, settled);
  finishStep(draft, step);
  return planNext(draft);
}

/** A call of which an operator has said what became of it: a step of its own, in which nothing is called. */
function answer(draft: Draft, callId: string): Work | undefined {
  const step = beginStep(draft, "TOOL", callId);
  answerCall(draft, { ...draft.calls.get(callId)!, usage: [] });
  finishStep(draft, step);
  return planNext(draft);
}

/** A call whose work another run has done: a step of its own. What the call itself costs was charged when it began. */
function collect(draft: Draft, callId: string): Work | undefined {
  const step = beginStep(draft, "TOOL", callId);
  const call = draft.calls.get(callId)!;
  const outcome = outcomeOfChild(draft.children.get(callId)!);
  draft.children.delete(callId);
  draft.writes.push((tx) => {
    recordLateOutcome(tx, draft.caller, callId, outcome);
  });
  answerCall(draft, { ...settleToolCall(call, outcome), usage: [] });
  finishStep(draft, step);
  return planNext(draft);
}

/** Waits for a person or another run: nothing is held, no job exists, and what is waited for wakes the run. */
function suspend(draft: Draft, status: "AWAITING_APPROVAL" | "AWAITING_INPUT" | "WAITING_TOOL"): undefined {
  moveTo(draft, status);
  return rest(draft);
}

function rest(draft: Draft): undefined {
  const { run, now } = draft;
  // A wait ends at the run's deadline, but for one that is somebody else's to end.
  const endless = run.status === "PAUSED" || run.slot === "WAITING" || run.waitsForThread;
  draft.release = { dueInMs: endless ? null : (remainingMs(run, now) ?? null) };
  returnSliceMeanwhile(draft);
  return undefined;
}

/** A plan rests until somebody has it executed: until it expires it is nobody's turn. */
function restPlan(draft: Draft): undefined {
  const restsMs = Date.parse(planOf(draft.run)!.expiresAt) - draft.now.getTime();
  if (restsMs <= 0) return failRun(draft, errors.AGENT_PLAN_EXPIRED());
  draft.release = { dueInMs: restsMs };
  return undefined;
}

/** A wait may be long: what the run has left is not kept from others. Its next step takes anew. */
function returnSliceMeanwhile(draft: Draft): void {
  const { caller, run, slice } = draft;
  if (!slice) return;
  draft.slice = undefined;
  draft.closing.push((tx) => {
    returnSlice(tx, caller, run.id);
  });
}

/**
 * Begins what a run that was just leased has to do: the step that a decision began, or that an earlier attempt left unfinished
 * (readers are told to drop its text), else what is next.
 */
export function takeUp(draft: Draft): Work | undefined {
  const { unfinished, run } = draft;
  // Somebody woke it before its turn.
  if ((run.slot === "WAITING" || run.waitsForThread) && !isStopping(run.status)) return rest(draft);
  if (run.status === "CREATED" && run.forkedFromSeq !== null) {
    moveTo(draft, "EXECUTING");
    requestForkedCalls(draft);
  }
  return unfinished && !isStopping(run.status) ? restartStep(draft, unfinished) : planNext(draft);
}

function restartStep(draft: Draft, { step, pieces }: NonNullable<Draft["unfinished"]>): Work | undefined {
  const attempt = draft.run.stepAttempt + 1;
  // Of a step that a decision began. One that was put aside is as many attempts old, and says why.
  const isFirst = attempt === 1 && draft.run.errorCode === null;
  const cause = draft.run.errorCode ?? "WORKER_LOST";
  if (attempt > MAX_ATTEMPTS) return giveUpRun(draft, cause);
  draft.run = { ...draft.run, stepAttempt: attempt, errorCode: null, textPieces: pieces };
  draft.unfinished = undefined;
  if (!isFirst) draft.journal.push(stepRestarted({ step: stepSnapshot(step), attempt, cause }));
  if (step.toolCallId === null) {
    tellInputs(draft, step.number);
    return { kind: "model", step, billed: [] };
  }
  const call = draft.calls.get(step.toolCallId)!;
  const drift = findDrift(draft, call.id);
  if (drift) {
    finishStep(draft, step);
    askAgain(draft, drift);
    return planNext(draft);
  }
  return { kind: "tool", step, call };
}
