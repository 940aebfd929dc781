import { setTimeout as delay } from "node:timers/promises";
import { OperationFailed } from "@sba/platform/execute";
import type { ExecutionResult } from "graphql";
import { errors, presentGatewayError, toShownError } from "./errors.ts";

/**
 * One upstream and one execution for all identical subscriptions of one audience. Each subscriber has a bounded queue; one
 * that falls behind leaves the shared stream and is given what it missed from its cursor, and two streams of one family
 * that come to the same event become one. Nothing is ever dropped from the middle.
 */

export interface StreamItem {
  readonly result: ExecutionResult;
  /** Where the stream goes on after this event; absent for streams without cursors. */
  readonly cursor: string | undefined;
}

export type StreamCursor = string | null | undefined;

/** A stream as every subscriber of one audience sees it. */
export interface StreamSource {
  /** Equal for equal document, variables (but the cursor), audience and graph. */
  readonly family: string;
  /** True when `open` can go on after any event. */
  readonly resumable: boolean;
  open(after: StreamCursor): AsyncIterator<StreamItem, undefined>;
}

export interface Subscriber extends AsyncIterableIterator<ExecutionResult, undefined> {
  /** Goes on with another source after the last event that was pulled; queued events are dropped and read again. */
  retarget(source: StreamSource): void;
  /** Ends it with errors for its consumer, at once. */
  fail(error: OperationFailed): void;
}

export interface FanOutOptions {
  /** Events that a subscriber may have waiting. */
  readonly maxQueued?: number;
  /** Events that a stream remembers for those who join it a little later. */
  readonly maxRemembered?: number;
  /** Pauses before a lost upstream is opened again, from its cursor. */
  readonly resumeDelaysMs?: readonly number[];
}

export interface FanOut {
  /** Upstreams open now. */
  readonly upstreams: number;
  subscribe(source: StreamSource, after: StreamCursor): Subscriber;
  /** Resolves when the upstreams that were left have ended, or have had their time. */
  settle(): Promise<void>;
}

interface Hub {
  readonly source: StreamSource;
  readonly startedAfter: StreamCursor;
  readonly seats: Set<Seat>;
  /** The last events, oldest first. */
  readonly recent: (StreamItem & { readonly atMs: number })[];
  /** Whether `recent` no longer reaches back to the start. */
  trimmed: boolean;
  cursor: StreamCursor;
  upstream: AsyncIterator<StreamItem, undefined> | undefined;
  readonly closing: AbortController;
  /** Wakes the pump when a seat has room again, or none is taken. */
  wake: () => void;
}

interface Seat {
  hub: Hub;
  readonly queue: StreamItem[];
  /** Set when the hub has nothing more for this seat: it ended, or the seat fell behind. */
  over: { readonly error: unknown; readonly behind: boolean } | undefined;
  wake: () => void;
}

const SETTLE_TIMEOUT_MS = 2_000;
const REMEMBERED_MS = 5_000;
const DEFAULTS = {
  maxQueued: 256,
  maxRemembered: 64,
  resumeDelaysMs: [100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000],
};

export function createFanOut(options: FanOutOptions = {}): FanOut {
  const settings: Settings = { ...DEFAULTS, ...options, families: new Map(), ending: new Set() };
  return {
    get upstreams() {
      return [...settings.families.values()].reduce((sum, hubs) => sum + hubs.size, 0);
    },
    subscribe: (source, after) => openSubscriber(settings, source, after),
    settle: async () => {
      await Promise.race([Promise.all(settings.ending), delay(SETTLE_TIMEOUT_MS, undefined, { ref: false })]);
    },
  };
}

