import { z } from "zod";
import type { Caller, TenantScope } from "./caller.ts";
import { ints, texts } from "./columns.ts";
import { json, type Tx } from "./db.ts";
import { platformErrors } from "./errors.ts";
import { openGroupRead } from "./group.ts";
import { defineJob, enqueue } from "./jobs.ts";
import type { RecentEvent } from "./recent-events.ts";
import { isStorable } from "./storable.ts";
import { announceStreams, hearsStreams, type News } from "./stream-wakes.ts";
import { currentTraceId } from "./telemetry.ts";

/**
 * The event journal: `(stream, seq)` in Postgres. `seq` is taken while the stream's row is locked, so a stream has no
 * gaps and no reordering, and a cursor is a position in one stream. Pub/sub only says that there is something new.
 */

/** A kind of event: its name, version and the shape of its payload. */
export interface EventType<Name extends string = string, Payload = unknown> {
  readonly type: Name;
  readonly version: number;
  readonly payload: z.ZodType<Payload>;
  readonly description: string;
  /** True when higher domains may react to it (`workers/src/reactions.ts`): a job is enqueued with the event. */
  readonly announced?: boolean;
}

/** The job by which an announced event reaches its reactions, each at least once. */
export const eventAnnounced = defineJob(
  "platform.event.announced",
  z.object({ stream: z.string(), seq: z.number().int().positive(), type: z.string() }),
  { queue: "reactions", attempts: 20 },
);

/** One event of a known type, ready to be appended. */
export interface NewEvent<Payload = unknown> {
  readonly event: EventType<string, Payload>;
  readonly payload: Payload;
  /** True when no higher domain waits for this one: it is not announced. */
  readonly quiet?: boolean;
}

/** The event, announced to no reaction: nobody waits for it. */
export function quietly(event: NewEvent): NewEvent {
  return { ...event, quiet: true };
}

/** Whether appending the event also asks for a job. */
export function isAnnounced({ event, quiet }: NewEvent): boolean {
  return event.announced === true && quiet !== true;
}

/** A part of a stream that the journal no longer has, both ends included. */
export interface EventGap {
  readonly fromSeq: number;
  readonly toSeq: number;
}

export interface EventRecord<Payload = unknown> {
  /** Of an event that is streamed: what should have come before it. */
  readonly gap?: EventGap;
  readonly stream: string;
  readonly seq: number;
  readonly tenantId: string;
  readonly type: string;
  readonly version: number;
  readonly payload: Payload;
  readonly at: Date;
  readonly traceId: string | null;
}

const catalogue = new Map<string, EventType>();

/** Declares an event. Every declared event is a chapter of `docs/events.md`, which CI compares. */
export function defineEvent<const Name extends string, Payload>(
  definition: EventType<Name, Payload>,
): EventType<Name, Payload> & ((payload: Payload) => NewEvent<Payload>) {
  if (catalogue.has(definition.type)) throw new Error(`event ${definition.type} is defined twice`);
  const make = (payload: Payload): NewEvent<Payload> => ({ event: definition, payload });
  const type = Object.assign(make, definition);
  catalogue.set(definition.type, type);
  return type;
}

/** Every event declared so far: the source of `docs/events.md`. */
export function listEventTypes(): readonly EventType[] {
  return [...catalogue.values()];
}

/** The name of a stream: a kind and the id of what it is about, `run:<uuid>`. */
export function streamOf(kind: string, id: string): string {
  return `${kind}:${id}`;
}

/**
 * Appends events to one stream in the caller's transaction and returns the seq of the last. The stream's row stays
 * locked until the commit; who appends to several streams does so in the order of their names.
 */
export async function appendEvents(
  tx: Tx,
  caller: Caller,
  stream: string,
  events: readonly NewEvent[],
): Promise<number> {
  const [end] = await appendToStreams(
    tx,
    caller,
    events.map((event) => ({ stream, event })),
  );
  const seq = end!.lastSeq;
  for (const [index, event] of events.entries()) {
    if (!isAnnounced(event)) continue;
    await enqueue(tx, caller, eventAnnounced, { stream, seq: seq - events.length + index + 1, type: event.event.type });
  }
  return seq;
}

export interface StreamEvent {
  readonly stream: string;
  readonly event: NewEvent;
  /** Of the work that it tells of, when another's commit appends it; that of the work under way by default. */
  readonly traceId?: string | undefined;
}

