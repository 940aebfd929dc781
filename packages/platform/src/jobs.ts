import { z } from "zod";
import { serializeCaller, type Caller } from "./caller.ts";
import { json, type Tx } from "./db.ts";
import { newId } from "./ids.ts";
import type { Logger } from "./log.ts";
import { currentTraceparent } from "./telemetry.ts";

/**
 * What work exists and how it is asked for. A job is asked for in the transaction that makes it necessary (a row in
 * the outbox); the relay hands it to the queue after the commit. Jobs may run more than once: what they do is keyed.
 */

export interface JobOptions {
  /** The queue, one of the worker's pools: slow work does not stand in the way of fast work. */
  readonly queue: string;
  /** Runs before the job is given up and stays in the queue's failed set. */
  readonly attempts?: number;
  /** The first pause between attempts; doubles each time. */
  readonly backoffMs?: number;
}

/** A job's name, payload and policy. Producers import this and nothing of the worker. */
export interface Job<Payload = unknown> extends Required<JobOptions> {
  readonly name: string;
  readonly payload: z.ZodType<Payload>;
}

/** How a job travels: parsed at both ends. */
export const jobEnvelopeSchema = z.object({
  caller: z.object({
    tenantId: z.uuid(),
    principalId: z.uuid(),
    principalKind: z.enum(["USER", "SERVICE_ACCOUNT", "API_KEY"]),
    permissions: z.array(z.string()).readonly(),
    requestId: z.string(),
    expiresAtMs: z.number().exactOptional(),
  }),
  payload: z.unknown(),
  traceparent: z.string().exactOptional(),
});

export type JobEnvelope = z.infer<typeof jobEnvelopeSchema>;

/** A job on its way from the transaction that asked for it to the queue. */
export interface OutboxRow {
  /** UUID; the queue's job has the same id, so that handing it over twice is handing it over once. */
  readonly id: string;
  readonly queue: string;
  readonly name: string;
  readonly envelope: JobEnvelope;
  readonly attempts: number;
  readonly backoffMs: number;
  readonly runAt: Date;
}

export interface JobContext {
  /** Aborted when the worker drains or loses the job. */
  readonly signal: AbortSignal;
  /** 1 for the first attempt. */
  readonly attempt: number;
  readonly log: Logger;
}

/** What a worker does for one kind of job. */
export interface JobHandler<Payload = unknown> {
  readonly job: Job<Payload>;
  readonly run: (caller: Caller, payload: Payload, context: JobContext) => Promise<void>;
}

// BullMQ refuses other names only when a job is handed over, which would keep its row in the outbox for ever.
const QUEUE_NAME = /^[a-z][a-z0-9-]{0,63}$/;

/** Declares a job: 5 attempts, the first pause half a second, unless `options` says otherwise. */
export function defineJob<Payload>(name: string, payload: z.ZodType<Payload>, options: JobOptions): Job<Payload> {
  if (!QUEUE_NAME.test(options.queue))
    throw new Error(`the queue ${options.queue} of the job ${name} needs another name: a-z, 0-9 and -`);
  return { attempts: 5, backoffMs: 500, ...options, name, payload };
}

/** Says what a worker does for a job. */
export function handle<Payload>(job: Job<Payload>, run: JobHandler<Payload>["run"]): JobHandler {
  return { job, run } as unknown as JobHandler;
}

export interface EnqueueOptions {
  readonly delayMs?: number;
}

type OutboxListener = (row: OutboxRow) => void;
let onCommitted: OutboxListener = () => undefined;

/** Set by the relay of this process, if it has one: rows are then handed over as soon as they are committed. */
export function onOutboxCommitted(listener: OutboxListener | undefined): void {
  onCommitted = listener ?? (() => undefined);
}

/** Asks for a job in the caller's transaction: it will run if and only if the transaction commits. Needs no answer. */
export async function enqueue<Payload>(
  tx: Tx,
  caller: Caller,
  job: Job<Payload>,
  payload: Payload,
  options: EnqueueOptions = {},
): Promise<void> {
  const row = makeRow(caller, job, payload, options);
  tx.afterCommit(() => {
    onCommitted(row);
  });
  await tx.sql`
    INSERT INTO platform.outbox (id, tenant_id, queue, name, envelope, attempts, backoff_ms, run_at)
    VALUES (${row.id}, ${caller.tenantId}, ${row.queue}, ${row.name}, ${json(row.envelope)}::jsonb, ${row.attempts}, ${row.backoffMs}, ${row.runAt})`;
}

function makeRow<Payload>(
  caller: Caller,
  job: Job<Payload>,
  payload: Payload,
  { delayMs = 0 }: EnqueueOptions,
): OutboxRow {
  const traceparent = currentTraceparent();
  const envelope = {
    caller: serializeCaller(caller),
    payload: job.payload.parse(payload),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
  return {
    id: newId(),
    queue: job.queue,
    name: job.name,
    envelope: jobEnvelopeSchema.parse(envelope),
    attempts: job.attempts,
    backoffMs: job.backoffMs,
    runAt: new Date(Date.now() + delayMs),
  };
}
