import { setTimeout as delay } from "node:timers/promises";
import { RedisPubSub } from "graphql-redis-subscriptions";
import { Redis, type RedisOptions } from "ioredis";
import { platformErrors } from "./errors.ts";
import { logger } from "./log.ts";
import { callListener, encodeMessage, type PubSub, type WakeListener } from "./pubsub-contract.ts";

/** Pub/sub on Redis, through graphql-redis-subscriptions: it shares one Redis subscription between the listeners of a topic. */

const CONNECT_TIMEOUT_MS = 5_000;
/** Longer than any acknowledgement of a Redis that is there. */
const ACKNOWLEDGE_TIMEOUT_MS = 1_000;
const PROBE_CHANNEL = "sba.probe";

/** @throws SUBGRAPH_UNAVAILABLE when Redis cannot be reached or refuses us; later it is retried for ever. */
export async function openRedisPubSub(redisUrl: string): Promise<PubSub> {
  // A publish into a Redis that is away is dropped at once; a subscription waits for it without end.
  const publisher = openClient(redisUrl, { enableOfflineQueue: false, enableAutoPipelining: true });
  // Without the ready check: it asks INFO, which a connection that came back with its subscriptions may not, and then nobody hears the
  // rejection (found by a drill: connections cut, then standing still).
  const subscriber = openClient(redisUrl, { maxRetriesPerRequest: null, enableReadyCheck: false });
  await Promise.all([publisher.connect(), subscriber.connect().then(() => subscriber.subscribe(PROBE_CHANNEL))]).catch(
    (error: unknown) => {
      for (const client of [publisher, subscriber]) client.disconnect();
      throw platformErrors.SUBGRAPH_UNAVAILABLE({ message: "Redis does not answer, or refuses us.", cause: error });
    },
  );
  const redis = new RedisPubSub({ publisher, subscriber: withoutRejections(subscriber) });
  const members = new Set<WakeListener>();
  subscriber.on("ready", () => {
    // ioredis has just sent its subscriptions again; commands are answered in order, so this answer says that all of them hold.
    subscriber.subscribe(PROBE_CHANNEL).then(() => {
      for (const member of members) member(undefined);
    }, lostWithConnection);
  });

  return {
    publish(topic, payload) {
      encodeMessage(topic, payload);
      // When whoever publishes has gone on, and who hears of it in this process: neither waits for a command to be made.
      process.nextTick(() => {
        // `null` because JSON has no undefined, which is what graphql-redis-subscriptions sends.
        redis.publish(channelOf(topic), payload ?? null).catch(lostWithConnection);
      });
    },
    async subscribe(topic, listener) {
      const member: WakeListener = (payload) => {
        callListener(listener, payload ?? undefined);
      };
      members.add(member);
      const subscription = redis.subscribe(channelOf(topic), member);
      if (!(await settledWithin(subscription, ACKNOWLEDGE_TIMEOUT_MS))) {
        void subscription.then(() => {
          if (members.has(member)) member(undefined);
        });
      }
      return async () => {
        if (!members.delete(member)) return;
        if (await settledWithin(subscription, ACKNOWLEDGE_TIMEOUT_MS)) redis.unsubscribe(await subscription);
        else
          void subscription.then((id) => {
            redis.unsubscribe(id);
          });
      };
    },
    async close() {
      members.clear();
      await Promise.all([disconnect(publisher), disconnect(subscriber)]);
    },
  };
}

function channelOf(topic: string): string {
  return `sba.topic.${topic}`;
}

function openClient(redisUrl: string, options: RedisOptions): Redis {
  const client = new Redis(redisUrl, {
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepAlive: 10_000,
    ...options,
  });
  client.on("error", (error) => {
    logger.debug({ err: error }, "Redis connection failed");
  });
  client.on("close", () => {
    logger.debug("Redis connection closed");
  });
  return client;
}

function lostWithConnection(error: unknown): void {
  logger.debug({ err: error }, "a Redis command was lost with its connection");
}

/** graphql-redis-subscriptions does not look at the answers of its own unsubscribing: a lost connection would end the process. */
function withoutRejections(subscriber: Redis): Redis {
  const facade = {
    on: subscriber.on.bind(subscriber),
    subscribe: subscriber.subscribe.bind(subscriber),
    unsubscribe: (channel: string) => subscriber.unsubscribe(channel).catch(lostWithConnection),
    punsubscribe: () => Promise.resolve(),
  };
  return facade as unknown as Redis;
}

async function settledWithin(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const timer = new AbortController();
  const late = delay(timeoutMs, false, { signal: timer.signal }).catch(() => false);
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    timer.abort();
  }
}

async function disconnect(client: Redis): Promise<void> {
  const ended = new Promise<void>((resolve) => client.once("end", resolve));
  // Between two attempts there is no socket to end, and ioredis only stops trying, without an event.
  const isIdle = client.status === "reconnecting" || client.status === "end";
  client.disconnect();
  if (!isIdle) await ended;
}
