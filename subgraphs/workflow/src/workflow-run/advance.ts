import { callerOfStarter, type Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { AppError, ensureAppError } from "@sba/platform/errors";
import type { WorkflowRun as WorkflowRunRow, WorkflowStep } from "@sba/platform/generated/prisma/client";
import type { JobContext } from "@sba/platform/jobs";
import { logger } from "@sba/platform/log";
import type { StepState } from "../step-kind/step-kind.ts";
import { failedBy } from "./begin-step.ts";
import { endLease, keepWorkflowRunLease, lockLeased, takeLease } from "./lease.ts";
import { isWork, MAX_ATTEMPTS, planNext, settle, settleCancel, type Next, type Work } from "./plan-next.ts";
import { wakeWorkflowRun } from "./wake.ts";

/**
 * The loop of a workflow run. A job is only a wake-up: whoever takes the lease looks at what is committed, does what is
 * due, and commits each step with what follows from it. A crash between two lines repeats the line; repeats are harmless.
 */

/** A worker goes straight on with a run this far, then lets others have their turn. */
const TURNS_IN_A_ROW = 8;
const STRAIGHT_ON_MS = 250;
const RETRY_BACKOFF_MS = 500;
const LOOK_AGAIN_MS = 10_000;

/** Moves a workflow run on until it waits, ends, or has had its turn. Safe to call at any time, by any number of workers. */
export async function advanceWorkflowRun(
  caller: Caller,
  { workflowRunId }: { readonly workflowRunId: string },
  { signal, log }: JobContext,
): Promise<void> {
  const startedAt = performance.now();
  try {
    for (
      let turns = 0;
      turns < TURNS_IN_A_ROW && performance.now() - startedAt < STRAIGHT_ON_MS && !signal.aborted;
      turns++
    ) {
      if (!(await takeTurn(caller, workflowRunId, signal))) return;
    }
  } catch (error) {
    // Another worker has the run: whatever this one was doing is void, and nothing of it was committed.
    if (!(error instanceof AppError && error.code === "WORKFLOW_RUN_LEASE_LOST")) throw error;
    log.info({ "workflowRun.id": workflowRunId }, "lease lost");
    return;
  }
  await withTenant(caller, (tx) => wakeWorkflowRun(tx, caller, workflowRunId));
}

/** Does what is due, and says whether something is due at once again. */
async function takeTurn(caller: Caller, workflowRunId: string, drain: AbortSignal): Promise<boolean> {
  const taken = await withTenant(caller, async (tx) => {
    const run = await takeLease(tx, workflowRunId);
    return run && { run, next: await planNext(tx, callerOfStarter(run), run) };
  });
  if (!taken) return false;
  if (!isWork(taken.next)) return taken.next.due;
  return work(taken.run, taken.next, drain);
}

async function work(run: WorkflowRunRow, first: Work, drain: AbortSignal): Promise<boolean> {
  const caller = callerOfStarter(run);
  const keeper = keepWorkflowRunLease(caller, run, drain);
  try {
    let next: Next = first;
    while (isWork(next)) next = await act(caller, run, next, { signal: keeper.signal, drain });
    return next.due;
  } finally {
    keeper.stop();
  }
}

interface ActOptions {
  readonly signal: AbortSignal;
  readonly drain: AbortSignal;
}

/** Does one thing with no transaction open, and commits what came of it. */
async function act(caller: Caller, run: WorkflowRunRow, todo: Work, { signal, drain }: ActOptions): Promise<Next> {
  let commit: (tx: Tx, locked: WorkflowRunRow) => Promise<Next>;
  try {
    commit = await perform(caller, todo, signal);
  } catch (error) {
    return withTenant(caller, (tx) =>
      interrupt(tx, caller, run, { todo, error: ensureAppError(error), draining: drain.aborted }),
    );
  }
  return withTenant(caller, async (tx) => commit(tx, await lockLeased(tx, run)));
}

async function perform(caller: Caller, { action, step, kind }: Work, signal: AbortSignal) {
  if (action === "cancel") {
    const stopped = await kind.cancel(caller, step);
    return (tx: Tx, locked: WorkflowRunRow) => settleCancel(tx, caller, locked, step, stopped);
  }
  const state: StepState = action === "look" ? await kind.look(caller, step) : await kind.perform(caller, step, signal);
  return (tx: Tx, locked: WorkflowRunRow) =>
    isUnchanged(step, state) ? rest(tx, locked, state) : settle(tx, caller, locked, { step, state });
}

/** A look that found nothing new writes nothing but when to look again. */
function isUnchanged(step: WorkflowStep, state: StepState): state is Extract<StepState, { kind: "wait" }> {
  return state.kind === "wait" && step.status === "WAITING";
}

async function rest(tx: Tx, run: WorkflowRunRow, { lookAgainMs }: { readonly lookAgainMs: number }): Promise<Next> {
  return { due: await endLease(tx, run, run.status === "CANCELLING" ? 0 : lookAgainMs) };
}

interface Interruption {
  readonly todo: Work;
  readonly error: AppError;
  readonly draining: boolean;
}

/** What becomes of a step that was interrupted: left to its run's cancellation, tried again later, or failed. */
async function interrupt(
  tx: Tx,
  caller: Caller,
  run: WorkflowRunRow,
  { todo, error, draining }: Interruption,
): Promise<Next> {
  const locked = await lockLeased(tx, run);
  const { step, action } = todo;
  if (error.kind === "internal")
    logger.error(
      { err: error.cause ?? error, "workflowRun.id": run.id, "step.kind": step.kind },
      "workflow step failed",
    );
  if (draining || (locked.status === "CANCELLING" && action !== "cancel"))
    return { due: await endLease(tx, locked, 0) };
  if (!error.retryable || (action === "perform" && step.attempt >= MAX_ATTEMPTS)) {
    return settle(tx, caller, locked, { step, state: failedBy(error) });
  }
  const delayMs =
    action === "perform" ? (error.retryAfterMs ?? RETRY_BACKOFF_MS * 2 ** (step.attempt - 1)) : LOOK_AGAIN_MS;
  const due = await endLease(tx, locked, delayMs);
  if (!due) await wakeWorkflowRun(tx, caller, run.id, delayMs);
  return { due };
}
