import { Queue, QueueEvents } from "bullmq";
import { newId } from "@sba/platform/ids";
import type { RedisServer } from "@sba/testkit/redis-server";
import { closing } from "../cleanup.ts";
import { repeatFor, timed, type Spell } from "../load.ts";
import { startChild, type Child } from "./child.ts";

/** Bare BullMQ on the same Redis: jobs from this process to a worker's, and back what became of them. */

export const QUEUE = "bare";
export const STEPS_OF_A_CHAIN = 3;

export interface BareJob {
  readonly chain: string;
  readonly step: number;
}

export interface BullMq {
  readonly worker: Child;
  /** Milliseconds of each: one job, from before it is added until this process has heard that it is done. */
  roundTrips(durationMs: number, concurrency: number): Promise<Spell<number>>;
  /** The same of three jobs, each added by the one before it. */
  chains(durationMs: number, concurrency: number): Promise<Spell<number>>;
}

export async function withBullMq<T>(redis: RedisServer, work: (bullMq: BullMq) => Promise<T>): Promise<T> {
  const connection = { host: "127.0.0.1", port: redis.port, maxRetriesPerRequest: null };
  const queue = new Queue<BareJob>(QUEUE, { connection });
  const events = new QueueEvents(QUEUE, { connection });
  await events.waitUntilReady();
  const worker = await startChild("./queue-worker.ts", { env: { BARE_REDIS_PORT: String(redis.port) } });
  const waiting = new Map<string, () => void>();
  events.on("completed", ({ jobId }) => {
    waiting.get(jobId)?.();
    waiting.delete(jobId);
  });
  /** Adds the job of a step and waits for the last of its chain. */
  const runFrom = async (step: number): Promise<void> => {
    const chain = newId();
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.set(`${chain}-${STEPS_OF_A_CHAIN}`, resolve);
    await queue.add("step", { chain, step }, { jobId: `${chain}-${step}` });
    await promise;
  };
  const load = (step: number) => (durationMs: number, concurrency: number) =>
    repeatFor(durationMs, concurrency, () => timed(() => runFrom(step)));
  const close = async (): Promise<void> => {
    await Promise.all([worker.stop(), queue.close(), events.close()]);
  };
  return closing(close, () => work({ worker, roundTrips: load(STEPS_OF_A_CHAIN), chains: load(1) }));
}
