/** How a workflow run moves. Pure: no database, no clock. */

export const WORKFLOW_RUN_STATUSES = [
  "CREATED",
  "RUNNING",
  "WAITING",
  "CANCELLING",
  "COMPLETED",
  "FAILED",
  "CANCELLED",
] as const;
export type WorkflowRunStatus = (typeof WORKFLOW_RUN_STATUSES)[number];

const TRANSITIONS: Readonly<Record<WorkflowRunStatus, readonly WorkflowRunStatus[]>> = {
  CREATED: ["RUNNING", "FAILED", "CANCELLING"],
  RUNNING: ["WAITING", "COMPLETED", "FAILED", "CANCELLING"],
  WAITING: ["RUNNING", "FAILED", "CANCELLING"],
  CANCELLING: ["CANCELLED"],
  COMPLETED: [],
  FAILED: [],
  CANCELLED: [],
};

export const WORKFLOW_STEP_STATUSES = ["RUNNING", "WAITING", "COMPLETED", "FAILED", "CANCELLED"] as const;
export type WorkflowStepStatus = (typeof WORKFLOW_STEP_STATUSES)[number];

export function isWorkflowRunStatus(value: string): value is WorkflowRunStatus {
  return (WORKFLOW_RUN_STATUSES as readonly string[]).includes(value);
}

/** Whether a workflow run may go from one status to another. */
export function canMove(from: WorkflowRunStatus, to: WorkflowRunStatus): boolean {
  return TRANSITIONS[from].includes(to);
}

/** Nothing can happen to the workflow run any more. */
export function isEnded(status: string): boolean {
  return isWorkflowRunStatus(status) && TRANSITIONS[status].length === 0;
}

export interface Situation {
  readonly status: WorkflowRunStatus;
  /** The status of the step that was begun and has not ended. */
  readonly openStep: "RUNNING" | "WAITING" | undefined;
  /** Steps that ended. */
  readonly stepsDone: number;
  readonly stepsTotal: number;
}

export type NextAction =
  | { readonly kind: "begin"; readonly number: number }
  | { readonly kind: "look" }
  | { readonly kind: "performAgain" }
  | { readonly kind: "cancelStep" }
  | { readonly kind: "cancel" }
  | { readonly kind: "complete" };

/** What a workflow run does next, from what is committed. Steps go one after the other. */
export function nextAction({ status, openStep, stepsDone, stepsTotal }: Situation): NextAction {
  if (status === "CANCELLING") return { kind: openStep === undefined ? "cancel" : "cancelStep" };
  if (openStep === "WAITING") return { kind: "look" };
  // A step that runs and has no worker: the one before died or drained in the middle of it.
  if (openStep === "RUNNING") return { kind: "performAgain" };
  return stepsDone < stepsTotal ? { kind: "begin", number: stepsDone + 1 } : { kind: "complete" };
}
