import { recordAudit } from "@sba/platform/audit";
import { requirePermission, type Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { appendEvents } from "@sba/platform/events";
import type { Collection } from "@sba/platform/generated/prisma/client";
import { once } from "@sba/platform/idempotency";
import { encodeId, newId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { reader } from "@sba/platform/reader";
import { cleanText } from "../document/document.text.ts";
import { errors } from "../errors.ts";
import { collectionDeleted, collectionStream } from "../events.ts";

/** A collection: documents that are searched together. */

export type { Collection };

export interface CreateCollectionInput {
  /** 1 to 200 characters; need not be unique. */
  readonly name: string;
  readonly idempotencyKey?: string | null | undefined;
}

const MAX_NAME_LENGTH = 200;

/** Makes an empty collection. @throws KNOWLEDGE_COLLECTION_NAME_INVALID, PERMISSION_MISSING, IDEMPOTENCY_KEY_REUSED */
export async function createCollection(caller: Caller, input: CreateCollectionInput): Promise<Collection> {
  requirePermission(caller, "knowledge:write");
  const name = cleanText(input.name).trim();
  if (name === "" || name.length > MAX_NAME_LENGTH) throw errors.KNOWLEDGE_COLLECTION_NAME_INVALID();
  return withTenant(caller, async (tx) => {
    const operation = { operation: "createCollection", key: input.idempotencyKey, input: { name } };
    const id = await once(tx, caller, operation, newId(), async (id) => {
      await tx.sql`INSERT INTO knowledge.collection (tenant_id, id, name) VALUES (${caller.tenantId}, ${id}, ${name})`;
      await recordAudit(tx, caller, {
        action: "knowledge.collection.created",
        target: encodeId("Collection", id),
        details: { name },
      });
    });
    const [collection] =
      await tx.sql<Collection>`SELECT * FROM knowledge.collection WHERE id = ${id} AND deleted_at IS NULL`;
    if (!collection) throw errors.KNOWLEDGE_COLLECTION_NOT_FOUND();
    return collection;
  });
}

/** @throws KNOWLEDGE_COLLECTION_NOT_FOUND */
export async function getCollection(caller: Caller, id: string): Promise<Collection> {
  const [collection] = await findCollections(caller, [id]);
  if (!collection) throw errors.KNOWLEDGE_COLLECTION_NOT_FOUND();
  return collection;
}

/** Those of the collections that exist, in any order. */
export function findCollections(caller: Caller, ids: readonly string[]): Promise<Collection[]> {
  return reader(caller).collection.findMany({ where: { id: { in: [...ids] }, deletedAt: null } });
}

/** The tenant's collections, newest first. @throws CURSOR_INVALID */
export async function listCollections(caller: Caller, { first, after }: PageRequest): Promise<Page<Collection>> {
  const before = decodeIdCursor(after);
  const rows = await reader(caller).collection.findMany({
    where: { deletedAt: null, ...(before === undefined ? {} : { id: { lt: before } }) },
    orderBy: { id: "desc" },
    take: first + 1,
  });
  return toPage(rows, first);
}

/**
 * Deletes a collection with all its documents: nobody finds it from then on. What it held is purged in the background
 * (`purgeRemoved`), and ingestions under way end.
 * @throws KNOWLEDGE_COLLECTION_NOT_FOUND, also for one that was deleted before; PERMISSION_MISSING
 */
export async function deleteCollection(caller: Caller, id: string): Promise<void> {
  requirePermission(caller, "knowledge:write");
  await withTenant(caller, async (tx) => {
    const [deleted] = await tx.sql<Pick<Collection, "name" | "documentCount">>`
      UPDATE knowledge.collection SET deleted_at = clock_timestamp() WHERE id = ${id} AND deleted_at IS NULL
      RETURNING name, document_count`;
    if (!deleted) throw errors.KNOWLEDGE_COLLECTION_NOT_FOUND();
    await Promise.all([
      recordAudit(tx, caller, {
        action: "knowledge.collection.deleted",
        target: encodeId("Collection", id),
        details: { name: deleted.name, documents: deleted.documentCount },
      }),
      appendEvents(tx, caller, collectionStream(id), [collectionDeleted({ collectionId: id })]),
    ]);
  });
}

/** Adds to what the collection counts. Last in a transaction: the row is shared by everyone who writes documents. */
export async function countInCollection(
  tx: Tx,
  collectionId: string,
  change: { readonly documentCount?: number; readonly chunkCount?: number; readonly termCount?: bigint },
): Promise<void> {
  await tx.sql`
    UPDATE knowledge.collection SET document_count = document_count + ${change.documentCount ?? 0},
           chunk_count = chunk_count + ${change.chunkCount ?? 0}, term_count = term_count + ${change.termCount ?? 0n}
    WHERE id = ${collectionId}`;
}
