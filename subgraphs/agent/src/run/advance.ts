import { callerOfStarter, type Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { AppError, ensureAppError } from "@sba/platform/errors";
import type { JobContext } from "@sba/platform/jobs";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import type { LeaseKeeper } from "@sba/platform/lease";
import { errors } from "../errors.ts";
import { commitModelTurn, takeModelTurn } from "../step/model-turn.ts";
import { commitToolTurn, takeToolTurn } from "../step/tool-turn.ts";
import { readHistory } from "../thread/message.ts";
import { failRun } from "./end.ts";
import { endLease, keepRunLease, lockLeased, takeLease } from "./lease.ts";
import { MAX_ATTEMPTS, planNext, takeUp, type Work } from "./plan-next.ts";
import { wakeRun } from "./wake.ts";

/**
 * The loop of a run. A job is only a wake-up: whoever takes the lease looks at what is committed, does what is due,
 * and commits each step with what follows from it. A crash between two lines repeats the line; repeats are harmless.
 */

/** A worker goes straight on with a run this far, then lets others have their turn. */
const STEPS_IN_A_ROW = 8;
const STRAIGHT_ON_MS = 250;

const RETRY_BACKOFF_MS = 500;

/** Moves a run on until it waits, ends, or has had its turn. Safe to call at any time, by any number of workers. */
export async function advanceRun(
  caller: Caller,
  { runId }: { readonly runId: string },
  { signal, log }: JobContext,
): Promise<void> {
  const taken = await withTenant(caller, async (tx) => {
    const run = await takeLease(tx, runId);
    if (!run) return undefined;
    return { run, work: await takeUp(tx, callerOfStarter(run), run) };
  });
  if (!taken?.work) return;
  const keeper = keepRunLease(caller, taken.run, signal);
  try {
    await work(taken.run, taken.work, keeper, signal);
  } catch (error) {
    // Another worker has the run: whatever this one was doing is void, and nothing of it was committed.
    if (!(error instanceof AppError && error.code === "AGENT_RUN_LEASE_LOST")) throw error;
    log.info({ "run.id": runId }, "lease lost");
  } finally {
    keeper.stop();
  }
}

async function work(run: RunRow, first: Work, keeper: LeaseKeeper, drain: AbortSignal): Promise<void> {
  const caller = callerOfStarter(run);
  const startedAt = performance.now();
  let next: Work | undefined = first;
  for (let steps = 1; next; steps++) {
    const goesOn = steps < STEPS_IN_A_ROW && performance.now() - startedAt < STRAIGHT_ON_MS;
    next = await takeStep(run, caller, next, { keeper, drain, goesOn });
  }
}

interface StepOptions {
  readonly keeper: LeaseKeeper;
  readonly drain: AbortSignal;
  /** False when others should have their turn after this step. */
  readonly goesOn: boolean;
}

/** Does one step, with no transaction open, and commits it together with the beginning of the next. */
async function takeStep(
  run: RunRow,
  caller: Caller,
  current: Work,
  { keeper, drain, goesOn }: StepOptions,
): Promise<Work | undefined> {
  let commit: (tx: Tx, locked: RunRow) => Promise<void>;
  try {
    commit = await perform(caller, current, keeper.signal);
  } catch (error) {
    await withTenant(caller, (tx) =>
      interruptStep(tx, caller, run, { error: ensureAppError(error), draining: drain.aborted }),
    );
    return undefined;
  }
  return withTenant(caller, async (tx) => {
    const locked = await lockLeased(tx, run);
    await commit(tx, locked);
    const [now, history] = await Promise.all([lockLeased(tx, run), readHistory(tx, run)]);
    if (goesOn || now.status === "CANCELLING") return planNext(tx, caller, now, history);
    await endLease(tx, now, 0);
    await wakeRun(tx, caller, run.id);
    return undefined;
  });
}

async function perform(caller: Caller, current: Work, signal: AbortSignal) {
  if (current.kind === "model") {
    const turn = await takeModelTurn(caller, current, signal);
    return (tx: Tx, locked: RunRow) => commitModelTurn(tx, caller, locked, current, turn);
  }
  const outcome = await takeToolTurn(caller, current, signal);
  return (tx: Tx, locked: RunRow) => commitToolTurn(tx, caller, locked, current, outcome);
}

interface Interruption {
  readonly error: AppError;
  readonly draining: boolean;
}

/** What becomes of a step whose attempt failed: cancelled with its run, tried again later, or the end of the run. */
async function interruptStep(tx: Tx, caller: Caller, run: RunRow, { error, draining }: Interruption): Promise<void> {
  const locked = await lockLeased(tx, run);
  if (locked.status === "CANCELLING") {
    await planNext(tx, caller, locked, await readHistory(tx, run));
    return;
  }
  const lastAttempt = locked.stepAttempt >= MAX_ATTEMPTS;
  if (!draining && (!error.retryable || lastAttempt)) {
    await failRun(tx, caller, locked, error.retryable ? errors.AGENT_RUN_ATTEMPTS_EXHAUSTED({ cause: error }) : error);
    return;
  }
  const backoffMs = draining ? 0 : (error.retryAfterMs ?? RETRY_BACKOFF_MS * 2 ** (locked.stepAttempt - 1));
  await tx.sql`UPDATE agent.run SET error_code = ${draining ? "WORKER_DRAINED" : error.code} WHERE id = ${run.id}`;
  await endLease(tx, locked, backoffMs);
  await wakeRun(tx, caller, run.id, backoffMs);
}
