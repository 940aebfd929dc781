import type { Caller } from "./caller.ts";
import { withTenant } from "./db.ts";
import { platformErrors } from "./errors.ts";
import { decodeCursor, encodeCursor, readCursor } from "./events.ts";

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

/**
 * Keeps how far the caller's consumer has come in the cursor's stream, and returns how far that is: an earlier cursor than
 * one that was acknowledged takes nothing back. @throws CURSOR_INVALID for a stream that is not the tenant's, or an event that it has not got
 */
export async function acknowledgeEvents(
  caller: Caller,
  { consumer, cursor }: Acknowledgement,
): Promise<Acknowledgement> {
  const { stream, seq } = readCursor(cursor);
  return withTenant(caller, async (tx) => {
    const [kept] = await tx.sql<{ seq: number }>`
      INSERT INTO platform.event_consumer AS c (tenant_id, principal_id, consumer, stream, seq)
      SELECT ${caller.tenantId}::uuid, ${caller.principalId}::uuid, ${consumer}, id, ${seq}
      FROM platform.stream WHERE id = ${stream} AND last_seq >= ${seq}
      ON CONFLICT (tenant_id, principal_id, consumer, stream)
      DO UPDATE SET seq = greatest(c.seq, excluded.seq), acknowledged_at = now()
      RETURNING seq`;
    if (!kept) throw platformErrors.CURSOR_INVALID();
    return { consumer, cursor: encodeCursor(stream, kept.seq) };
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
      SELECT seq FROM platform.event_consumer
      WHERE principal_id = ${caller.principalId}::uuid AND consumer = ${consumer} AND stream = ${stream}`,
  );
  return kept?.seq ?? 0;
}
