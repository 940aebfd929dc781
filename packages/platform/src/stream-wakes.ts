import type { TenantScope } from "./caller.ts";
import type { EventRecord } from "./events.ts";
import { newId } from "./ids.ts";
import { logger } from "./log.ts";
import { pubsub, type PubSub, type WakeListener } from "./pubsub.ts";
import { openRecentEvents, type RecentEvent, type RecentEvents } from "./recent-events.ts";

/**
 * Says that streams have news, and hears it. A tenant has one topic for all of its streams: a commit that appends to twenty of
 * them is one message, and a process that follows hundreds of them one subscription. Who follows them in the process that commits
 * hears it at once, and not again from outside.
 */

/** Names of streams in one message; with the longest names there are it stays below what either backend carries. */
const MOST_IN_A_MESSAGE = 50;

/** What was committed to streams, for who follows them in this process. */
export interface News {
  /** All that was appended to them. */
  readonly events: readonly RecentEvent[];
  /** When they were sent to be appended, by `performance.now()`. */
  readonly since: number;
}

export function announceStreams({ tenantId }: TenantScope, streams: readonly string[], news?: News): void {
  const { origin, ears } = hubOf(pubsub());
  ears.get(tenantId)?.tell(streams, news);
  for (let index = 0; index < streams.length; index += MOST_IN_A_MESSAGE)
    pubsub().publish(topicOf(tenantId), JSON.stringify([...streams.slice(index, index + MOST_IN_A_MESSAGE), origin]));
}

function topicOf(tenantId: string): string {
  return `streams.${tenantId}`;
}

/** Who is told of events by `announceStreams`: a process in which somebody follows streams of the tenant, or did so just now. */
export function hearsStreams({ tenantId }: TenantScope): boolean {
  return hubOf(pubsub()).ears.get(tenantId)?.hears === true;
}

/** What this process has committed to the stream after that position, when nobody else is known to have appended to it since. */
export function recallEvents({ tenantId }: TenantScope, stream: string, after: number): EventRecord[] {
  return hubOf(pubsub()).ears.get(tenantId)?.recent.recall(stream, after) ?? [];
}

/** Whether `recallEvents` would give any. */
export function knowsEvents({ tenantId }: TenantScope, stream: string, after: number): boolean {
  return hubOf(pubsub()).ears.get(tenantId)?.recent.knows(stream, after) ?? false;
}

/** What one process hears of one tenant. */
interface Ear {
  readonly listeners: Map<string, Set<() => void>>;
  readonly recent: RecentEvents;
  /** To those in this process. */
  tell(streams: readonly string[], news: News | undefined): void;
  readonly subscribed: Promise<() => Promise<void>>;
  /** It is subscribed. */
  hears: boolean;
  closing: NodeJS.Timeout | undefined;
}

/** What one process hears. */
interface Hub {
  /** Stands among the streams of its messages, so that it knows them when they come back. */
  readonly origin: string;
  /** By tenant. */
  readonly ears: Map<string, Ear>;
}

// By backend: one that was closed takes its subscriptions with it.
const hubs = new WeakMap<PubSub, Hub>();

function hubOf(backend: PubSub): Hub {
  const hub = hubs.get(backend) ?? { origin: newId(), ears: new Map() };
  hubs.set(backend, hub);
  return hub;
}

/**
 * Calls `wake` when the stream has news, or may have. Resolves when what is announced from then on is heard; returns how to leave.
 */
export async function hearStream({ tenantId }: TenantScope, stream: string, wake: () => void): Promise<() => void> {
  const { origin, ears } = hubOf(pubsub());
  const ear = ears.get(tenantId) ?? openEar(tenantId, origin);
  ears.set(tenantId, ear);
  const wakes = ear.listeners.get(stream) ?? new Set();
  ear.listeners.set(stream, wakes.add(wake));
  const leave = (): void => {
    wakes.delete(wake);
    if (wakes.size === 0 && ear.listeners.get(stream) === wakes) ear.listeners.delete(stream);
    if (ear.listeners.size === 0) closeLater(ears, tenantId, ear);
  };
  try {
    await ear.subscribed;
    return leave;
  } catch (error) {
    if (ears.get(tenantId) === ear) ears.delete(tenantId);
    throw error;
  }
}

/** Of a tenant that follows one run after the other, most subscriptions are wanted again at once. */
const LISTENS_ON_MS = 5_000;

function closeLater(ears: Map<string, Ear>, tenantId: string, ear: Ear): void {
  ear.closing ??= setTimeout(() => {
    ear.closing = undefined;
    if (ear.listeners.size > 0 || ears.get(tenantId) !== ear) return;
    ears.delete(tenantId);
    ear.subscribed
      .then((leave) => leave())
      .catch((error: unknown) => {
        logger.debug({ err: error }, "a tenant's streams are heard on");
      });
  }, LISTENS_ON_MS);
  ear.closing.unref();
}

function openEar(tenantId: string, origin: string): Ear {
  const listeners: Ear["listeners"] = new Map();
  const recent = openRecentEvents();
  const ring = (streams: Iterable<string>): void => {
    for (const stream of streams) for (const wake of listeners.get(stream) ?? []) wake();
  };
  const hear: WakeListener = (message) => {
    if (message === undefined) {
      // Messages may have been missed: everybody looks.
      recent.forgetAll();
      ring(listeners.keys());
      return;
    }
    const streams = JSON.parse(message) as string[];
    if (streams.includes(origin)) return;
    recent.forget(streams);
    ring(streams);
  };
  const ear: Ear = {
    ...{ listeners, recent, hears: false, closing: undefined },
    tell: (streams, news) => {
      if (news) recent.remember(news.events, news.since);
      else recent.forget(streams);
      ring(streams);
    },
    subscribed: pubsub().subscribe(topicOf(tenantId), hear),
  };
  ear.subscribed.then(
    () => {
      // What was sent to be appended before may have others' behind it of which nobody was told.
      recent.forgetAll();
      ear.hears = true;
    },
    () => undefined, // heard by those who wait for it
  );
  return ear;
}
