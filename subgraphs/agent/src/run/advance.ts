import type { Caller } from "@sba/platform/caller";
import { withTenantOnce } from "@sba/platform/db";
import { AppError, ensureAppError } from "@sba/platform/errors";
import type { Logger } from "@sba/platform/log";
import { isLeftAlone } from "../model/index.ts";
import { commitModelTurn, meterFailedAttempts, takeModelTurn } from "../step/model-turn.ts";
import { commitToolTurn, takeToolTurn } from "../step/tool-turn.ts";
import { takeFound, type Begun, type Taken } from "./claim.ts";
import { giveUpRun } from "./dead-letter.ts";
import { failRun } from "./end.ts";
import { fundStep } from "./funding.ts";
import { keepRunLease, takeLease } from "./lease.ts";
import { MAX_ATTEMPTS, planNext, type Work } from "./plan-next.ts";
import { isStopping } from "./run.state.ts";
import { commit } from "./commit.ts";
import { reopenSession, type Draft, type Session } from "./session.ts";
import { nudge } from "./wake.ts";

/**
 * The loop of a run. A job is only a wake-up: whoever takes the lease looks at what is committed, does what is due,
 * and commits each step with what follows from it. A crash between two lines repeats the line; repeats are harmless.
 */

/** While others wait, a worker goes straight on with a run this far, then lets them have their turn. */
const STEPS_IN_A_ROW = 8;
const STRAIGHT_ON_MS = 250;

const RETRY_BACKOFF_MS = 500;

export interface AdvanceContext {
  /** Aborted when the worker drains. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** True while other runs wait for this worker; always when absent. */
  readonly isCrowded?: () => boolean;
}

/** Moves a run on until it waits, ends, or has had its turn. Safe to call at any time, by any number of workers. */
export async function advanceRun(
  caller: Caller,
  { runId }: { readonly runId: string },
  context: AdvanceContext,
): Promise<void> {
  const run = await withTenantOnce(caller, (tx) => takeLease(tx, runId));
  if (run) await advanceTaken(takeFound(run), context);
}

/** The same for a run whose lease was just taken. */
export async function advanceTaken(
  { run, begin }: Taken,
  { signal, log, isCrowded = () => true }: AdvanceContext,
): Promise<void> {
  const keeper = keepRunLease(run, signal);
  try {
    await goOn(await begin(), { ...keeper, drain: signal, isCrowded });
  } catch (error) {
    // Another worker has the run: whatever this one was doing is void, and nothing of it was committed.
    if (!(error instanceof AppError && error.code === "AGENT_RUN_LEASE_LOST")) throw error;
    log.info({ "run.id": run.id }, "lease lost");
  } finally {
    keeper.stop();
  }
}

interface Signals {
  /** The step under way is to stop. */
  readonly signal: AbortSignal;
  /** The step under way is to stop if it can be done again. */
  readonly pause: AbortSignal;
  /** The run is still this worker's (`LeaseKeeper`). */
  readonly hold: () => Promise<void>;
  /** The worker takes no more. */
  readonly drain: AbortSignal;
  readonly isCrowded: () => boolean;
}

async function goOn(begun: Begun, signals: Signals): Promise<void> {
  const startedAt = performance.now();
  let { session, result: work } = begun;
  for (let steps = 1; work; steps++) {
    const hadItsTurn = steps >= STEPS_IN_A_ROW || performance.now() - startedAt >= STRAIGHT_ON_MS;
    const yields = hadItsTurn && signals.isCrowded();
    ({ session, result: work } = await takeStep(session, work, { ...signals, yields }));
  }
}

interface StepOptions extends Signals {
  /** True when others should have their turn after this step. */
  readonly yields: boolean;
}

/** Does one step, with no transaction open, and commits it together with the beginning of the next. */
async function takeStep(session: Session, current: Work, options: StepOptions): Promise<Begun> {
  const { pause, drain, yields } = options;
  let funded: Session;
  let commitStep: (draft: Draft) => void;
  try {
    funded = await fundStep(session, current);
    commitStep = await perform(funded, current, options);
  } catch (error) {
    return interruptStep(session, {
      ...{ current, error: ensureAppError(error), draining: drain.aborted, paused: pause.aborted },
      leftAlone: isLeftAlone(error),
    });
  }
  return commit(funded, (draft) => {
    commitStep(draft);
    // What is begun next must not be stopped by a pause that is over: that takes a lease of its own.
    if (!(yields || pause.aborted) || isStopping(draft.run.status)) return planNext(draft);
    release(draft, 0);
    return undefined;
  });
}

async function perform(
  session: Session,
  current: Work,
  { signal, pause, hold }: Signals,
): Promise<(draft: Draft) => void> {
  if (current.kind === "model") {
    const turn = await takeModelTurn(session, current, AbortSignal.any([signal, pause]));
    return (draft) => {
      commitModelTurn(draft, current, turn);
    };
  }
  const outcome = await takeToolTurn(session, current, { signal, pause, hold });
  return (draft) => {
    commitToolTurn(draft, current, outcome);
  };
}

/** Gives the run back; somebody is asked to look at it again after `dueInMs`. */
function release(draft: Draft, dueInMs: number): void {
  draft.release = { dueInMs };
  draft.writes.push((tx) => {
    nudge(tx, dueInMs);
  });
}

export interface Interruption {
  readonly current: Work;
  readonly error: Pick<AppError, "code" | "message" | "retryable" | "retryAfterMs">;
  readonly draining: boolean;
  readonly paused: boolean;
  /** Nobody was asked: the model's provider is left alone for now. */
  readonly leftAlone: boolean;
}

/** What becomes of a step whose attempt failed: cancelled with its run, put aside, tried again later, or the end of the run. */
async function interruptStep(session: Session, interruption: Interruption): Promise<Begun> {
  const { session: ended } = await commit(await reopenSession(session), (draft) => {
    afterInterruption(draft, interruption);
  });
  return { session: ended, result: undefined };
}

/** Decides the same, in the draft of the run as it is committed by then. */
export function afterInterruption(draft: Draft, interruption: Interruption): void {
  const { current, error, draining, paused, leftAlone } = interruption;
  if (current.kind === "model") meterFailedAttempts(draft, current);
  const { run } = draft;
  if (run.status === "CANCELLING") planNext(draft);
  else if (paused) putAside(draft, "RUN_PAUSED", 0);
  else if (draining) putAside(draft, "WORKER_DRAINED", 0);
  else if (leftAlone) putAside(draft, error.code, error.retryAfterMs ?? RETRY_BACKOFF_MS);
  else if (!error.retryable) failRun(draft, error);
  else if (run.stepAttempt >= MAX_ATTEMPTS) giveUpRun(draft, error.code);
  else {
    draft.run = { ...run, errorCode: error.code };
    release(draft, error.retryAfterMs ?? RETRY_BACKOFF_MS * 2 ** (run.stepAttempt - 1));
  }
}

/** A step that a pause or a worker's end cut off, or that nobody was asked for, is begun again afterwards. That is not an attempt that failed. */
function putAside(draft: Draft, errorCode: string, dueInMs: number): void {
  draft.run = { ...draft.run, stepAttempt: draft.run.stepAttempt - 1, errorCode };
  if (isStopping(draft.run.status)) planNext(draft);
  else release(draft, dueInMs);
}
