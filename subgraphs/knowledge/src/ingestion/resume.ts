import type { Caller } from "@sba/platform/caller";
import { systemTx } from "@sba/platform/db";
import type { Ingestion } from "@sba/platform/generated/prisma/client";
import { enqueue } from "@sba/platform/jobs";
import { advanceIngestion } from "../jobs.ts";

/** A job is normally taken within milliseconds; one this old was lost. */
const OVERDUE_SECONDS = 2;
const WAKE_AGAIN_SECONDS = 5;
const AT_A_TIME = 100;

/**
 * Asks again for the jobs of ingestions of all tenants that are due and that no live worker holds: the queue was emptied, or
 * the worker died. Called by the schedules; two at once share the work. Returns how many were found.
 */
export function resumeIngestions(): Promise<number> {
  return systemTx("resume ingestions", async (tx) => {
    const ingestions = await tx.sql<Ingestion>`
      UPDATE knowledge.ingestion SET woken_at = clock_timestamp() WHERE (tenant_id, id) IN (
        SELECT tenant_id, id FROM knowledge.ingestion
        WHERE due_at < clock_timestamp() - make_interval(secs => ${OVERDUE_SECONDS})
          AND (lease_expires_at IS NULL OR lease_expires_at < clock_timestamp())
          AND (woken_at IS NULL OR woken_at < clock_timestamp() - make_interval(secs => ${WAKE_AGAIN_SECONDS}))
          AND tenant_id NOT IN (SELECT tenant_id FROM platform.suspension)
        ORDER BY due_at LIMIT ${AT_A_TIME} FOR UPDATE SKIP LOCKED)
      RETURNING *`;
    for (const ingestion of ingestions)
      await enqueue(tx, callerOf(ingestion), advanceIngestion, { ingestionId: ingestion.id });
    return ingestions.length;
  });
}

/** Who asked for the ingestion, without permissions: what was allowed when it was accepted needs none. */
export function callerOf({ id, tenantId, createdBy, createdByKind }: Ingestion): Caller {
  return {
    tenantId,
    principalId: createdBy,
    principalKind: createdByKind as Caller["principalKind"],
    permissions: new Set(),
    requestId: `ingestion-${id}`,
  };
}
