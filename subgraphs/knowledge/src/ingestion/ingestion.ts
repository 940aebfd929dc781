import { recordAudit } from "@sba/platform/audit";
import { requirePermission, type Caller } from "@sba/platform/caller";
import { startAfter, type StreamStart } from "@sba/platform/consumers";
import { withTenant, type Tx } from "@sba/platform/db";
import { appendEvents, type EventRecord } from "@sba/platform/events";
import { streamEvents } from "@sba/platform/follow";
import type { Document } from "@sba/platform/generated/prisma/client";
import { once } from "@sba/platform/idempotency";
import { encodeId, newId } from "@sba/platform/ids";
import { enqueue } from "@sba/platform/jobs";
import { countInCollection } from "../collection/collection.ts";
import { errors } from "../errors.ts";
import { ingestionCreated, ingestionEnded, ingestionStream, type IngestionSnapshot } from "../events.ts";
import { advanceIngestion } from "../jobs.ts";
import { requireStored, takeUploads } from "../upload/upload.ts";
import { checkNumber, checkSubmission, type DocumentInput, type Submitted } from "./submission.ts";

/** An ingestion: documents that were given together, on their way into the index. */

export type Ingestion = IngestionSnapshot;

export interface AddDocumentsInput {
  readonly collectionId: string;
  /** 1 to 100. An external id that occurs twice is added twice: the last one stays. */
  readonly documents: readonly DocumentInput[];
  readonly idempotencyKey?: string | null | undefined;
}

/**
 * Accepts documents and asks for their ingestion. A document is known by its external id in its collection, or by its
 * content when it has none; one that is known already gets the new content when that is ingested, all at once.
 * @throws KNOWLEDGE_COLLECTION_NOT_FOUND, KNOWLEDGE_DOCUMENTS_TOO_MANY, KNOWLEDGE_DOCUMENT_TOO_LARGE,
 *   KNOWLEDGE_MEDIA_TYPE_UNKNOWN and the others of `checkSubmission`, KNOWLEDGE_UPLOAD_USED and the others of
 *   `requireStored`; PERMISSION_MISSING, IDEMPOTENCY_KEY_REUSED
 */
export async function addDocuments(caller: Caller, input: AddDocumentsInput): Promise<Ingestion> {
  requirePermission(caller, "knowledge:write");
  checkNumber(input.documents);
  const uploads = await requireStored(
    caller,
    input.documents.map(({ uploadId }) => uploadId ?? undefined),
  );
  const documents = checkSubmission(input.documents, uploads);
  const { collectionId } = input;
  const operation = {
    operation: "addDocuments",
    key: input.idempotencyKey,
    input: { collectionId, documents: documents.map(({ contentHash, identity }) => [identity, contentHash]) },
  };
  return withTenant(caller, async (tx) => {
    // Not purged while this goes on, should somebody delete it now.
    const [collection] =
      await tx.sql`SELECT id FROM knowledge.collection WHERE id = ${collectionId} AND deleted_at IS NULL FOR KEY SHARE`;
    if (!collection) throw errors.KNOWLEDGE_COLLECTION_NOT_FOUND();
    const id = await once(tx, caller, operation, newId(), (id) => accept(tx, caller, { id, collectionId, documents }));
    return readIngestion(tx, id);
  });
}

interface Acceptance {
  readonly id: string;
  readonly collectionId: string;
  readonly documents: readonly Submitted[];
}

async function accept(tx: Tx, caller: Caller, { id, collectionId, documents }: Acceptance): Promise<void> {
  await takeUploads(
    tx,
    documents.map(({ uploadId }) => uploadId),
  );
  const rows = await registerDocuments(tx, caller, collectionId, documents);
  await tx.sql`
    INSERT INTO knowledge.ingestion (tenant_id, id, collection_id, status, documents_total, created_by, created_by_kind)
    VALUES (${caller.tenantId}, ${id}, ${collectionId}, 'PENDING', ${documents.length}, ${caller.principalId}, ${caller.principalKind})`;
  await insertSources(tx, caller, id, documents, rows);
  await appendEvents(tx, caller, ingestionStream(id), [ingestionCreated({ ingestion: await readIngestion(tx, id) })]);
  await recordAudit(tx, caller, {
    action: "knowledge.documents.added",
    target: encodeId("Collection", collectionId),
    details: { ingestionId: encodeId("Ingestion", id), documents: documents.length },
  });
  await enqueue(tx, caller, advanceIngestion, { ingestionId: id });
  const documentCount = rows.filter(({ isNew }) => isNew).length;
  if (documentCount > 0) await countInCollection(tx, collectionId, { documentCount });
}

interface RegisteredDocument extends Pick<Document, "id" | "identity" | "revision"> {
  readonly isNew: boolean;
}

/** Makes the documents that are not there, and takes the next revision of each; locked in the order of their identities. */
function registerDocuments(
  tx: Tx,
  caller: Caller,
  collectionId: string,
  submitted: readonly Submitted[],
): Promise<RegisteredDocument[]> {
  const documents = [...new Map(submitted.map((document) => [document.identity, document])).values()];
  const count = Map.groupBy(submitted, ({ identity }) => identity);
  return tx.sql<RegisteredDocument>`
    INSERT INTO knowledge.document AS document (tenant_id, id, collection_id, identity, external_id, title, uri, media_type, status, revision)
    SELECT ${caller.tenantId}::uuid, id, ${collectionId}::uuid, identity, external_id, title, uri, media_type, 'PENDING', revision
    FROM unnest(${documents.map(() => newId())}::uuid[], ${documents.map(({ identity }) => identity)}::text[],
                ${documents.map(({ externalId }) => externalId)}::text[], ${documents.map(({ title }) => title)}::text[],
                ${documents.map(({ uri }) => uri)}::text[], ${documents.map(({ mediaType }) => mediaType)}::text[],
                ${documents.map(({ identity }) => count.get(identity)?.length ?? 1)}::int[])
      AS new (id, identity, external_id, title, uri, media_type, revision)
    ORDER BY identity COLLATE "C"
    ON CONFLICT (tenant_id, collection_id, identity) DO UPDATE SET revision = document.revision + excluded.revision
    RETURNING id, identity, revision, xmax = 0 AS is_new`;
}

