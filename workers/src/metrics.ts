import type { Config } from "@sba/platform/config";
import { logger } from "@sba/platform/log";
import { gaugesOf } from "@sba/platform/metrics";
import { serveMetrics } from "@sba/platform/metrics-server";
import type { Queue, QueueCounts } from "@sba/platform/queue";
import { handlers } from "./handlers.ts";

/** What a worker shows of itself and of the queues, which it sees as every other worker does. */

const STATES = ["waiting", "active", "delayed", "failed"] as const satisfies readonly (keyof QueueCounts)[];

/** Returns how to stop; undefined when nobody has asked for it. */
export async function openMetrics(
  { HOST: host, METRICS_PORT: port }: Pick<Config, "HOST" | "METRICS_PORT">,
  queue: Pick<Queue, "counts">,
): Promise<(() => Promise<void>) | undefined> {
  if (port === 0) return undefined;
  const names = [...new Set(handlers.map(({ job }) => job.queue))];
  gaugesOf("queue_jobs", "Jobs of a queue, as all workers see it.", ["queue", "state"], async () =>
    (await Promise.all(names.map((name) => readQueue(queue, name)))).flat(),
  );
  const server = await serveMetrics({ host, port });
  return () => server.close();
}

/** A queue that is away shows nothing, and the rest is still read. */
async function readQueue(queue: Pick<Queue, "counts">, name: string) {
  try {
    const counts = await queue.counts(name);
    return STATES.map((state) => ({ labels: { queue: name, state }, value: counts[state] }));
  } catch (error) {
    logger.debug({ "queue.name": name, err: error }, "a queue could not be counted");
    return [];
  }
}
