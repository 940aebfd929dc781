import type { Caller } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import { ensureAppError } from "@sba/platform/errors";
import { appendEvents, type NewEvent } from "@sba/platform/events";
import type { Message, Run as RunRow, Step } from "@sba/platform/generated/prisma/client";
import { getToolCall, recordToolOutcome, refuseCall, type ToolCall } from "@sba/integrations/index";
import { approvalsOfCalls } from "../approval/approval.ts";
import { errors } from "../errors.ts";
import { runStatusChanged, runStream, stepRestarted } from "../events.ts";
import { toolEvents } from "../step/tool-turn.ts";
import { beginStep, findUnfinishedStep, finishStep, stepSnapshot } from "../step/step.ts";
import { appendMessage, readHistory, type MessageToolCall } from "../thread/message.ts";
import { requireToolBudget } from "./budget.ts";
import { endRun, failRun } from "./end.ts";
import { endLease } from "./lease.ts";
import { DEFAULT_MAX_STEPS, type RunOptions } from "./run.ts";
import { assertMove, nextAction, type PendingCall, type RunStatus } from "./run.state.ts";

/** How often a step is tried before its run fails. */
export const MAX_ATTEMPTS = 5;

/** A step that was begun and is to be done, outside any transaction. */
export type Work =
  /** `run` as it was when the step was begun: what it has spent by then is what its budget is held against. */
  | { readonly kind: "model"; readonly run: RunRow; readonly step: Step; readonly history: readonly Message[] }
  | { readonly kind: "tool"; readonly step: Step; readonly call: ToolCall; readonly attempt: number };

/** What a finished assistant message asks for and has no answer yet. */
function openCalls(history: readonly Message[], runId: string): MessageToolCall[] {
  const own = history.filter((message) => message.runId === runId);
  const answered = new Set(own.map((message) => message.toolCallId));
  return own
    .flatMap((message) => (message.toolCalls ?? []) as unknown as MessageToolCall[])
    .filter((call) => !answered.has(call.id));
}

/**
 * Decides what the run, with this history, does next and begins it, in the transaction that made it due: a step to do
 * (returned), a wait, or the end (undefined).
 */
export async function planNext(
  tx: Tx,
  caller: Caller,
  run: RunRow,
  history: readonly Message[],
): Promise<Work | undefined> {
  const calls = openCalls(history, run.id);
  const approvals = new Map(
    (
      await approvalsOfCalls(
        tx,
        calls.map(({ id }) => id),
      )
    ).map((approval) => [approval.toolCallId, approval]),
  );
  const last = history.at(-1);
  const action = nextAction({
    status: run.status as RunStatus,
    nextStepNumber: run.stepNumber + 1,
    maxSteps: (run.options as RunOptions).maxSteps ?? DEFAULT_MAX_STEPS,
    pendingCalls: calls.map(({ id }) => ({ id, approval: approvals.get(id)?.status as PendingCall["approval"] })),
    lastSpeaker: (last?.role ?? "user") as "user" | "assistant" | "tool",
    asksPerson: last?.asksPerson ?? false,
  });
  switch (action.kind) {
    case "model":
      return beginModel(tx, caller, run, history);
    case "tool":
      return beginTool(tx, caller, run, action.callId);
    case "refuse":
      return refuse(tx, caller, run, action.callId);
    case "awaitApproval":
      return suspend(tx, caller, run, "AWAITING_APPROVAL");
    case "awaitInput":
      return suspend(tx, caller, run, "AWAITING_INPUT");
    case "cancel":
      return endRun(tx, caller, run, { status: "CANCELLED", history });
    case "complete":
      return endRun(tx, caller, run, { status: "COMPLETED", history });
    case "stepsExhausted":
      return failRun(tx, caller, run, errors.AGENT_RUN_STEPS_EXHAUSTED());
  }
}

/** Moves the run to a status and returns the event, or none when it is there already. */
async function moveTo(tx: Tx, run: RunRow, to: RunStatus): Promise<NewEvent[]> {
  if (run.status === to) return [];
  assertMove(run.status, to);
  await tx.sql`UPDATE agent.run SET status = ${to} WHERE id = ${run.id}`;
  return [runStatusChanged({ from: run.status, to })];
}