async function insertSources(
  tx: Tx,
  caller: Caller,
  ingestionId: string,
  documents: readonly Submitted[],
  rows: readonly RegisteredDocument[],
): Promise<void> {
  const registered = new Map(rows.map((row) => [row.identity, row]));
  // A document that was given twice took two revisions: the first of them goes to the first mention.
  const later = new Map<string, number>();
  const revisions = documents
    .toReversed()
    .map(({ identity }) => {
      const back = later.get(identity) ?? 0;
      later.set(identity, back + 1);
      return (registered.get(identity)?.revision ?? 0) - back;
    })
    .toReversed();
  await tx.sql`
    INSERT INTO knowledge.source (tenant_id, ingestion_id, number, document_id, revision, title, uri, media_type, content_hash, text, upload_id, status)
    SELECT ${caller.tenantId}::uuid, ${ingestionId}::uuid, number, document_id, revision, title, uri, media_type, content_hash, text, upload_id, 'PENDING'
    FROM unnest(${documents.map(({ identity }) => registered.get(identity)?.id ?? null)}::uuid[], ${revisions}::int[],
                ${documents.map(({ title }) => title)}::text[], ${documents.map(({ uri }) => uri)}::text[],
                ${documents.map(({ mediaType }) => mediaType)}::text[], ${documents.map(({ contentHash }) => contentHash)}::text[],
                ${documents.map(({ text }) => text)}::text[], ${documents.map(({ uploadId }) => uploadId)}::uuid[])
      WITH ORDINALITY AS new (document_id, revision, title, uri, media_type, content_hash, text, upload_id, number)`;
}

/** Those of the ingestions that exist, in any order, as they are shown, also by their events. */
async function readIngestions(tx: Tx, ids: readonly string[]): Promise<IngestionSnapshot[]> {
  return tx.sql<IngestionSnapshot>`
    SELECT id, status, documents_total, documents_ready, documents_failed, coalesce((
      SELECT jsonb_agg(jsonb_build_object('documentId', document_id, 'title', title, 'message', failure) ORDER BY number)
      FROM knowledge.source WHERE ingestion_id = ingestion.id AND status = 'FAILED'
    ), '[]') AS failures
    FROM knowledge.ingestion WHERE id = ANY(${ids}::uuid[])`;
}

/** One ingestion, as of the transaction. @throws KNOWLEDGE_INGESTION_NOT_FOUND */
export async function readIngestion(tx: Tx, id: string): Promise<IngestionSnapshot> {
  const [ingestion] = await readIngestions(tx, [id]);
  if (!ingestion) throw errors.KNOWLEDGE_INGESTION_NOT_FOUND();
  return ingestion;
}

/** Those of the ingestions that exist, in any order. */
export function findIngestions(caller: Caller, ids: readonly string[]): Promise<IngestionSnapshot[]> {
  return withTenant(caller, (tx) => readIngestions(tx, ids));
}

/** Of each of the collections the ingestion that was asked for last, if there was one. */
export function findLastIngestions(
  caller: Caller,
  collectionIds: readonly string[],
): Promise<{ readonly collectionId: string; readonly ingestion: IngestionSnapshot }[]> {
  return withTenant(caller, async (tx) => {
    const last = await tx.sql<{ id: string; collectionId: string }>`
      SELECT ingestion.* FROM unnest(${collectionIds}::uuid[]) AS asked (id) CROSS JOIN LATERAL (
        SELECT id, collection_id FROM knowledge.ingestion WHERE collection_id = asked.id ORDER BY id DESC LIMIT 1
      ) AS ingestion`;
    const snapshots = await readIngestions(
      tx,
      last.map(({ id }) => id),
    );
    const byId = new Map(snapshots.map((ingestion) => [ingestion.id, ingestion]));
    return last.flatMap(({ id, collectionId }) => {
      const ingestion = byId.get(id);
      return ingestion ? [{ collectionId, ingestion }] : [];
    });
  });
}

/** @throws KNOWLEDGE_INGESTION_NOT_FOUND */
export function getIngestion(caller: Caller, id: string): Promise<IngestionSnapshot> {
  return withTenant(caller, (tx) => readIngestion(tx, id));
}

export interface StreamIngestionOptions extends StreamStart {
  readonly ingestionId: string;
  readonly signal: AbortSignal;
}

/** Its events after a cursor, then live until it has ended. @throws KNOWLEDGE_INGESTION_NOT_FOUND, CURSOR_INVALID */
export async function* streamIngestionEvents(
  caller: Caller,
  { ingestionId, after, consumer, signal }: StreamIngestionOptions,
): AsyncGenerator<EventRecord> {
  await getIngestion(caller, ingestionId);
  const stream = ingestionStream(ingestionId);
  const position = await startAfter(caller, stream, { after, consumer });
  yield* streamEvents(caller, stream, { after: position, signal, isLast: ({ type }) => type === ingestionEnded.type });
}
