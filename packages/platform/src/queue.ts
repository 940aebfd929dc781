import {
  Queue as BullQueue,
  Worker,
  type Job as BullJob,
  type QueueOptions as BullQueueOptions,
  type WorkerOptions as BullWorkerOptions,
} from "bullmq";
import { platformErrors } from "./errors.ts";
import type { JobHandler, OutboxRow } from "./jobs.ts";
import { logger } from "./log.ts";
import { counter } from "./metrics.ts";
import { QUEUE_TIMEOUT_MS, type BackendConnection, type QueueBackend } from "./queue-backend.ts";
import { backoffOf, DRAINING, indexHandlers, LOST, runJob, type Handlers } from "./queue-worker.ts";

/** The door to BullMQ, on Redis or in Postgres; both pass one contract suite. Jobs come here through the outbox only. */

export interface QueueOptions {
  /** URL of the system role. */
  readonly systemUrl: string;
  /** With it the queue is in Redis, without it in Postgres. */
  readonly redisUrl?: string | undefined;
}

export interface WorkerOptions {
  /** Jobs of one queue that run at once in this process. */
  readonly concurrency: number;
}

export interface QueueCounts {
  readonly waiting: number;
  readonly active: number;
  readonly delayed: number;
  readonly completed: number;
  readonly failed: number;
}

export interface FailedJob {
  readonly id: string;
  readonly name: string;
  readonly reason: string;
  readonly attempts: number;
}

export type Drain = (options?: DrainOptions) => Promise<void>;

export interface DrainOptions {
  /** Jobs in hand may go on so long; then their signals are aborted. */
  readonly graceMs?: number;
  /** After so long connections are cut; what still runs is found by another worker as a stalled job. */
  readonly deadlineMs?: number;
}

export interface Queue {
  /** Hands jobs over; those already there are left alone. @throws SUBGRAPH_UNAVAILABLE when the backend is away: nothing is lost, call again. */
  add(rows: readonly OutboxRow[]): Promise<void>;
  /**
   * Begins to work on the queues of these jobs; resolves when jobs can come. Returns how to take no more and wait for those
   * in hand, while the queue stays open for what they ask for.
   */
  startWorkers(handlers: readonly JobHandler[], options: WorkerOptions): Promise<Drain>;
  counts(queue: string): Promise<QueueCounts>;
  /** The newest jobs that were given up. */
  listFailed(queue: string, first: number): Promise<FailedJob[]>;
  /** Has a job that was given up tried anew, as often as the first time; false when there is no such job. */
  retryFailed(queue: string, id: string): Promise<boolean>;
  /** Drains the workers that still work, and ends the connections. */
  close(options?: DrainOptions): Promise<void>;
}

// Why these numbers: docs/adr/0004-a-stall-is-not-a-failure.md
const LOCK_MS = 3_000;
const LOCK_RENEW_MS = 1_000;
const STALLED_CHECK_MS = 1_000;
const MAX_STALLS = 1_000_000;
const RETRY_FETCH_MS = 1_000;
// Longer than a double hand-over takes. By age alone: to keep a count, BullMQ in Postgres sorts all that it keeps at every completion.
const KEEP_COMPLETED = { age: 60 };
const KEEP_FAILED = { age: 30 * 86_400, count: 5_000 };
const EVENTS_KEPT = 1_000;
const PREFIX = "sba";
const jobs = counter("jobs_total", "Jobs that this process has done, or given back.", ["job", "outcome"]);
const BACKOFF = "sba";

/** Opens the queue of this process. @throws SUBGRAPH_UNAVAILABLE, DATABASE_UNAVAILABLE when its backend cannot be reached. */
export async function openQueue({ systemUrl, redisUrl }: QueueOptions): Promise<Queue> {
  const backend =
    redisUrl === undefined
      ? await (await import("./queue-postgres.ts")).openPostgresBackend(systemUrl)
      : await (await import("./queue-redis.ts")).openRedisBackend(redisUrl);
  const queues = new Map<string, BullQueue>();
  const drains: Drain[] = [];
  let closed: Promise<void> | undefined;

  const queueOf = (name: string): BullQueue => {
    const queue = queues.get(name) ?? makeQueue(backend, name);
    queues.set(name, queue);
    return queue;
  };

  return {
    async add(rows) {
      // A closed backend never answers.
      if (closed) throw platformErrors.SUBGRAPH_UNAVAILABLE({ message: "The queue is closed." });
      const batches = Map.groupBy(rows, ({ queue }) => queue);
      await withinTimeout(
        Promise.all([...batches].map(([name, batch]) => addBatch(queueOf(name), batch, backend.bulkFrom))),
      );
    },
    async startWorkers(handlers, { concurrency }) {
      const byName = indexHandlers(handlers);
      const names = [...new Set(handlers.map(({ job }) => job.queue))];
      const connection = backend.openConsumer(names.length);
      const workers = names.map((name) => makeWorker(backend, connection, name, byName, concurrency));
      let draining: Promise<void> | undefined;
      const drain: Drain = (drainOptions) => (draining ??= drainWorkers(workers, drainOptions));
      drains.push(drain);
      await Promise.all(workers.map((worker) => worker.waitUntilReady()));
      return drain;
    },
    async counts(name) {
      const {
        waiting = 0,
        active = 0,
        delayed = 0,
        completed = 0,
        failed = 0,
      } = await queueOf(name).getJobCounts("waiting", "active", "delayed", "completed", "failed");
      return { waiting, active, delayed, completed, failed };
    },
    async listFailed(name, first) {
      const jobs = await queueOf(name).getFailed(0, first - 1);
      return jobs.map((job) => ({
        id: job.id ?? "",
        name: job.name,
        reason: job.failedReason,
        attempts: job.attemptsMade,
      }));
    },
    async retryFailed(name, id) {
      const job = await queueOf(name).getJob(id);
      if (!job || !(await job.isFailed())) return false;
      await job.retry("failed", { resetAttemptsMade: true });
      return true;
    },
    close: (options) => (closed ??= closeAll(drains, queues, backend, options)),
  };
}

