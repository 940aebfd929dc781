import type { Tx } from "@sba/platform/db";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";

/** A run, and the seq of the last event that was committed when it was read: what follows is in the stream after it. */
export type Run = RunRow & { readonly lastSeq: number };

/** The runs with these UUIDs, in their order; undefined where the tenant has none. */
export async function readRuns(tx: Tx, ids: readonly string[]): Promise<(Run | undefined)[]> {
  const runs = await tx.sql<Run>`
    SELECT r.*, (SELECT last_seq FROM platform.stream WHERE id = 'run:' || r.id) AS last_seq FROM agent.run r
    WHERE r.id = ANY(${ids}::uuid[])`;
  return inOrder(ids, runs);
}

/** How far a run has come. */
export type RunProgress = Pick<Run, "lastSeq"> & { readonly hasEnded: boolean };

/** Of these runs, in their order; undefined where the tenant has none. */
export async function readProgress(tx: Tx, ids: readonly string[]): Promise<(RunProgress | undefined)[]> {
  const runs = await tx.sql<RunProgress & Pick<Run, "id">>`
    SELECT r.id, r.ended_at IS NOT NULL AS has_ended, (SELECT last_seq FROM platform.stream WHERE id = 'run:' || r.id) AS last_seq FROM agent.run r
    WHERE r.id = ANY(${ids}::uuid[])`;
  return inOrder(ids, runs);
}

function inOrder<Row extends Pick<Run, "id">>(ids: readonly string[], rows: readonly Row[]): (Row | undefined)[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.map((id) => byId.get(id));
}
