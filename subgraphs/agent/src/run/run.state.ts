/** How a run moves. Pure: no database, no clock. */

export const RUN_STATUSES = [
  "CREATED",
  "PLANNING",
  "EXECUTING",
  "WAITING_TOOL",
  "AWAITING_APPROVAL",
  "AWAITING_INPUT",
  "PAUSED",
  "CANCELLING",
  "COMPLETED",
  "FAILED",
  "CANCELLED",
] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

const ENDED = ["COMPLETED", "FAILED", "CANCELLED"] as const satisfies readonly RunStatus[];
const PAUSABLE = [
  "CREATED",
  "PLANNING",
  "EXECUTING",
  "WAITING_TOOL",
  "AWAITING_APPROVAL",
  "AWAITING_INPUT",
] as const satisfies readonly RunStatus[];
const LEAVING = ["CANCELLING", "FAILED"] as const satisfies readonly RunStatus[];

const TRANSITIONS: Readonly<Record<RunStatus, readonly RunStatus[]>> = {
  CREATED: ["PLANNING", "EXECUTING", "PAUSED", ...LEAVING],
  PLANNING: ["EXECUTING", "PAUSED", ...LEAVING],
  EXECUTING: ["WAITING_TOOL", "AWAITING_APPROVAL", "AWAITING_INPUT", "PAUSED", "COMPLETED", ...LEAVING],
  WAITING_TOOL: ["EXECUTING", "AWAITING_APPROVAL", "PAUSED", ...LEAVING],
  AWAITING_APPROVAL: ["EXECUTING", "WAITING_TOOL", "PAUSED", ...LEAVING],
  AWAITING_INPUT: ["EXECUTING", "PAUSED", ...LEAVING],
  PAUSED: [...PAUSABLE, ...LEAVING],
  CANCELLING: ["CANCELLED"],
  COMPLETED: [],
  FAILED: [],
  CANCELLED: [],
};

export function isRunStatus(value: string): value is RunStatus {
  return (RUN_STATUSES as readonly string[]).includes(value);
}

/** Nothing can happen to the run any more. */
export function isEnded(status: string): boolean {
  return (ENDED as readonly string[]).includes(status);
}

/** No step is begun: the run is being cancelled, or is paused. */
export function isStopping(status: string): boolean {
  return status === "CANCELLING" || status === "PAUSED";
}

/** Whether a run may go from one status to another. */
export function canMove(from: RunStatus, to: RunStatus): boolean {
  return TRANSITIONS[from].includes(to);
}

/** Guards a transition where it is written. @throws Error for one that the table does not have: a defect of ours. */
export function assertMove(from: string, to: RunStatus): void {
  if (!isRunStatus(from) || !canMove(from, to)) throw new Error(`a run may not move from ${from} to ${to}`);
}

/** A tool call as the loop sees it. */
export interface PendingCall {
  readonly id: string;
  /** Of its approval; absent when the call needs none. */
  readonly approval: "PENDING" | "APPROVED" | "DENIED" | "EXPIRED" | "CANCELLED" | "SUPERSEDED" | undefined;
  /** UNKNOWN waits for an operator; SUCCEEDED and FAILED are what the operator said. */
  readonly outcome: "REQUESTED" | "UNKNOWN" | "SUCCEEDED" | "FAILED";
}

export interface Situation {
  readonly status: RunStatus;
  readonly nextStepNumber: number;
  readonly maxSteps: number;
  /** Tool calls that the model asked for and has no answer to yet, in its order. */
  readonly pendingCalls: readonly PendingCall[];
  /** Who spoke last: the model is due after anybody else. */
  readonly lastSpeaker: "user" | "assistant" | "tool";
  /** The model asked the person for something. */
  readonly asksPerson: boolean;
  /** The run was sent something that its model has not been told. */
  readonly hasUnread: boolean;
}

export type NextAction =
  | { readonly kind: "model" }
  | { readonly kind: "tool"; readonly callId: string }
  | { readonly kind: "refuse"; readonly callId: string }
  | { readonly kind: "answer"; readonly callId: string }
  | { readonly kind: "awaitApproval" }
  | { readonly kind: "awaitOperator" }
  | { readonly kind: "awaitInput" }
  | { readonly kind: "awaitExecution" }
  | { readonly kind: "cancel" }
  | { readonly kind: "rest" }
  | { readonly kind: "complete" }
  | { readonly kind: "stepsExhausted" };

/** What a run does next, from what is committed: the whole policy of the loop on one page. */
export function nextAction(situation: Situation): NextAction {
  const { pendingCalls, status } = situation;
  if (status === "CANCELLING") return { kind: "cancel" };
  if (status === "PLANNING") return { kind: "awaitExecution" };
  if (status === "PAUSED") return { kind: "rest" };
  const resolved = pendingCalls.find(({ outcome }) => outcome === "SUCCEEDED" || outcome === "FAILED");
  if (resolved) return { kind: "answer", callId: resolved.id };
  const requested = pendingCalls.filter(({ outcome }) => outcome === "REQUESTED");
  const refused = requested.find(
    (call) => call.approval !== undefined && !["PENDING", "APPROVED"].includes(call.approval),
  );
  if (refused) return { kind: "refuse", callId: refused.id };
  const ready = requested.find((call) => call.approval === undefined || call.approval === "APPROVED");
  const exhausted = situation.nextStepNumber > situation.maxSteps;
  if (ready) return exhausted ? { kind: "stepsExhausted" } : { kind: "tool", callId: ready.id };
  if (requested.length > 0) return { kind: "awaitApproval" };
  if (pendingCalls.length > 0) return { kind: "awaitOperator" };
  if (situation.lastSpeaker !== "assistant" || situation.hasUnread)
    return exhausted ? { kind: "stepsExhausted" } : { kind: "model" };
  return situation.asksPerson ? { kind: "awaitInput" } : { kind: "complete" };
}
