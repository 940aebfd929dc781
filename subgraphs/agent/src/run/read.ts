import type { Tx } from "@sba/platform/db";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";

/** A run, and the seq of the last event that was committed when it was read: what follows is in the stream after it. */
export type Run = RunRow & { readonly lastSeq: number };

/** The runs with these UUIDs that the tenant has, in no order. */
export function readRuns(tx: Tx, ids: readonly string[]): Promise<Run[]> {
  return tx.sql<Run>`
    SELECT r.*, (SELECT last_seq FROM platform.stream WHERE id = 'run:' || r.id) AS last_seq FROM agent.run r
    WHERE r.id = ANY(${ids}::uuid[])`;
}
