import { UnrecoverableError, WaitingError, type Job as BullJob } from "bullmq";
import { z } from "zod";
import { deserializeCaller } from "./caller.ts";
import { AppError } from "./errors.ts";
import { jobEnvelopeSchema, type JobContext, type JobHandler } from "./jobs.ts";
import { logger } from "./log.ts";
import { callerAttributes, runInSpan } from "./telemetry.ts";

/** What a worker does with one job: parse it, run its handler as its caller and in its trace, and say what a failure means. */

const LONGEST_BACKOFF_MS = 300_000;

/** Why a signal was aborted: the job goes back and is run again elsewhere. */
export const DRAINING = "the worker drains";
/** Why a signal was aborted: another worker has the job. */
export const LOST = "the worker lost the job";

export type Handlers = ReadonlyMap<string, JobHandler>;

/** The handlers by job name. @throws Error when two handle the same job. */
export function indexHandlers(handlers: readonly JobHandler[]): Handlers {
  const byName = new Map(handlers.map((handler) => [handler.job.name, handler]));
  const twice = handlers.find((handler) => byName.get(handler.job.name) !== handler);
  if (twice) throw new Error(`the job ${twice.job.name} has two handlers`);
  return byName;
}

export async function runJob(handlers: Handlers, job: BullJob, token: string, signal: AbortSignal): Promise<void> {
  const { handler, caller, payload, traceparent } = parseJob(handlers, job);
  const log = logger.child({
    "job.name": job.name,
    "job.id": job.id,
    "tenant.id": caller.tenantId,
    "request.id": caller.requestId,
  });
  const context: JobContext = { signal, attempt: job.attemptsMade + 1, log };
  const attributes = { ...callerAttributes(caller), "job.id": job.id, "job.attempt": context.attempt };
  try {
    await runInSpan(job.name, { traceparent, kind: "consumer", attributes }, () =>
      handler.run(caller, payload, context),
    );
  } catch (error) {
    if (signal.aborted && signal.reason === DRAINING) {
      // It was interrupted, it did not fail: no attempt is counted.
      await job.moveToWait(token);
      throw new WaitingError();
    }
    throw outcomeOf(error);
  }
}

function parseJob(handlers: Handlers, job: BullJob) {
  const handler = handlers.get(job.name);
  if (!handler)
    throw new UnrecoverableError(`JOB_UNKNOWN: no handler for the job ${job.name} on the queue ${job.queueName}`);
  const envelope = jobEnvelopeSchema.safeParse(job.data);
  if (!envelope.success) throw new UnrecoverableError(`JOB_INVALID: the envelope: ${z.prettifyError(envelope.error)}`);
  const payload = handler.job.payload.safeParse(envelope.data.payload);
  if (!payload.success) throw new UnrecoverableError(`JOB_INVALID: the payload: ${z.prettifyError(payload.error)}`);
  return {
    handler,
    caller: deserializeCaller(envelope.data.caller),
    payload: payload.data,
    traceparent: envelope.data.traceparent,
  };
}

/** What is not to be repeated goes to the failed set at once, under its code. */
function outcomeOf(error: unknown): Error {
  if (error instanceof AppError && !error.retryable) return new UnrecoverableError(`${error.code}: ${error.message}`);
  return error instanceof Error ? error : new Error(String(error));
}

/** Milliseconds until the next attempt: doubling, spread a little so that failed jobs do not come back all at once, at most 5 minutes. */
export function backoffOf(attemptsMade: number, error: Error | undefined, firstMs: number): number {
  const doublingMs = Math.min(LONGEST_BACKOFF_MS, firstMs * 2 ** (attemptsMade - 1)) * (1 + Math.random() / 4);
  const asked = error instanceof AppError ? (error.retryAfterMs ?? 0) : 0;
  return Math.round(Math.max(doublingMs, asked));
}
