import type { BackendFactory, RedisQueueBackend } from "bullmq";

/** What `queue.ts` needs of Redis or of Postgres: two kinds of connections, and how to end them. */
export interface QueueBackend {
  /** For handing jobs over: a call fails at once when the backend is away, and its rows stay in the outbox. */
  readonly producer: BackendConnection;
  /** For taking jobs: calls wait until the backend is back. `queues` is the number of workers that will share it. */
  openConsumer(queues: number): BackendConnection;
  /** From so many jobs on handing them over in one call is cheaper than one by one. */
  readonly bulkFrom: number;
  /** Absent for BullMQ's default. */
  readonly factory?: BackendFactory<RedisQueueBackend, BackendConnection>;
  /** Ends every connection, at once. */
  close(): Promise<void>;
}

/** A connection as BullMQ takes it: an ioredis client or a pg pool, according to the factory. */
export type BackendConnection = object;

/** The time that the queue may take for an answer. */
export const QUEUE_TIMEOUT_MS = 5_000;
