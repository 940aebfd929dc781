import { setImmediate as turn, setTimeout as delay } from "node:timers/promises";
import { OperationFailed } from "@sba/platform/execute";
import { errors, presentGatewayError, toShownError } from "./errors.ts";
import {
  batchFrom,
  endOf,
  forget,
  isOpen,
  nextItem,
  openHub,
  placeAfter,
  remember,
  type Hub,
  type Memory,
  type StreamCursor,
  type StreamSource,
} from "./hub.ts";
import type { Batch } from "./stream-item.ts";

export type { ConsumerStart, StreamCursor, StreamSource } from "./hub.ts";

/**
 * One upstream and one execution for all identical subscriptions of one audience (`hub.ts`). Events of one window leave
 * in one write. A subscriber whose connection is full waits until it has drained, and then gets what it missed joined
 * into one write; one that falls out of the hub's memory leaves it and is replayed from its own cursor; and two hubs of one family
 * that come to the same event become one. Nothing is ever dropped from the middle.
 */

/** Where a subscriber's events go. */
export interface Sink {
  /** Whether it takes more now. When it did not and does again, its owner calls `room()` of the subscription. */
  readonly hasRoom: boolean;
  write(batch: Batch): void;
  /** Nothing more comes: the stream is complete, or has failed. */
  end(error: OperationFailed | undefined): void;
}

export interface Subscription {
  /** The sink takes events again. */
  room(): void;
  /** Goes on with another source after the last event that was written. */
  retarget(source: StreamSource): void;
  /** Ends it with errors, at once. */
  fail(error: OperationFailed): void;
  /** Ends it without a word to the sink. */
  leave(): void;
}

export interface FanOutOptions extends Partial<Memory> {
  /** Events that come within so long of the last write wait, and leave together. */
  readonly windowMs?: number;
  /** Pauses before a lost upstream is opened again, from its cursor. */
  readonly resumeDelaysMs?: readonly number[];
}

export interface FanOut {
  /** Upstreams open now. */
  readonly upstreams: number;
  subscribe(source: StreamSource, after: StreamCursor, sink: Sink): Subscription;
  /** Resolves when the upstreams that were left have ended, or have had their time. */
  settle(): Promise<void>;
}

interface Settings extends Required<FanOutOptions> {
  readonly families: Map<string, Set<Hub<Seat>>>;
  /** Upstreams that were told to end. */
  readonly ending: Set<Promise<unknown>>;
}

const KIB = 1024;
const SETTLE_TIMEOUT_MS = 2_000;
/** More than this does not wait for the window to end. */
const MAX_WINDOW_BYTES = 64 * KIB;
/** Two minutes: a database or a subgraph that is restarted is back by then. */
const RESUME_DELAYS_MS = [100, 200, 400, 800, 1_600, ...Array.from({ length: 60 }, () => 2_000)];
const DEFAULTS = {
  maxQueuedBytes: 256 * KIB,
  maxRemembered: 64,
  rememberedMs: 5_000,
  windowMs: 4,
  resumeDelaysMs: RESUME_DELAYS_MS,
};

export function createFanOut(options: FanOutOptions = {}): FanOut {
  const settings: Settings = { ...DEFAULTS, ...options, families: new Map(), ending: new Set() };
  const sweeping = setInterval(() => {
    for (const hubs of settings.families.values()) for (const hub of hubs) sweep(settings, hub);
  }, settings.rememberedMs).unref();
  return {
    get upstreams() {
      return [...settings.families.values()].reduce((sum, hubs) => sum + hubs.size, 0);
    },
    subscribe: (source, after, sink) => {
      const seat = new Seat(settings, source, after, sink);
      sit(settings, seat);
      return seat;
    },
    settle: async () => {
      clearInterval(sweeping);
      await Promise.race([Promise.all(settings.ending), delay(SETTLE_TIMEOUT_MS, undefined, { ref: false })]);
    },
  };
}

/** A subscriber. A class, and nothing that it does not need: there are as many as there are clients. */
class Seat implements Subscription {
  readonly settings: Settings;
  readonly sink: Sink;
  source: StreamSource;
  /** After the last event that was written. */
  cursor: StreamCursor;
  /** Undefined while it has fallen behind and has no room, and when it has ended. */
  hub: Hub<Seat> | undefined;
  next = 0;
  ended = false;

  constructor(settings: Settings, source: StreamSource, after: StreamCursor, sink: Sink) {
    this.settings = settings;
    this.source = source;
    this.cursor = after;
    this.sink = sink;
  }

  room(): void {
    if (this.ended) return;
    if (this.hub) advance(this.settings, this);
    else sit(this.settings, this);
  }

  retarget(source: StreamSource): void {
    if (this.ended) return;
    this.source = source;
    stand(this.settings, this);
    sit(this.settings, this);
  }

  fail(error: OperationFailed): void {
    finish(this, error);
  }

  leave(): void {
    this.ended = true;
    stand(this.settings, this);
  }
}

/** Takes a place in a hub that stands at the seat's cursor, or in a new one. */
function sit(settings: Settings, seat: Seat): void {
  const { source, cursor } = seat;
  const hubs = settings.families.get(source.family) ?? new Set<Hub<Seat>>();
  settings.families.set(source.family, hubs);
  for (const hub of hubs) {
    const place = placeAfter(hub, cursor, settings);
    if (place === undefined) continue;
    sitAt(hub, seat, place);
    // Not at once: who subscribes has not got the subscription yet.
    queueMicrotask(() => {
      if (seat.hub === hub) advance(settings, seat);
    });
    return;
  }
  const hub = openHub<Seat>(source, cursor);
  hubs.add(hub);
  sitAt(hub, seat, 0);
  queueMicrotask(() => void pump(settings, hub));
}

