import { LRUCache } from "lru-cache";
import { onDatabaseClosed } from "./db.ts";
import type { EventRecord } from "./events.ts";
import { newId } from "./ids.ts";

/**
 * The ends of streams as this process has committed them just now: who follows them here need not read what was written here. Only a
 * shortcut: what is missing, or is not the very next event, is read from the journal.
 */
export interface RecentEvents {
  /**
   * To be called once they are committed, with each stream's in order. `since` is when they were sent to be appended, by
   * `performance.now()`: of a stream that somebody else has appended to since, nobody here knows whose event is the last.
   */
  remember(events: readonly RecentEvent[], since: number): void;
  /** Whether there is something to recall. */
  knows(stream: string, after: number): boolean;
  /** What comes right after `after`, up to the end of the stream as far as anybody here has heard; empty when that is not known. */
  recall(stream: string, after: number): EventRecord[];
  /** Somebody else has appended to them. */
  forget(streams: readonly string[]): void;
  /** Somebody else may have appended to any, until now. */
  forgetAll(): void;
}

/** An event as it is kept: its payload as JSON. */
export interface RecentEvent extends Omit<EventRecord, "payload" | "gap"> {
  readonly payload: string;
}

/** Of all streams, in characters of payloads; about what else there is of an event is counted as so many. */
const MOST_KEPT = 8 * 1024 * 1024;
const BESIDE_PAYLOAD = 400;
const KEPT_MS = 5_000;
const MOST_OF_A_STREAM = 200;

const ends = new LRUCache<string, readonly RecentEvent[]>({
  max: 10_000,
  maxSize: MOST_KEPT,
  ttl: KEPT_MS,
  sizeCalculation: (events) => events.reduce((size, { payload }) => size + payload.length + BESIDE_PAYLOAD, 0),
});
onDatabaseClosed(() => {
  ends.clear();
});

/** When somebody else's news of a stream were heard, by `performance.now()`. */
const heard = new LRUCache<string, number>({ max: 10_000 });

export function openRecentEvents(): RecentEvents {
  let id = newId();
  let missedAt = 0;
  const keyOf = (stream: string): string => `${id} ${stream}`;
  const nextOf = (events: readonly RecentEvent[], after: number): number =>
    events.findIndex(({ seq }) => seq === after + 1);
  const endOf = (stream: string): readonly RecentEvent[] => ends.get(keyOf(stream)) ?? [];
  return {
    remember: (events, since) => {
      if (missedAt >= since) return;
      for (const [stream, added] of Map.groupBy(events, (event) => event.stream)) {
        const before = endOf(stream);
        const last = before.at(-1)?.seq ?? 0;
        if (added[0]!.seq <= last || (heard.get(keyOf(stream)) ?? 0) >= since) continue;
        const isNext = added[0]!.seq === last + 1;
        ends.set(keyOf(stream), [...(isNext ? before : []), ...added].slice(-MOST_OF_A_STREAM));
      }
    },
    knows: (stream, after) => nextOf(endOf(stream), after) !== -1,
    recall: (stream, after) => {
      const events = endOf(stream);
      const next = nextOf(events, after);
      return next === -1 ? [] : events.slice(next).map(parsed);
    },
    forget: (streams) => {
      for (const stream of streams) {
        ends.delete(keyOf(stream));
        heard.set(keyOf(stream), performance.now());
      }
    },
    forgetAll: () => {
      id = newId();
      missedAt = performance.now();
    },
  };
}

function parsed(event: RecentEvent): EventRecord {
  return { ...event, payload: JSON.parse(event.payload) as unknown };
}
