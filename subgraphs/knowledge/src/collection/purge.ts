import type { TenantScope } from "@sba/platform/caller";
import { systemTx, withTenant, type Tx } from "@sba/platform/db";
import { appendEvents } from "@sba/platform/events";
import type { Ingestion, Source } from "@sba/platform/generated/prisma/client";
import { removeChunks } from "../chunk/chunk-index.ts";
import { ingestionEnded, ingestionStream } from "../events.ts";
import { readIngestion } from "../ingestion/ingestion.ts";
import { statusOf } from "../ingestion/ingestion.state.ts";
import { callerOf } from "../ingestion/resume.ts";
import { letGo } from "../upload/upload.ts";

/** Deletes for good what was removed: in small transactions, since a collection may hold millions of rows. */

const COLLECTIONS_AT_A_TIME = 50;
const DOCUMENTS_AT_A_TIME = 100;
const INGESTIONS_AT_A_TIME = 20;

interface Leftover {
  readonly tenantId: string;
  readonly collectionId: string;
  /** The whole collection, or only documents of it. */
  readonly isDeleted: boolean;
}

/**
 * Purges removed documents and deleted collections of all tenants until nothing is left. Called by the schedules; two at once
 * share the work. Returns how many rows of them it deleted or ended.
 */
export async function purgeRemoved(signal: AbortSignal): Promise<number> {
  let total = 0;
  for (let done = -1; done !== 0 && !signal.aborted; total += done) {
    done = 0;
    for (const { isDeleted, collectionId, ...scope } of await findLeftovers()) {
      done += isDeleted
        ? await purgeCollection(scope, collectionId)
        : await purgeDocuments(scope, collectionId, isDeleted);
    }
  }
  return total;
}

function findLeftovers(): Promise<Leftover[]> {
  return systemTx(
    "purge what was removed",
    (tx) => tx.sql<Leftover>`
    SELECT tenant_id, collection_id, bool_or(is_deleted) AS is_deleted FROM (
      SELECT tenant_id, id AS collection_id, true AS is_deleted FROM knowledge.collection WHERE deleted_at IS NOT NULL
      UNION ALL SELECT tenant_id, collection_id, false FROM knowledge.document WHERE removed_at IS NOT NULL
    ) AS leftover GROUP BY tenant_id, collection_id LIMIT ${COLLECTIONS_AT_A_TIME}`,
  );
}

async function purgeCollection(scope: TenantScope, collectionId: string): Promise<number> {
  const done = (await endIngestions(scope, collectionId)) + (await purgeDocuments(scope, collectionId, true));
  if (done > 0) return done;
  const purged = await withTenant(scope, async (tx) => {
    await tx.sql`
      DELETE FROM knowledge.ingestion WHERE collection_id = ${collectionId}
        AND NOT EXISTS (SELECT FROM knowledge.source WHERE source.tenant_id = ingestion.tenant_id AND ingestion_id = ingestion.id)`;
    return tx.sql`
      DELETE FROM knowledge.collection WHERE id = ${collectionId} AND deleted_at IS NOT NULL
        AND NOT EXISTS (SELECT FROM knowledge.document WHERE collection_id = ${collectionId})
        AND NOT EXISTS (SELECT FROM knowledge.ingestion WHERE collection_id = ${collectionId}) RETURNING id`;
  });
  return purged.length;
}

/** Documents that nothing is still being ingested of; all of them, or those that were removed. */
function purgeDocuments(scope: TenantScope, collectionId: string, all: boolean): Promise<number> {
  return withTenant(scope, async (tx) => {
    const locked = await tx.sql<{ id: string }>`
      SELECT id FROM knowledge.document WHERE collection_id = ${collectionId} AND (${all} OR removed_at IS NOT NULL)
        AND NOT EXISTS (SELECT FROM knowledge.source WHERE source.tenant_id = document.tenant_id AND document_id = document.id AND source.status = 'PENDING')
      ORDER BY identity COLLATE "C" LIMIT ${DOCUMENTS_AT_A_TIME} FOR UPDATE SKIP LOCKED`;
    const ids = locked.map(({ id }) => id);
    if (ids.length === 0) return 0;
    const [, sources] = await Promise.all([
      removeChunks(tx, ids),
      tx.sql<
        Pick<Source, "uploadId">
      >`DELETE FROM knowledge.source WHERE document_id = ANY(${ids}::uuid[]) RETURNING upload_id`,
      tx.sql`DELETE FROM knowledge.document WHERE id = ANY(${ids}::uuid[])`,
    ]);
    await letGo(
      tx,
      sources.map(({ uploadId }) => uploadId),
    );
    return ids.length;
  });
}

/** Ends the ingestions of a deleted collection; a worker that is at one of them commits nothing more. */
function endIngestions(scope: TenantScope, collectionId: string): Promise<number> {
  return withTenant(scope, async (tx) => {
    const open = await tx.sql<Ingestion>`
      SELECT * FROM knowledge.ingestion WHERE collection_id = ${collectionId} AND ended_at IS NULL
      ORDER BY id LIMIT ${INGESTIONS_AT_A_TIME} FOR UPDATE SKIP LOCKED`;
    for (const ingestion of open) await endIngestion(tx, ingestion);
    return open.length;
  });
}

const DELETED = "The collection was deleted.";

async function endIngestion(tx: Tx, ingestion: Ingestion): Promise<void> {
  const { id, documentsTotal, documentsReady } = ingestion;
  const documentsFailed = documentsTotal - documentsReady;
  await Promise.all([
    tx.sql`
      UPDATE knowledge.source SET status = 'FAILED', failure = ${DELETED}, text = NULL WHERE ingestion_id = ${id} AND status = 'PENDING'`,
    tx.sql`
      UPDATE knowledge.ingestion SET status = ${statusOf({ documentsTotal, documentsReady, documentsFailed })}, documents_failed = ${documentsFailed},
             updated_at = clock_timestamp(), ended_at = clock_timestamp(), due_at = NULL, lease_expires_at = NULL, fence = fence + 1
      WHERE id = ${id}`,
  ]);
  const ended = ingestionEnded({ ingestion: await readIngestion(tx, id) });
  await appendEvents(tx, callerOf(ingestion), ingestionStream(id), [ended]);
}
