import type { Caller } from "@sba/platform/caller";
import { withTenantOnce, type Tx } from "@sba/platform/db";
import type { Ingestion } from "@sba/platform/generated/prisma/client";
import { keepLease, LEASE_MS, type LeaseKeeper } from "@sba/platform/lease";
import { errors } from "../errors.ts";

/**
 * Who works on an ingestion. A lease lasts 4 s and is renewed each second; taking one raises the fencing number, and every
 * commit asks for the number it was begun with: a worker that was paused and wakes up late commits nothing.
 */

/** An ingestion as its worker has it. */
export type Leased = Pick<Ingestion, "tenantId" | "id" | "collectionId" | "fence" | "attempt">;

/** Takes the lease of an ingestion that is due and that nobody holds; undefined when there is nothing to do, or its tenant is suspended. */
export async function takeLease(caller: Caller, ingestionId: string): Promise<Leased | undefined> {
  const [leased] = await withTenantOnce(
    caller,
    (tx) => tx.sql<Ingestion>`
    UPDATE knowledge.ingestion SET fence = fence + 1, attempt = attempt + 1,
           lease_expires_at = clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000})
    WHERE id = ${ingestionId} AND due_at <= clock_timestamp() AND (lease_expires_at IS NULL OR lease_expires_at <= clock_timestamp())
      AND EXISTS (SELECT FROM knowledge.collection WHERE collection.id = ingestion.collection_id AND deleted_at IS NULL)
      AND NOT EXISTS (SELECT FROM platform.suspension WHERE suspension.tenant_id = ingestion.tenant_id)
    RETURNING *`,
  );
  return leased;
}

/** Keeps the lease until stopped; what is under way is aborted when it may no longer go on, and when the tenant is suspended. */
export function keepIngestionLease(caller: Caller, leased: Leased, drain: AbortSignal): LeaseKeeper {
  const renew = async (): Promise<boolean> => {
    const [held] = await withTenantOnce(
      caller,
      (tx) => tx.sql<{ isSuspended: boolean }>`
      UPDATE knowledge.ingestion SET lease_expires_at = clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000})
      WHERE id = ${leased.id} AND fence = ${leased.fence}
      RETURNING EXISTS (SELECT FROM platform.suspension WHERE suspension.tenant_id = ingestion.tenant_id) AS is_suspended`,
    );
    return held?.isSuspended === false;
  };
  return keepLease({ renew, drain, attributes: { "ingestion.id": leased.id } });
}

/** The ingestion, locked, if the lease is still ours. @throws KNOWLEDGE_INGESTION_LEASE_LOST */
export async function lockLeased(tx: Tx, { id, fence }: Leased): Promise<Ingestion> {
  const [ingestion] = await tx.sql<Ingestion>`
    SELECT * FROM knowledge.ingestion WHERE id = ${id} AND fence = ${fence} FOR NO KEY UPDATE`;
  if (!ingestion) throw errors.KNOWLEDGE_INGESTION_LEASE_LOST();
  return ingestion;
}

/** Gives the lease back: the ingestion is due at once. What a draining worker left does not count as an attempt. */
export async function giveBack(caller: Caller, { id, fence }: Leased, isAttempt: boolean): Promise<void> {
  await withTenantOnce(
    caller,
    (tx) => tx.sql`
    UPDATE knowledge.ingestion SET lease_expires_at = NULL, fence = fence + 1, attempt = attempt - ${isAttempt ? 0 : 1}::int
    WHERE id = ${id} AND fence = ${fence}`,
  );
}
