import type { Caller } from "./caller.ts";
import { readEvents, type EventRecord } from "./events.ts";
import { hearStream, knowsEvents, recallEvents } from "./stream-wakes.ts";

/** Streams of the journal as they grow. */

export interface StreamOptions {
  readonly after: number;
  readonly signal: AbortSignal;
  /** True for the event after which nothing more can come: the stream ends with it. */
  readonly isLast?: (event: EventRecord) => boolean;
  /** Whether there is something to follow, asked while the first events are read: none that is read is given out before it says so. What it throws, the stream does. */
  readonly admits?: () => Promise<boolean>;
}

const PAGE_SIZE = 500;
/** A wake-up may be lost; a reader looks again by itself after this long. */
const LOOK_AGAIN_MS = 2_000;

/** Why a reader's signal is aborted when it leaves; made once, since an error of its own for each of them costs a stack. */
const LEFT = new Error("the reader has left");

/**
 * Every event after a position, then every new one as it is committed, each exactly once and in order. Subscribes
 * first, then reads, then waits: what is committed in between is found by the read. What this process has committed just now is
 * given out without one. Nothing is buffered: a slow reader only reads later. An event before which the journal no longer has
 * others says so in its `gap`.
 */
export function streamEvents(
  caller: Caller,
  stream: string,
  options: StreamOptions,
): AsyncGenerator<EventRecord, void, undefined> {
  const left = new AbortController();
  const events = followStream(caller, stream, { ...options, signal: AbortSignal.any([options.signal, left.signal]) });
  // `return` of a generator that waits takes effect at its next event, which may never come: the wait has to end first.
  const finish = events.return.bind(events);
  events.return = (value) => {
    left.abort(LEFT);
    return finish(value);
  };
  return events;
}

/** The type of an event that is none of the journal's: its `gap` is all that it tells. */
export const GAP = "gap";

/** A stream whose gaps are events of their own, in the place of those that are missing. */
export async function* tellGaps(events: AsyncIterable<EventRecord>): AsyncGenerator<EventRecord, void, undefined> {
  for await (const { gap, ...event } of events) {
    if (gap) yield { ...event, type: GAP, seq: gap.toSeq, payload: {}, gap };
    yield event;
  }
}

async function* followStream(
  caller: Caller,
  stream: string,
  { after, signal, isLast, admits }: StreamOptions,
): AsyncGenerator<EventRecord, void, undefined> {
  const bell = openBell(signal);
  let position = after;
  // What can be recalled of a stream is of one that there is.
  let admission = knowsEvents(caller, stream, position) ? undefined : admits?.();
  admission?.catch(() => undefined); // heard with the first page
  const leave = await hearStream(caller, stream, bell.ring);
  try {
    while (!signal.aborted) {
      bell.reset();
      const [page, isAdmitted] = await Promise.all([nextEvents(caller, stream, position), admission]);
      if (isAdmitted === false) return;
      admission = undefined;
      for (const event of page) {
        const gap = event.seq > position + 1 ? { fromSeq: position + 1, toSeq: event.seq - 1 } : undefined;
        position = event.seq;
        yield gap ? { ...event, gap } : event;
        if (isLast?.(event) || signal.aborted) return;
      }
      if (page.length < PAGE_SIZE) await bell.wait(LOOK_AGAIN_MS);
    }
  } finally {
    bell.close();
    leave();
  }
}

function nextEvents(caller: Caller, stream: string, after: number): readonly EventRecord[] | Promise<EventRecord[]> {
  const recalled = recallEvents(caller, stream, after);
  return recalled.length > 0 ? recalled : readEvents(caller, stream, { after, first: PAGE_SIZE });
}

/** A bell rung between `reset` and `wait` is heard: `wait` then returns at once. */
function openBell(signal: AbortSignal) {
  let rung = false;
  let wake: (() => void) | undefined;
  const ring = (): void => {
    rung = true;
    wake?.();
  };
  signal.addEventListener("abort", ring, { once: true });
  return {
    ring,
    reset: () => {
      rung = false;
    },
    // The signal may be that of the process, and outlive many streams.
    close: () => {
      signal.removeEventListener("abort", ring);
    },
    wait: (timeoutMs: number) =>
      new Promise<void>((resolve) => {
        if (rung || signal.aborted) {
          resolve();
          return;
        }
        const timer = setTimeout(resolve, timeoutMs);
        wake = () => {
          clearTimeout(timer);
          wake = undefined;
          resolve();
        };
      }),
  };
}