function sitAt(hub: Hub<Seat>, seat: Seat, place: number): void {
  seat.hub = hub;
  // Equal to its own, which can go.
  seat.source = hub.source;
  seat.next = place;
  hub.readers.add(seat);
}

/** Leaves the hub; the last one closes it. */
function stand(settings: Settings, seat: Seat): void {
  const { hub } = seat;
  seat.hub = undefined;
  if (!hub?.readers.delete(seat)) return;
  if (hub.readers.size === 0) closeHub(settings, hub);
}

function finish(seat: Seat, error: OperationFailed | undefined): void {
  if (seat.ended) return;
  seat.leave();
  seat.sink.end(error);
}

/** What a source threw, as what subscribers are told. */
function asFailure(error: unknown): OperationFailed | undefined {
  if (error === undefined || error instanceof OperationFailed) return error;
  return new OperationFailed([presentGatewayError(error, undefined)]);
}

/** Gives a seat what it has not got, if it takes it. */
function advance(settings: Settings, seat: Seat): void {
  const { hub, sink } = seat;
  if (!hub) return;
  if (seat.next < hub.first) {
    fallBehind(settings, seat);
    return;
  }
  const end = endOf(hub);
  if (seat.next < end) {
    if (!sink.hasRoom) return;
    const batch = batchFrom(hub, seat.next);
    seat.next = end;
    seat.cursor = hub.cursor;
    sink.write(batch);
  }
  if (hub.over) finish(seat, asFailure(hub.over.error));
  else if (!hub.hasRoom && sink.hasRoom) {
    hub.hasRoom = true;
    hub.wake();
  }
}

/** The hub has forgotten what the seat needs: it is read again from the seat's cursor, once there is room for it. */
function fallBehind(settings: Settings, seat: Seat): void {
  stand(settings, seat);
  if (!seat.source.resumable) {
    finish(seat, new OperationFailed([toShownError(errors.SUBSCRIPTION_TOO_SLOW())]));
    return;
  }
  if (seat.sink.hasRoom) sit(settings, seat);
}

async function pump(settings: Settings, hub: Hub<Seat>): Promise<void> {
  while (isOpen(hub)) {
    while (!hub.hasRoom && isOpen(hub))
      await new Promise<void>((resolve) => {
        hub.wake = resolve;
      });
    if (!isOpen(hub)) return;
    const { item, error } = await nextItem(hub, settings.resumeDelaysMs);
    if (!isOpen(hub)) return;
    if (!item) {
      hub.over = { error };
      removeHub(settings, hub);
      giveOut(settings, hub);
      return;
    }
    remember(hub, item);
    if (hub.waitingBytes < MAX_WINDOW_BYTES) {
      giveOutSoon(settings, hub);
      continue;
    }
    giveOut(settings, hub);
    // A long replay lets others have their turn, and its readers drain.
    await turn();
  }
}

/** The first event after a pause goes with this turn of the loop; those that follow closely go together. */
function giveOutSoon(settings: Settings, hub: Hub<Seat>): void {
  if (hub.due) return;
  const due = (): void => {
    if (hub.due === due) giveOut(settings, hub);
  };
  hub.due = due;
  const waitMs = settings.windowMs - (performance.now() - hub.givenAtMs);
  if (waitMs > 0) setTimeout(due, waitMs);
  else setImmediate(due);
}

function giveOut(settings: Settings, hub: Hub<Seat>): void {
  hub.due = undefined;
  hub.waitingBytes = 0;
  hub.givenAtMs = performance.now();
  hub.hasRoom = false;
  let least = endOf(hub);
  for (const seat of hub.readers) {
    advance(settings, seat);
    if (seat.hub === hub) least = Math.min(least, seat.next);
  }
  hub.batch = undefined;
  if (!isOpen(hub)) return;
  forget(hub, settings, least);
  joinAnother(settings, hub);
}

function sweep(settings: Settings, hub: Hub<Seat>): void {
  let least = endOf(hub);
  for (const { next } of hub.readers) least = Math.min(least, next);
  forget(hub, settings, least);
}

/** Two hubs of one family at the same event are one from here on: replays and late joiners come together. */
function joinAnother(settings: Settings, hub: Hub<Seat>): void {
  if (!hub.source.resumable || typeof hub.cursor !== "string") return;
  for (const other of settings.families.get(hub.source.family) ?? []) {
    if (other === hub) continue;
    const place = placeAfter(other, hub.cursor, settings);
    if (place === undefined) continue;
    const end = endOf(hub);
    const seats = [...hub.readers];
    hub.readers.clear();
    closeHub(settings, hub);
    for (const seat of seats) {
      seat.hub = undefined;
      // One that has not got all of this hub's finds its own place when it has room.
      if (seat.next < end) continue;
      sitAt(other, seat, place);
      advance(settings, seat);
    }
    return;
  }
}

function removeHub({ families }: Settings, hub: Hub<Seat>): void {
  const { family } = hub.source;
  const hubs = families.get(family);
  hubs?.delete(hub);
  if (hubs?.size === 0) families.delete(family);
}

function closeHub(settings: Settings, hub: Hub<Seat>): void {
  removeHub(settings, hub);
  hub.closing.abort();
  hub.wake();
  // It ends in its own time; nobody listens any more.
  const ended = hub.over ? undefined : hub.upstream?.return?.().catch(() => undefined);
  if (!ended) return;
  settings.ending.add(ended);
  void ended.then(() => settings.ending.delete(ended));
}