interface StreamEnd {
  readonly id: string;
  readonly lastSeq: number;
  /** Of all that is appended to the stream by one statement. */
  readonly at: Date;
}

/**
 * Appends to several streams of one tenant in one statement, each stream's events in the order given; streams are
 * locked in the order of their names. Announces nothing to reactions: for events that are only read.
 */
export function appendToStreams(tx: Tx, scope: TenantScope, entries: readonly StreamEvent[]): Promise<StreamEnd[]> {
  const rows = rowsOf(entries);
  const ends = insertEvents(tx, scope, rows);
  const appended: Appended = { rows, since: performance.now(), ends: undefined };
  ends.then(
    (known) => (appended.ends = known),
    () => undefined, // heard by whoever commits
  );
  tellAfterCommit(tx, scope, appended);
  return ends;
}

/** As `appendToStreams`, together with what others of the same transaction append. Needs no answer. */
export function gatherEvents(tx: Tx, entries: readonly StreamEvent[]): void {
  tx.gather(appendGathered, entries);
}

function appendGathered(tx: Tx, entries: readonly StreamEvent[]): Promise<unknown> {
  return appendToStreams(tx, tenantOf(tx), entries);
}

function tenantOf({ tenantId }: Tx): TenantScope {
  if (tenantId === null) throw new Error("events are gathered under one tenant");
  return { tenantId };
}

interface Appended {
  readonly rows: readonly EventRow[];
  readonly since: number;
  ends: readonly StreamEnd[] | undefined;
}

const appending = new WeakMap<Tx, Map<string, Appended[]>>();

/** What one transaction appends is told together. */
function tellAfterCommit(tx: Tx, scope: TenantScope, appended: Appended): void {
  const byTenant = appending.get(tx) ?? new Map<string, Appended[]>();
  appending.set(tx, byTenant);
  const earlier = byTenant.get(scope.tenantId);
  if (earlier) {
    earlier.push(appended);
    return;
  }
  const all = [appended];
  byTenant.set(scope.tenantId, all);
  tx.afterCommit((isWhole) => {
    const streams = new Set(all.flatMap(({ rows }) => rows.map(({ stream }) => stream)));
    announceStreams(scope, [...streams], isWhole && hearsStreams(scope) ? newsOf(scope, all) : undefined);
  });
}

/** Undefined when it is not known where all of it stands. */
function newsOf(scope: TenantScope, all: readonly Appended[]): News | undefined {
  const since = Math.min(...all.map((each) => each.since));
  const events: RecentEvent[] = [];
  for (const { rows, ends } of all) {
    if (!ends) return undefined;
    events.push(...recentOf(scope, rows, ends));
  }
  return { events, since };
}

function recentOf({ tenantId }: TenantScope, rows: readonly EventRow[], ends: readonly StreamEnd[]): RecentEvent[] {
  return rows.map(({ later, ...row }) => {
    const { lastSeq, at } = ends.find(({ id }) => id === row.stream)!;
    return { ...row, tenantId, seq: lastSeq - later, at };
  });
}

function insertEvents(tx: Tx, { tenantId }: TenantScope, rows: readonly EventRow[]): Promise<StreamEnd[]> {
  return tx.sql<StreamEnd>`
    WITH new AS (
      SELECT (${texts(rows, ({ stream }) => stream)}::text[])[i] AS stream, (${texts(rows, ({ type }) => type)}::text[])[i] AS type,
             (${ints(rows, ({ version }) => version)}::int[])[i] AS version, (${texts(rows, ({ payload }) => payload)}::text[])[i] AS payload,
             (${ints(rows, ({ later }) => later)}::int[])[i] AS later, (${texts(rows, ({ traceId }) => traceId)}::text[])[i] AS trace_id
      FROM generate_series(1, ${rows.length}::int) AS i
    ), position AS (
      INSERT INTO platform.stream AS s (id, tenant_id, last_seq)
      SELECT stream, ${tenantId}::uuid, max(later) + 1 FROM new GROUP BY stream ORDER BY stream
      ON CONFLICT (id) DO UPDATE SET last_seq = s.last_seq + excluded.last_seq
      RETURNING id, last_seq, clock_timestamp() AS at
    ), appended AS (
      INSERT INTO platform.event (stream, seq, tenant_id, type, version, payload, at, trace_id)
      SELECT new.stream, position.last_seq - new.later, ${tenantId}::uuid, new.type, new.version, new.payload::jsonb, position.at, new.trace_id
      FROM new JOIN position ON position.id = new.stream
    )
    SELECT id, last_seq, at FROM position`;
}

