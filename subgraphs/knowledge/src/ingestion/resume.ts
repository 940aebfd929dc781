import type { Caller } from "@sba/platform/caller";
import { systemTx } from "@sba/platform/db";
import type { Ingestion } from "@sba/platform/generated/prisma/client";
import { enqueue } from "@sba/platform/jobs";
import { advanceIngestion } from "../jobs.ts";

/** Longer than a batch and the pauses between a job's attempts take: what stands still this long has lost its job. */
const STANDS_STILL_SECONDS = 60;
const AT_A_TIME = 100;

/**
 * Asks again for the jobs of ingestions of all tenants that stand still: the queue was emptied, or its worker died too
 * often. Called by the schedules; two at once share the work. Returns how many were found.
 */
export function resumeIngestions(): Promise<number> {
  return systemTx("resume ingestions", async (tx) => {
    const ingestions = await tx.sql<Ingestion>`
      UPDATE knowledge.ingestion SET updated_at = clock_timestamp() WHERE (tenant_id, id) IN (
        SELECT tenant_id, id FROM knowledge.ingestion
        WHERE ended_at IS NULL AND updated_at < clock_timestamp() - make_interval(secs => ${STANDS_STILL_SECONDS})
        ORDER BY updated_at LIMIT ${AT_A_TIME} FOR UPDATE SKIP LOCKED)
      RETURNING *`;
    for (const ingestion of ingestions)
      await enqueue(tx, callerOf(ingestion), advanceIngestion, { ingestionId: ingestion.id });
    return ingestions.length;
  });
}

/** Who asked for the ingestion, without permissions: a job that writes what was allowed when it was accepted needs none. */
function callerOf({ id, tenantId, createdBy, createdByKind }: Ingestion): Caller {
  return {
    tenantId,
    principalId: createdBy,
    principalKind: createdByKind as Caller["principalKind"],
    permissions: new Set(),
    requestId: `ingestion-${id}`,
  };
}
