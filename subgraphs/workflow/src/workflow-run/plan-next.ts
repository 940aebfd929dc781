import type { Caller } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import { appendEvents, type NewEvent } from "@sba/platform/events";
import type {
  WorkflowRun as WorkflowRunRow,
  WorkflowStep,
  WorkflowVersion,
} from "@sba/platform/generated/prisma/client";
import { errors } from "../errors.ts";
import { workflowRunStream } from "../events.ts";
import { findKind } from "../step-kind/kinds/index.ts";
import type { StepKind, StepRun, StepState } from "../step-kind/step-kind.ts";
import { stepsOf } from "../workflow/workflow.ts";
import { beginStep, failedBy } from "./begin-step.ts";
import { endRun, moveTo } from "./end.ts";
import { endLease } from "./lease.ts";
import { endStep, moveStep, readSteps, stepStarted } from "./step.ts";
import { nextAction, type WorkflowRunStatus } from "./workflow-run.state.ts";

/** How often a step is tried before its run fails. */
export const MAX_ATTEMPTS = 5;
const CANCEL_AGAIN_MS = 10_000;

/** Something to do for a step while the lease is held and no transaction is open. */
export interface Work {
  readonly action: "look" | "perform" | "cancel";
  readonly step: StepRun;
  readonly kind: StepKind;
}

/** The lease was given back. `due` when there is something to do at once. */
export interface Rest {
  readonly due: boolean;
}

export type Next = Work | Rest;

export function isWork(next: Next): next is Work {
  return "action" in next;
}

/** Decides what a leased run does next, and does of it what belongs into the transaction. */
export async function planNext(tx: Tx, caller: Caller, run: WorkflowRunRow): Promise<Next> {
  const [version] =
    await tx.sql<WorkflowVersion>`SELECT * FROM workflow.workflow_version WHERE id = ${run.workflowVersionId}`;
  const definitions = stepsOf(version!);
  const { definitionHash } = version!;
  const steps = await readSteps(tx, run.id);
  const done = steps.filter(({ endedAt }) => endedAt !== null);
  const open = steps.find(({ endedAt }) => endedAt === null);
  const action = nextAction({
    status: run.status as WorkflowRunStatus,
    openStep: open?.status as "RUNNING" | "WAITING" | undefined,
    stepsDone: done.length,
    stepsTotal: definitions.length,
  });
  const current = open && { ...open, definitionHash };
  switch (action.kind) {
    case "begin":
      return begin(tx, caller, run, {
        number: action.number,
        definition: definitions[action.number - 1]!,
        definitionHash,
        done,
      });
    case "look":
      return toWork("look", current!);
    case "performAgain":
      return performAgain(tx, caller, run, current!);
    case "cancelStep":
      return toWork("cancel", current!);
    case "cancel":
      return end(endRun(tx, caller, run, { status: "CANCELLED" }));
    case "complete":
      return end(endRun(tx, caller, run, { status: "COMPLETED", output: done.at(-1)?.output }));
  }
}

async function end(ending: Promise<void>): Promise<Rest> {
  await ending;
  return { due: false };
}

function toWork(action: Work["action"], step: StepRun): Work {
  const kind = findKind(step.kind);
  if (!kind) throw errors.WORKFLOW_STEP_KIND_UNKNOWN({ details: { kind: step.kind } });
  return { action, step, kind };
}

async function begin(
  tx: Tx,
  caller: Caller,
  created: WorkflowRunRow,
  toBegin: Parameters<typeof beginStep>[3],
): Promise<Next> {
  const { run, events } = await moveTo(tx, created, "RUNNING");
  const { step, state } = await beginStep(tx, caller, run, toBegin);
  return settle(tx, caller, run, { step, state, opening: events, isNew: true });
}

/** A step whose worker died or drained: tried again, a limited number of times. */
async function performAgain(tx: Tx, caller: Caller, run: WorkflowRunRow, step: StepRun): Promise<Next> {
  if (step.attempt >= MAX_ATTEMPTS) {
    return settle(tx, caller, run, { step, state: failedBy(errors.WORKFLOW_STEP_ATTEMPTS_EXHAUSTED()) });
  }
  return toWork("perform", { ...step, ...(await moveStep(tx, step, "RUNNING")) });
}

export interface Settlement {
  readonly step: StepRun;
  readonly state: StepState;
  /** Events that come before those of the step. */
  readonly opening?: readonly NewEvent[];
  /** True for a step that was begun in this transaction. */
  readonly isNew?: boolean;
}

/** Commits where a step stands, and what follows for its run. */
export async function settle(tx: Tx, caller: Caller, run: WorkflowRunRow, settlement: Settlement): Promise<Next> {
  const { state } = settlement;
  if (state.kind === "perform" || state.kind === "wait") return goOn(tx, caller, run, settlement, state);
  return finish(tx, caller, run, settlement, state);
}

type Continuing = Extract<StepState, { kind: "perform" | "wait" }>;

async function goOn(
  tx: Tx,
  caller: Caller,
  run: WorkflowRunRow,
  settlement: Settlement,
  state: Continuing,
): Promise<Next> {
  const { step, opening = [], isNew = false } = settlement;
  const status = state.kind === "wait" ? "WAITING" : "RUNNING";
  const moved = { ...step, ...(await moveStep(tx, step, status, state.links)) };
  const { events } = await moveTo(tx, run, status);
  await append(tx, caller, run, [...opening, ...(isNew ? [stepStarted(moved)] : []), ...events]);
  if (run.status === "CANCELLING") return { due: await endLease(tx, run, 0) };
  return state.kind === "wait" ? { due: await endLease(tx, run, state.lookAgainMs) } : toWork("perform", moved);
}

type Ended = Extract<StepState, { kind: "done" | "failed" }>;

async function finish(
  tx: Tx,
  caller: Caller,
  run: WorkflowRunRow,
  settlement: Settlement,
  state: Ended,
): Promise<Next> {
  const { step, opening = [], isNew = false } = settlement;
  const finished = await endStep(
    tx,
    step,
    state.kind === "done" ? { status: "COMPLETED", output: state.output } : { status: "FAILED", error: state.error },
  );
  const closing = [...opening, ...(isNew ? [stepStarted(step)] : []), finished];
  if (state.kind === "failed" && run.status !== "CANCELLING")
    return end(endRun(tx, caller, run, { status: "FAILED", error: state.error }, closing));
  const { events } = await moveTo(tx, run, "RUNNING");
  await append(tx, caller, run, [...closing, ...events]);
  return { due: await endLease(tx, run, 0) };
}

/** Ends a run whose step was asked to stop, or gives the step more time. */
export async function settleCancel(
  tx: Tx,
  caller: Caller,
  run: WorkflowRunRow,
  step: WorkflowStep,
  stopped: boolean,
): Promise<Next> {
  if (!stopped) return { due: await endLease(tx, run, CANCEL_AGAIN_MS) };
  const closing = await endStep(tx, step, { status: "CANCELLED" });
  return end(endRun(tx, caller, run, { status: "CANCELLED" }, [closing]));
}

async function append(tx: Tx, caller: Caller, run: WorkflowRunRow, events: readonly NewEvent[]): Promise<void> {
  if (events.length > 0) await appendEvents(tx, caller, workflowRunStream(run.id), events);
}
