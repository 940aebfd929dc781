import { recordAudit } from "@sba/platform/audit";
import { requirePermission, type Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { appendEvents } from "@sba/platform/events";
import { encodeId } from "@sba/platform/ids";
import { removeChunks } from "../chunk/chunk-index.ts";
import { countInCollection } from "../collection/collection.ts";
import { errors } from "../errors.ts";
import { collectionStream, documentsRemoved } from "../events.ts";

export interface RemoveDocumentsInput {
  readonly collectionId: string;
  /** UUIDs, 1 to 100. */
  readonly documentIds: readonly string[];
}

export const MAX_REMOVED = 100;

/**
 * Removes documents from a collection: no search finds them from then on, and what of them is still being ingested comes to
 * nothing. Their external ids are free again. Documents that are not there are left out, so that a repeat is harmless.
 * @returns the UUIDs of those that were removed
 * @throws KNOWLEDGE_COLLECTION_NOT_FOUND, KNOWLEDGE_DOCUMENTS_MISSING, KNOWLEDGE_DOCUMENTS_TOO_MANY, PERMISSION_MISSING
 */
export async function removeDocuments(
  caller: Caller,
  { collectionId, documentIds }: RemoveDocumentsInput,
): Promise<string[]> {
  requirePermission(caller, "knowledge:write");
  const ids = [...new Set(documentIds)];
  if (ids.length === 0) throw errors.KNOWLEDGE_DOCUMENTS_MISSING();
  if (ids.length > MAX_REMOVED)
    throw errors.KNOWLEDGE_DOCUMENTS_TOO_MANY({ details: { limit: MAX_REMOVED, given: ids.length } });
  return withTenant(caller, async (tx) => {
    const [collection] =
      await tx.sql`SELECT id FROM knowledge.collection WHERE id = ${collectionId} AND deleted_at IS NULL`;
    if (!collection) throw errors.KNOWLEDGE_COLLECTION_NOT_FOUND();
    // In the order in which everyone locks them.
    const locked = await tx.sql<{ id: string }>`
      SELECT id FROM knowledge.document WHERE id = ANY(${ids}::uuid[]) AND collection_id = ${collectionId} AND removed_at IS NULL
      ORDER BY identity COLLATE "C" FOR UPDATE`;
    const there = locked.map(({ id }) => id);
    if (there.length > 0) await remove(tx, caller, collectionId, there);
    return there;
  });
}

async function remove(tx: Tx, caller: Caller, collectionId: string, ids: readonly string[]): Promise<void> {
  const [removed] = await Promise.all([
    removeChunks(tx, ids),
    // Its newest revision counts as indexed: whatever was submitted before is superseded.
    tx.sql`
      UPDATE knowledge.document SET removed_at = clock_timestamp(), identity = 'removed:' || id, indexed_revision = revision, indexed_hash = NULL
      WHERE id = ANY(${ids}::uuid[])`,
    recordAudit(tx, caller, {
      action: "knowledge.documents.removed",
      target: encodeId("Collection", collectionId),
      details: { documentIds: ids.map((id) => encodeId("Document", id)) },
    }),
    appendEvents(tx, caller, collectionStream(collectionId), [
      documentsRemoved({ collectionId, documentIds: [...ids] }),
    ]),
  ]);
  await countInCollection(tx, collectionId, {
    documentCount: -ids.length,
    chunkCount: -removed.chunkCount,
    termCount: -removed.termCount,
  });
}