async function beginModel(tx: Tx, caller: Caller, run: RunRow, history: readonly Message[]): Promise<Work> {
  const [moved, { step, event }] = await Promise.all([
    moveTo(tx, run, "EXECUTING"),
    beginStep(tx, caller, run, { type: "MODEL" }),
  ]);
  await appendEvents(tx, caller, runStream(run.id), [...moved, event]);
  return { kind: "model", run, step, history };
}

async function beginTool(tx: Tx, caller: Caller, run: RunRow, callId: string): Promise<Work | undefined> {
  try {
    requireToolBudget(run);
  } catch (error) {
    return failRun(tx, caller, run, ensureAppError(error));
  }
  const [call, moved, { step, event }] = await Promise.all([
    getToolCall(tx, caller, callId),
    moveTo(tx, run, "WAITING_TOOL"),
    beginStep(tx, caller, run, { type: "TOOL", toolCallId: callId }),
  ]);
  await appendEvents(tx, caller, runStream(run.id), [...moved, event]);
  return { kind: "tool", step, call, attempt: 1 };
}

/** A call that a person denied: a step of its own with an outcome that the model sees, without the tool being called. */
async function refuse(tx: Tx, caller: Caller, run: RunRow, callId: string): Promise<Work | undefined> {
  const { step, event } = await beginStep(tx, caller, run, { type: "TOOL", toolCallId: callId });
  const [decision] = await tx.sql<{ reason: string | null }>`
    SELECT d.reason FROM agent.approval_decision d JOIN agent.approval a ON a.id = d.approval_id WHERE a.tool_call_id = ${callId}`;
  const reason = decision?.reason;
  const denied = errors.AGENT_APPROVAL_DENIED(reason ? { message: `A person denied this call: ${reason}` } : {});
  const recorded = await recordToolOutcome(tx, caller, callId, refuseCall(denied));
  await appendMessage(tx, caller, {
    runId: run.id,
    role: "tool",
    text: JSON.stringify({ error: recorded.error }),
    toolCallId: callId,
  });
  await appendEvents(tx, caller, runStream(run.id), [event, ...toolEvents(recorded), await finishStep(tx, step)]);
  return planNext(tx, caller, { ...run, stepNumber: step.number }, await readHistory(tx, run));
}

/** Waits for a person: nothing is held, no job exists, and the decision wakes the run. */
async function suspend(
  tx: Tx,
  caller: Caller,
  run: RunRow,
  status: "AWAITING_APPROVAL" | "AWAITING_INPUT",
): Promise<undefined> {
  const moved = await moveTo(tx, run, status);
  await endLease(tx, run, undefined);
  if (moved.length > 0) await appendEvents(tx, caller, runStream(run.id), moved);
  return undefined;
}

/**
 * Begins what a run that was just leased has to do: the step that an earlier attempt left unfinished (readers are told to
 * drop its text), else what is next.
 */
export async function takeUp(tx: Tx, caller: Caller, run: RunRow): Promise<Work | undefined> {
  const [step, history] = await Promise.all([
    run.status === "CANCELLING" ? undefined : findUnfinishedStep(tx, run),
    readHistory(tx, run),
  ]);
  return step ? restartStep(tx, caller, run, { step, history }) : planNext(tx, caller, run, history);
}

async function restartStep(
  tx: Tx,
  caller: Caller,
  run: RunRow,
  { step, history }: { readonly step: Step; readonly history: readonly Message[] },
): Promise<Work | undefined> {
  const attempt = run.stepAttempt + 1;
  if (attempt > MAX_ATTEMPTS) return failRun(tx, caller, run, errors.AGENT_RUN_ATTEMPTS_EXHAUSTED());
  await tx.sql`UPDATE agent.run SET step_attempt = ${attempt}, error_code = NULL WHERE id = ${run.id}`;
  const cause = run.errorCode ?? "WORKER_LOST";
  await appendEvents(tx, caller, runStream(run.id), [stepRestarted({ step: stepSnapshot(step), attempt, cause })]);
  if (step.toolCallId === null) return { kind: "model", run, step, history };
  return { kind: "tool", step, call: await getToolCall(tx, caller, step.toolCallId), attempt };
}
