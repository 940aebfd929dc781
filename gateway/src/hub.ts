import { setTimeout as delay } from "node:timers/promises";
import { OperationFailed } from "@sba/platform/execute";
import { Batch, type StreamItem } from "./stream-item.ts";

/**
 * One upstream and those who read it. What it gives is remembered for a while, bounded by bytes: readers that lag within
 * this memory catch up from it, so that nobody has a queue of his own.
 */

/** Where a stream goes on: after a cursor, or from where its consumer has acknowledged, which only its owner knows. */
export type StreamCursor = string | null | undefined | ConsumerStart;

/** Two of these are never the same place, whatever they say. */
export interface ConsumerStart {
  readonly consumer: string;
}

/** A stream as every subscriber of one audience sees it. */
export interface StreamSource {
  /** Equal for equal document, variables (but the cursor), audience and graph. */
  readonly family: string;
  /** True when `open` can go on after any event. */
  readonly resumable: boolean;
  open(after: StreamCursor): AsyncIterator<StreamItem, undefined>;
}

/** A reader, as its hub sees it. */
export interface HubReader {
  /** The number of the item that it is given next. */
  next: number;
}

export interface Hub<Reader extends HubReader> {
  readonly source: StreamSource;
  readonly startedAfter: StreamCursor;
  readonly readers: Set<Reader>;
  /** The last items, oldest first. */
  readonly recent: { readonly item: StreamItem; readonly atMs: number }[];
  /** The number of the oldest of them. */
  first: number;
  /** Of `recent`, serialised. */
  bytes: number;
  /** Of what was not yet given to the readers. */
  waitingBytes: number;
  cursor: StreamCursor;
  upstream: AsyncIterator<StreamItem, undefined> | undefined;
  /** Set when the upstream has ended: what is remembered is still given. */
  over: { readonly error: unknown } | undefined;
  readonly closing: AbortController;
  /** Whether a reader that has everything can take more. While none can, the upstream waits. */
  hasRoom: boolean;
  /** Wakes the pump. */
  wake: () => void;
  /** The giving-out that is due. */
  due: (() => void) | undefined;
  givenAtMs: number;
  batch: { readonly from: number; readonly batch: Batch } | undefined;
}

export function openHub<Reader extends HubReader>(source: StreamSource, after: StreamCursor): Hub<Reader> {
  return {
    source,
    startedAfter: after,
    readers: new Set(),
    recent: [],
    first: 0,
    bytes: 0,
    waitingBytes: 0,
    cursor: after,
    upstream: undefined,
    over: undefined,
    closing: new AbortController(),
    hasRoom: true,
    wake: () => undefined,
    due: undefined,
    givenAtMs: Number.NEGATIVE_INFINITY,
    batch: undefined,
  };
}

type AnyHub = Hub<HubReader>;

export function isOpen({ closing, over }: Pick<AnyHub, "closing" | "over">): boolean {
  return !closing.signal.aborted && over === undefined;
}

/** The number of the item that comes next. */
export function endOf({ first, recent }: Pick<AnyHub, "first" | "recent">): number {
  return first + recent.length;
}

/** All from an item on, made once for all readers that are at the same place. */
export function batchFrom(hub: Pick<AnyHub, "batch" | "recent" | "first">, from: number): Batch {
  if (hub.batch?.from !== from)
    hub.batch = { from, batch: new Batch(hub.recent.slice(from - hub.first).map(({ item }) => item)) };
  return hub.batch.batch;
}

export function remember(hub: Omit<AnyHub, "readers">, item: StreamItem): void {
  const { length } = item.json;
  hub.recent.push({ item, atMs: performance.now() });
  hub.batch = undefined;
  hub.bytes += length;
  hub.waitingBytes += length;
  hub.cursor = item.cursor ?? hub.cursor;
}

export interface Memory {
  /** What may be remembered for readers that lag. */
  readonly maxQueuedBytes: number;
  /** Items, and for how long, that are remembered for those who join a little later. */
  readonly maxRemembered: number;
  readonly rememberedMs: number;
}

/**
 * Forgets what nobody needs, and beyond the bound also what readers that lag still need: they will read it again.
 * @param least the lowest number that a reader is still to be given
 */
export function forget(hub: Omit<AnyHub, "readers">, memory: Memory, least: number): void {
  const oldestMs = performance.now() - memory.rememberedMs;
  let dropped = 0;
  for (const { item, atMs } of hub.recent) {
    const left = hub.recent.length - dropped;
    const isTooMuch = hub.bytes > memory.maxQueuedBytes && left > 1;
    const isDone = hub.first + dropped < least && (left > memory.maxRemembered || atMs < oldestMs);
    if (!isTooMuch && !isDone) break;
    hub.bytes -= item.json.length;
    dropped++;
  }
  hub.recent.splice(0, dropped);
  hub.first += dropped;
}

/**
 * The number of the first item after a cursor, or undefined when the hub does not know. What is joined to an event is of
 * the moment it was joined: older items are read again rather than repeated. A stream without cursors has only a present.
 */
export function placeAfter(
  hub: Omit<AnyHub, "readers">,
  after: StreamCursor,
  { rememberedMs }: Memory,
): number | undefined {
  const { source, startedAfter, recent, first, cursor } = hub;
  if (!source.resumable || (typeof after === "string" && cursor === after)) return endOf(hub);
  const isStart = first === 0 && (startedAfter ?? null) === (after ?? null);
  if (!isStart && typeof after !== "string") return undefined;
  const index = isStart ? 0 : recent.findLastIndex(({ item }) => item.cursor === after) + 1;
  if (index === 0 && !isStart) return undefined;
  const isOld = (recent[index]?.atMs ?? Number.POSITIVE_INFINITY) < performance.now() - rememberedMs;
  return isOld ? undefined : first + index;
}

export interface Step {
  readonly item?: StreamItem;
  readonly error?: unknown;
}

/** The upstream's next item; an upstream that is lost is opened again from the cursor, with these pauses. */
export async function nextItem(hub: Omit<AnyHub, "readers">, resumeDelaysMs: readonly number[]): Promise<Step> {
  for (let attempt = 0; ; attempt++) {
    try {
      hub.upstream ??= hub.source.open(hub.cursor);
      const { done, value } = await hub.upstream.next();
      return done ? {} : { item: value };
    } catch (error) {
      const pauseMs = resumeDelaysMs[attempt];
      if (!hub.source.resumable || pauseMs === undefined || !isLost(error)) return { error };
      hub.upstream = undefined;
      await delay(pauseMs, undefined, { signal: hub.closing.signal }).catch(() => undefined);
      if (hub.closing.signal.aborted) return {};
    }
  }
}

function isLost(error: unknown): boolean {
  return (
    error instanceof OperationFailed && error.errors.every(({ extensions }) => extensions["code"] === "UNAVAILABLE")
  );
}
