import type { Caller } from "./caller.ts";
import { systemTx, withTenant, type Tx } from "./db.ts";
import { platformErrors } from "./errors.ts";
import { decodeCursor, encodeCursor, readCursor, type StreamPosition } from "./events.ts";

/**
 * Cursors that the server keeps: a consumer, named by its principal, acknowledges what it has dealt with, and goes on
 * from there when it subscribes without a cursor. Delivery is at least once: what was not acknowledged comes again.
 */

/** Letters, digits and `. _ -`, 1 to 64 of them. */
export const CONSUMER_NAME = /^[\w.-]{1,64}$/;

/** What the `consumer` argument of a stream says of itself. */
export const CONSUMER_ARGUMENT = "Without `after`: go on after what this consumer has acknowledged.";

export interface Acknowledgement {
  readonly consumer: string;
  readonly cursor: string;
}

/** Of one principal, in all its streams. */
const MAX_KEPT = 10_000;
/** A consumer of which nothing was heard for so long has been given up by whoever it was. */
const KEPT_FOR = "90 days";
const FORGOTTEN_AT_A_TIME = 5_000;

/**
 * Keeps how far the caller's consumer has come in the cursor's stream, and returns how far that is: an earlier cursor than
 * one that was acknowledged takes nothing back. @throws CURSOR_INVALID for a stream that is not the tenant's, or an event that it has not got
 * @throws EVENT_CONSUMERS_TOO_MANY for a consumer, or a stream of it, beyond the 10,000th of the principal
 */
export async function acknowledgeEvents(
  caller: Caller,
  { consumer, cursor }: Acknowledgement,
): Promise<Acknowledgement> {
  const position = readCursor(cursor);
  const { stream } = position;
  return withTenant(caller, async (tx) => {
    const seq = (await moveOn(tx, caller, consumer, position)) ?? (await begin(tx, caller, consumer, position));
    return { consumer, cursor: encodeCursor(stream, seq) };
  });
}

async function moveOn(
  tx: Tx,
  { principalId }: Caller,
  consumer: string,
  { stream, seq }: StreamPosition,
): Promise<number | undefined> {
  const [kept] = await tx.sql<{ seq: number }>`
    UPDATE platform.event_consumer AS c SET seq = greatest(c.seq, ${seq}), used_at = now()
    FROM platform.stream WHERE stream.id = ${stream} AND stream.last_seq >= ${seq}
      AND c.principal_id = ${principalId}::uuid AND c.consumer = ${consumer} AND c.stream = ${stream}
    RETURNING c.seq`;
  return kept?.seq;
}

/** One at a time for each principal, so that many at once are not more than there may be. */
async function begin(tx: Tx, caller: Caller, consumer: string, { stream, seq }: StreamPosition): Promise<number> {
  const { tenantId, principalId } = caller;
  await tx.sql`SELECT pg_advisory_xact_lock(hashtextextended(${`event_consumer ${principalId}`}, 0))`;
  const [{ kept: count } = { kept: 0 }] = await tx.sql<{ kept: number }>`
    SELECT count(*)::int AS kept FROM platform.event_consumer WHERE principal_id = ${principalId}::uuid
      AND NOT (consumer = ${consumer} AND stream = ${stream})`;
  if (count >= MAX_KEPT) throw platformErrors.EVENT_CONSUMERS_TOO_MANY({ details: { limit: MAX_KEPT } });
  const [kept] = await tx.sql<{ seq: number }>`
    INSERT INTO platform.event_consumer AS c (tenant_id, principal_id, consumer, stream, seq)
    SELECT ${tenantId}::uuid, ${principalId}::uuid, ${consumer}, id, ${seq}
    FROM platform.stream WHERE id = ${stream} AND last_seq >= ${seq}
    ON CONFLICT (tenant_id, principal_id, consumer, stream)
    DO UPDATE SET seq = greatest(c.seq, excluded.seq), used_at = now()
    RETURNING seq`;
  if (!kept) throw platformErrors.CURSOR_INVALID();
  return kept.seq;
}

/** Forgets consumers of all tenants that nobody has used for 90 days, and returns how many; called by the schedules. */
export async function forgetUnusedConsumers(): Promise<number> {
  return systemTx("event consumers: forget unused ones", async (tx) => {
    const forgotten = await tx.sql<{ stream: string }>`
      DELETE FROM platform.event_consumer WHERE ctid IN (
        SELECT ctid FROM platform.event_consumer WHERE used_at < now() - ${KEPT_FOR}::interval
        LIMIT ${FORGOTTEN_AT_A_TIME} FOR UPDATE SKIP LOCKED)
      RETURNING stream`;
    return forgotten.length;
  });
}

export interface StreamStart {
  /** Where the client says that it goes on. */
  readonly after?: string | null | undefined;
  /** Where it has acknowledged, when it does not say. */
  readonly consumer?: string | null | undefined;
}

/** The seq after which a stream goes on: that of the cursor, or of what the consumer acknowledged, or 0. @throws CURSOR_INVALID */
export async function startAfter(caller: Caller, stream: string, { after, consumer }: StreamStart): Promise<number> {
  if (typeof after === "string" || typeof consumer !== "string") return decodeCursor(stream, after);
  const [kept] = await withTenant(
    caller,
    (tx) => tx.sql<{ seq: number }>`
      UPDATE platform.event_consumer SET used_at = now()
      WHERE principal_id = ${caller.principalId}::uuid AND consumer = ${consumer} AND stream = ${stream}
      RETURNING seq`,
  );
  return kept?.seq ?? 0;
}
