import { Redis, type RedisOptions } from "ioredis";
import { platformErrors } from "./errors.ts";
import { logger } from "./log.ts";
import { QUEUE_TIMEOUT_MS, type QueueBackend } from "./queue-backend.ts";

/** @throws SUBGRAPH_UNAVAILABLE when Redis cannot be reached now; later it is retried for ever. */
export async function openRedisBackend(redisUrl: string): Promise<QueueBackend> {
  const clients: Redis[] = [];
  const open = (options: RedisOptions): Redis => {
    const client = new Redis(redisUrl, { connectTimeout: QUEUE_TIMEOUT_MS, keepAlive: 10_000, ...options });
    client.on("error", (error) => {
      logger.debug({ err: error }, "queue connection failed");
    });
    clients.push(client);
    return client;
  };
  const producer = open({ enableOfflineQueue: false, lazyConnect: true });
  await producer.connect().catch((error: unknown) => {
    producer.disconnect();
    throw platformErrors.SUBGRAPH_UNAVAILABLE({ message: "Redis does not answer, or refuses us.", cause: error });
  });
  return {
    producer,
    bulkFrom: 2,
    // BullMQ asks for it: a worker's command has to outlast an outage (https://docs.bullmq.io/guide/going-to-production#maxretriesperrequest).
    openConsumer: () => open({ maxRetriesPerRequest: null }),
    close: () => {
      for (const client of clients) client.disconnect();
      return Promise.resolve();
    },
  };
}