async function closeAll(
  drains: readonly Drain[],
  queues: ReadonlyMap<string, BullQueue>,
  backend: QueueBackend,
  options?: DrainOptions,
): Promise<void> {
  await Promise.all(drains.map((drain) => drain(options)));
  await Promise.all([...queues.values()].map((queue) => queue.close().catch(ignoreClosed)));
  await backend.close();
}

async function addBatch(queue: BullQueue, rows: readonly OutboxRow[], bulkFrom: number): Promise<void> {
  const jobs = rows.map((row) => ({ name: row.name, data: row.envelope, opts: jobOptions(row) }));
  if (jobs.length >= bulkFrom) await queue.addBulk(jobs);
  else await Promise.all(jobs.map(({ name, data, opts }) => queue.add(name, data, opts)));
}

function jobOptions({ id, attempts, backoffMs, runAt }: OutboxRow) {
  return {
    jobId: id,
    attempts,
    backoff: { type: BACKOFF, delay: backoffMs },
    delay: Math.max(0, runAt.getTime() - Date.now()),
    removeOnComplete: KEEP_COMPLETED,
    removeOnFail: KEEP_FAILED,
  };
}

async function withinTimeout(work: Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new Error(`no answer within ${QUEUE_TIMEOUT_MS} ms`));
  }, QUEUE_TIMEOUT_MS);
  try {
    await Promise.race([work, late.promise]);
  } catch (error) {
    throw platformErrors.SUBGRAPH_UNAVAILABLE({ message: "The queue is not answering.", cause: error });
  } finally {
    clearTimeout(timer);
  }
}

function makeQueue({ producer, factory }: QueueBackend, name: string): BullQueue {
  const options: BullQueueOptions = {
    connection: producer,
    prefix: PREFIX,
    streams: { events: { maxLen: EVENTS_KEPT } },
  };
  const queue = factory ? new BullQueue(name, options, factory) : new BullQueue(name, options);
  queue.on("error", logTrouble(name));
  return queue;
}

function makeWorker(
  { factory }: QueueBackend,
  connection: BackendConnection,
  name: string,
  handlers: Handlers,
  concurrency: number,
): Worker {
  const options: BullWorkerOptions = {
    connection,
    concurrency,
    prefix: PREFIX,
    lockDuration: LOCK_MS,
    lockRenewTime: LOCK_RENEW_MS,
    stalledInterval: STALLED_CHECK_MS,
    maxStalledCount: MAX_STALLS,
    runRetryDelay: RETRY_FETCH_MS,
    settings: {
      backoffStrategy: (attemptsMade, _type, error, job) =>
        backoffOf(attemptsMade, error, firstBackoffMs(job as BullJob)),
    },
  };
  // Only a processor that declares three parameters is given a signal, so they have no defaults here.
  const processor = (job: BullJob, token: string | undefined, signal: AbortSignal | undefined): Promise<void> =>
    runJob(handlers, job, token ?? "", signal ?? AbortSignal.any([]));
  const worker = factory ? new Worker(name, processor, options, factory) : new Worker(name, processor, options);
  worker.on("error", logTrouble(name));
  worker.on("completed", ({ name: job }) => {
    jobs.inc({ job, outcome: "done" });
  });
  worker.on("failed", logFailure);
  worker.on("stalled", (id) => {
    logger.warn({ "job.id": id, "queue.name": name }, "job stalled and will run again");
  });
  worker.on("lockRenewalFailed", (ids) => {
    for (const id of ids) worker.cancelJob(id, LOST);
  });
  return worker;
}

function firstBackoffMs({ opts }: BullJob): number {
  return typeof opts.backoff === "object" ? (opts.backoff.delay ?? 0) : 0;
}

function logTrouble(name: string): (error: Error) => void {
  return (error) => {
    logger.debug({ "queue.name": name, err: error }, "queue trouble");
  };
}

function logFailure(job: BullJob | undefined, error: Error): void {
  const isFinal = job?.finishedOn !== undefined;
  jobs.inc({ job: job?.name ?? "", outcome: isFinal ? "given up" : "tried again" });
  const facts = {
    "job.name": job?.name,
    "job.id": job?.id,
    "job.attempt": job?.attemptsMade,
    "error.message": error.message,
  };
  if (isFinal) logger.error({ ...facts, err: error }, "job failed and is given up");
  else logger.warn(facts, "job failed and will be tried again");
}

async function drainWorkers(
  workers: readonly Worker[],
  { graceMs = 4_000, deadlineMs = 7_000 }: DrainOptions = {},
): Promise<void> {
  const drained = Promise.all(workers.map((worker) => worker.close()));
  const interrupt = setTimeout(() => {
    for (const worker of workers) worker.cancelAllJobs(DRAINING);
  }, graceMs);
  const deadline = Promise.withResolvers<"late">();
  const giveUp = setTimeout(() => {
    deadline.resolve("late");
  }, deadlineMs);
  const outcome = await Promise.race([drained, deadline.promise]);
  clearTimeout(interrupt);
  clearTimeout(giveUp);
  if (outcome !== "late") return;
  logger.warn("jobs in hand did not end in time and are left to other workers");
  await Promise.all(workers.map((worker) => worker.disconnect().catch(ignoreClosed)));
}

function ignoreClosed(error: unknown): void {
  logger.debug({ err: error }, "a queue was already closed");
}
