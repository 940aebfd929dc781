import { Redis } from "ioredis";
import { logger } from "./log.ts";
import type { RateLimitStore } from "./rate-limit-store.ts";

/** Limits in Redis: one script a booking, by Redis's own clock, so that every process means the same time. */

const BOOK = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local from = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local free = math.floor((burst * interval - (from - now)) / interval + 1e-9)
local granted = math.max(0, math.min(wanted, free))
local arrival = from + granted * interval
if granted > 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000))
end
return { granted, math.ceil(arrival - now) }`;
const CONNECT_TIMEOUT_MS = 5_000;
const PATIENCE_MS = 250;
/** After it nobody waits any more, and Redis may be asked again. */
const COMMAND_TIMEOUT_MS = 5_000;

interface WithBook extends Redis {
  sbaBook(key: string, intervalUs: number, burst: number, wanted: number): Promise<[number, number]>;
}

/** Resolves when Redis is connected, or has not been for a while: it is tried for ever, and asked once it is there. */
export async function openRedisRateLimits(redisUrl: string): Promise<RateLimitStore> {
  const client = new Redis(redisUrl, {
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    enableOfflineQueue: false,
    enableAutoPipelining: true,
    commandTimeout: COMMAND_TIMEOUT_MS,
    maxRetriesPerRequest: 0,
  }) as WithBook;
  client.on("error", (error) => {
    logger.debug({ err: error }, "Redis connection of the rate limits failed");
  });
  await client.connect().catch(() => undefined);
  client.defineCommand("sbaBook", { numberOfKeys: 1, lua: BOOK });
  return {
    patienceMs: PATIENCE_MS,
    book: async ({ key, intervalUs, burst, wanted }) => {
      const [granted, aheadUs] = await client.sbaBook(`sba.limit.${key}`, intervalUs, burst, wanted);
      return { granted, aheadUs };
    },
    close: () => {
      client.disconnect();
      return Promise.resolve();
    },
  };
}