interface Settings extends Required<FanOutOptions> {
  readonly families: Map<string, Set<Hub>>;
  /** Upstreams that were told to end. */
  readonly ending: Set<Promise<unknown>>;
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

function openSubscriber(settings: Settings, first: StreamSource, after: StreamCursor): Subscriber {
  let source = first;
  let cursor = after;
  let seat: Seat | undefined;
  let ended: { readonly error: OperationFailed | undefined } | undefined;

  const leaveSeat = (): void => {
    const left = seat;
    seat = undefined;
    if (left) leave(settings, left);
  };
  const end = (error: OperationFailed | undefined): void => {
    ended ??= { error };
    leaveSeat();
  };
  const finish = (): IteratorReturnResult<undefined> => {
    const error = ended?.error;
    ended = { error: undefined };
    if (error !== undefined) throw error;
    return DONE;
  };

  async function next(): Promise<IteratorResult<ExecutionResult, undefined>> {
    for (;;) {
      if (ended) return finish();
      const current = (seat ??= takeSeat(settings, source, cursor));
      const item = await takeItem(current, settings);
      // Retargeted or ended while it waited: what the old seat says no longer counts.
      if (seat !== current) continue;
      if (item) {
        cursor = item.cursor ?? cursor;
        return { done: false, value: item.result };
      }
      seat = undefined;
      if (!current.over?.behind) end(asFailure(current.over?.error));
      else if (!source.resumable) end(new OperationFailed([toShownError(errors.SUBSCRIPTION_TOO_SLOW())]));
    }
  }

  return {
    next,
    return: () => {
      ended = { error: undefined };
      end(undefined);
      return Promise.resolve(DONE);
    },
    retarget: (other) => {
      source = other;
      leaveSeat();
    },
    fail: end,
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

/** What a source threw, as what subscribers are told. */
function asFailure(error: unknown): OperationFailed | undefined {
  if (error === undefined || error instanceof OperationFailed) return error;
  return new OperationFailed([presentGatewayError(error, undefined)]);
}

/** The next item of a seat, or undefined when its hub has no more for it. */
async function takeItem(seat: Seat, { maxQueued }: Settings): Promise<StreamItem | undefined> {
  while (seat.queue.length === 0 && !seat.over)
    await new Promise<void>((resolve) => {
      seat.wake = resolve;
    });
  const item = seat.queue.shift();
  if (seat.queue.length === maxQueued - 1) seat.hub.wake();
  return item;
}

/** A place in a stream that stands at this cursor, or in a new one. */
function takeSeat(settings: Settings, source: StreamSource, after: StreamCursor): Seat {
  const hubs = settings.families.get(source.family) ?? new Set<Hub>();
  settings.families.set(source.family, hubs);
  for (const hub of hubs) {
    const missed = missedSince(hub, after);
    if (missed) return sit(hub, missed);
  }
  const hub = openHub(source, after);
  hubs.add(hub);
  const seat = sit(hub, []);
  void pump(settings, hub);
  return seat;
}

function sit(hub: Hub, missed: readonly StreamItem[]): Seat {
  const seat: Seat = { hub, queue: [...missed], over: undefined, wake: () => undefined };
  hub.seats.add(seat);
  return seat;
}

function openHub(source: StreamSource, after: StreamCursor): Hub {
  return {
    source,
    startedAfter: after,
    seats: new Set(),
    recent: [],
    trimmed: false,
    cursor: after,
    upstream: undefined,
    closing: new AbortController(),
    wake: () => undefined,
  };
}

/** What a hub has given out after this cursor, or undefined when it cannot say. A stream without cursors has only a present. */
function missedSince(hub: Hub, after: StreamCursor): readonly StreamItem[] | undefined {
  if (!hub.source.resumable) return [];
  forget(hub, Date.now() - REMEMBERED_MS);
  const { startedAfter, trimmed, recent } = hub;
  if (!trimmed && (startedAfter ?? null) === (after ?? null)) return recent;
  const index = recent.findLastIndex(({ cursor }) => cursor === after);
  return index < 0 ? undefined : recent.slice(index + 1);
}

/** What is joined to an event is of the moment it was joined: older results are read again rather than repeated. */
function forget(hub: Hub, beforeMs: number, keep = Number.POSITIVE_INFINITY): void {
  while (hub.recent.length > keep || (hub.recent[0]?.atMs ?? beforeMs) < beforeMs) {
    hub.recent.shift();
    hub.trimmed = true;
  }
}

function leave(settings: Settings, seat: Seat): void {
  const { hub } = seat;
  seat.over = { error: undefined, behind: false };
  seat.wake();
  hub.seats.delete(seat);
  if (hub.seats.size === 0) closeHub(settings, hub);
  else hub.wake();
}

function closeHub({ families, ending }: Settings, hub: Hub): void {
  const { family } = hub.source;
  const hubs = families.get(family);
  hubs?.delete(hub);
  if (hubs?.size === 0) families.delete(family);
  hub.closing.abort();
  hub.wake();
  // It ends in its own time; nobody listens any more.
  const ended = hub.upstream?.return?.().catch(() => undefined);
  if (!ended) return;
  ending.add(ended);
  void ended.then(() => ending.delete(ended));
}

async function pump(settings: Settings, hub: Hub): Promise<void> {
  while (!hub.closing.signal.aborted) {
    await roomIn(hub, settings);
    if (hub.closing.signal.aborted) return;
    const step = await nextItem(hub, settings);
    if (hub.closing.signal.aborted) return;
    if (!step.item) {
      endHub(settings, hub, step.error);
      return;
    }
    deliver(settings, hub, step.item);
    joinAnother(settings, hub);
  }
}

/** Reads on as long as one seat has room: then the others must keep up, or be replayed. While all are full the source waits. */
async function roomIn(hub: Hub, { maxQueued }: Settings): Promise<void> {
  while (!hub.closing.signal.aborted && [...hub.seats].every(({ queue }) => queue.length >= maxQueued)) {
    await new Promise<void>((resolve) => {
      hub.wake = resolve;
    });
  }
}

interface Step {
  readonly item?: StreamItem;
  readonly error?: unknown;
}

/** The upstream's next item; an upstream that is lost is opened again from the cursor, a few times. */
async function nextItem(hub: Hub, { resumeDelaysMs }: Settings): Promise<Step> {
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

function deliver(settings: Settings, hub: Hub, item: StreamItem): void {
  const { maxQueued, maxRemembered } = settings;
  hub.cursor = item.cursor ?? hub.cursor;
  const atMs = Date.now();
  hub.recent.push({ ...item, atMs });
  forget(hub, atMs - REMEMBERED_MS, maxRemembered);
  for (const seat of hub.seats) {
    if (seat.queue.length >= maxQueued) {
      seat.over = { error: undefined, behind: true };
      hub.seats.delete(seat);
    } else {
      seat.queue.push(item);
      seat.wake();
    }
  }
  // The one that had room may have left while the event was on its way.
  if (hub.seats.size === 0) closeHub(settings, hub);
}

function endHub(settings: Settings, hub: Hub, error: unknown): void {
  for (const seat of hub.seats) {
    seat.over = { error, behind: false };
    seat.wake();
  }
  hub.seats.clear();
  closeHub(settings, hub);
}

/** Two hubs of one family at the same event are one from here on: replays and late joiners come together. */
function joinAnother(settings: Settings, hub: Hub): void {
  if (!hub.source.resumable || hub.cursor === undefined || hub.cursor === null) return;
  for (const other of settings.families.get(hub.source.family) ?? []) {
    if (other === hub) continue;
    const missed = missedSince(other, hub.cursor);
    if (!missed) continue;
    for (const seat of hub.seats) {
      seat.queue.push(...missed);
      seat.hub = other;
      other.seats.add(seat);
      seat.wake();
    }
    hub.seats.clear();
    closeHub(settings, hub);
    return;
  }
}
