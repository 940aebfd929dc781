import type { PubSub } from "./pubsub-contract.ts";

/**
 * Wake-ups between processes. At most once, no order, no memory: a message only says "look again", and whoever looks
 * reads what was committed. Both backends (Redis, Postgres NOTIFY) pass one contract suite.
 */
export { MAX_MESSAGE_BYTES } from "./pubsub-contract.ts";
export type { PubSub, WakeListener } from "./pubsub-contract.ts";

export interface PubSubOptions {
  /** Any role that may connect. */
  readonly databaseUrl: string;
  /** With it Redis carries the messages, without it Postgres does. */
  readonly redisUrl?: string | undefined;
}

/** Opens the backend of this process and resolves when it listens. Hand it to `usePubSub`. */
export async function openPubSub({ databaseUrl, redisUrl }: PubSubOptions): Promise<PubSub> {
  // Loaded when chosen: a process without Redis does not pay for its driver.
  if (redisUrl !== undefined) return (await import("./pubsub-redis.ts")).openRedisPubSub(redisUrl);
  return (await import("./pubsub-postgres.ts")).openPostgresPubSub(databaseUrl);
}

let current: PubSub | undefined;

/** Sets the backend of this process; `undefined` when it is closed. */
export function usePubSub(pubsub: PubSub | undefined): void {
  current = pubsub;
}

/** The backend of this process; undefined when it is closed. */
export function findPubSub(): PubSub | undefined {
  return current;
}

export function pubsub(): PubSub {
  if (!current) throw new Error("usePubSub was not called");
  return current;
}
