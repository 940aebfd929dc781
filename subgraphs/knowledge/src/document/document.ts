import type { Caller } from "@sba/platform/caller";
import { withTenantOnce } from "@sba/platform/db";
import type { Chunk, Document } from "@sba/platform/generated/prisma/client";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { reader } from "@sba/platform/reader";
import { errors } from "../errors.ts";

/** A document of a collection, and the chunks that its current content was cut into. */

export type { Chunk, Document };

/** What was removed, or went with its collection, is there no more. */
const isThere = { removedAt: null, collection: { deletedAt: null } } as const;

/** @throws KNOWLEDGE_DOCUMENT_NOT_FOUND */
export async function getDocument(caller: Caller, id: string): Promise<Document> {
  const [document] = await findDocuments(caller, [id]);
  if (!document) throw errors.KNOWLEDGE_DOCUMENT_NOT_FOUND();
  return document;
}

/** Those of the documents that exist, in any order. */
export function findDocuments(caller: Caller, ids: readonly string[]): Promise<Document[]> {
  return reader(caller).document.findMany({ where: { id: { in: [...ids] }, ...isThere } });
}

/** The documents of a collection, newest first. @throws CURSOR_INVALID */
export async function listDocuments(
  caller: Caller,
  collectionId: string,
  { first, after, status }: PageRequest & { readonly status?: string | undefined },
): Promise<Page<Document>> {
  const before = decodeIdCursor(after);
  const rows = await reader(caller).document.findMany({
    where: {
      collectionId,
      ...isThere,
      ...(status === undefined ? {} : { status }),
      ...(before === undefined ? {} : { id: { lt: before } }),
    },
    orderBy: { id: "desc" },
    take: first + 1,
  });
  return toPage(rows, first);
}

/** How many documents of a collection are on their way, and how many failed. */
export interface UnreadyDocuments {
  readonly collectionId: string;
  readonly pending: number;
  readonly failed: number;
}

/** For each of the collections that has such documents. */
export function countUnready(caller: Caller, collectionIds: readonly string[]): Promise<UnreadyDocuments[]> {
  return withTenantOnce(
    caller,
    (tx) => tx.sql<UnreadyDocuments>`
    SELECT collection_id, count(*) FILTER (WHERE status = 'PENDING')::int AS pending, count(*) FILTER (WHERE status = 'FAILED')::int AS failed
    FROM knowledge.document WHERE collection_id = ANY(${collectionIds}::uuid[]) AND status <> 'READY' AND removed_at IS NULL GROUP BY collection_id`,
  );
}

/** Those of the chunks that exist, in any order: a chunk goes when its document is given new content. */
export function findChunks(caller: Caller, ids: readonly string[]): Promise<Chunk[]> {
  return reader(caller).chunk.findMany({ where: { id: { in: [...ids] }, document: isThere } });
}

/** The chunks of a document in the order of its text; `after` is the number before the page. */
export async function listChunks(
  caller: Caller,
  documentId: string,
  { first, after }: { first: number; after: number },
): Promise<Page<Chunk>> {
  const rows = await reader(caller).chunk.findMany({
    where: { documentId, number: { gt: after }, document: isThere },
    orderBy: { number: "asc" },
    take: first + 1,
  });
  return toPage(rows, first);
}