interface EventRow {
  readonly stream: string;
  readonly type: string;
  readonly version: number;
  /** JSON. */
  readonly payload: string;
  /** How many of these events come after it in its stream. */
  readonly later: number;
  readonly traceId: string | null;
}

function rowsOf(entries: readonly StreamEvent[]): EventRow[] {
  const later = new Map<string, number>();
  const current = currentTraceId();
  return entries
    .toReversed()
    .map(({ stream, event: { event, payload }, traceId = current }) => {
      const after = later.get(stream) ?? 0;
      later.set(stream, after + 1);
      const { type, version } = event;
      return {
        stream,
        type,
        version,
        payload: json(event.payload.parse(payload)),
        later: after,
        traceId: traceId ?? null,
      };
    })
    .toReversed();
}

/** The seq of the last committed event, 0 for a stream without events. */
export async function lastSeq(tx: Tx, stream: string): Promise<number> {
  const [row] = await tx.sql<{ lastSeq: number }>`SELECT last_seq FROM platform.stream WHERE id = ${stream}`;
  return row?.lastSeq ?? 0;
}

export interface ReadOptions {
  /** Events with a greater seq are read; 0 reads from the beginning. */
  readonly after: number;
  readonly first: number;
}

/** Reads a page of one stream, in order. */
export function readEvents(scope: TenantScope, stream: string, { after, first }: ReadOptions): Promise<EventRecord[]> {
  return readPage(scope, { stream, after, first });
}

interface Page extends ReadOptions {
  readonly stream: string;
}

/** A commit wakes the readers of many streams: what they read is one statement. */
const readPage = openGroupRead<Page, EventRecord[]>(async (tx, pages) => {
  const events = await tx.sql<Omit<EventRecord, "stream" | "tenantId"> & { readonly page: number }>`
    SELECT page, event.* FROM (
      SELECT i AS page, (${texts(pages, ({ stream }) => stream)}::text[])[i] AS stream, (${ints(pages, ({ after }) => after)}::int[])[i] AS after,
             (${ints(pages, ({ first }) => first)}::int[])[i] AS first
      FROM generate_series(1, ${pages.length}::int) AS i) AS asked
    CROSS JOIN LATERAL (
      SELECT seq, type, version, payload, at, trace_id FROM platform.event
      WHERE stream = asked.stream AND seq > asked.after ORDER BY seq LIMIT asked.first) AS event
    ORDER BY page, seq`;
  const byPage = Map.groupBy(events, ({ page }) => page);
  const { tenantId } = tenantOf(tx);
  const recordsOf = ({ stream }: Page, found: typeof events = []): EventRecord[] =>
    found.map(({ seq, type, version, payload, at, traceId }) => ({
      stream,
      seq,
      tenantId,
      type,
      version,
      payload,
      at,
      traceId,
    }));
  return pages.map((page, index) => recordsOf(page, byPage.get(index + 1)));
});

/** The opaque position of an event, for clients. */
export function encodeCursor(stream: string, seq: number): string {
  return Buffer.from(`${stream}:${seq}`).toString("base64url");
}

const POSITION = /^(0|[1-9][0-9]{0,9})$/;
const MAX_SEQ = 2_147_483_647;

/** A position in one stream. */
export interface StreamPosition {
  readonly stream: string;
  readonly seq: number;
}

/** What a cursor of any stream says; whether there is such a stream it does not. @throws CURSOR_INVALID */
export function readCursor(cursor: string): StreamPosition {
  const text = Buffer.from(cursor, "base64url").toString();
  const at = text.lastIndexOf(":");
  const [stream, position] = [text.slice(0, Math.max(0, at)), text.slice(at + 1)];
  const seq = Number(position);
  if (stream === "" || !isStorable(stream) || !POSITION.test(position) || seq > MAX_SEQ)
    throw platformErrors.CURSOR_INVALID();
  return { stream, seq };
}

/** The seq of a cursor of this stream, 0 for none. @throws CURSOR_INVALID for a cursor of anything else. */
export function decodeCursor(stream: string, cursor: string | null | undefined): number {
  if (cursor === null || cursor === undefined) return 0;
  const position = readCursor(cursor);
  if (position.stream !== stream) throw platformErrors.CURSOR_INVALID();
  return position.seq;
}
