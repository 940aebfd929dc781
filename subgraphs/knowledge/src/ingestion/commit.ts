import type { Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { appendEvents } from "@sba/platform/events";
import type { Document, Ingestion } from "@sba/platform/generated/prisma/client";
import { recordUsage } from "@sba/billing/index";
import { replaceChunks } from "../chunk/chunk-index.ts";
import { countInCollection } from "../collection/collection.ts";
import { ingestionEnded, ingestionProgressed, ingestionStream } from "../events.ts";
import { letGo } from "../upload/upload.ts";
import { readIngestion } from "./ingestion.ts";
import { isEnded, MAX_ATTEMPTS, planRevision, statusOf, type Plan } from "./ingestion.state.ts";
import { lockLeased, type Leased } from "./lease.ts";
import { indexHashOf, type PreparedSource } from "./prepare.ts";

/** The one transaction in which prepared documents become searchable: chunks, counts, usage and the event together. */

/** `INDEX` and `FAIL` replace nothing that is newer. */
interface Decision {
  readonly prepared: PreparedSource;
  readonly document: LockedDocument;
  readonly outcome: Plan | "FAIL";
}

type LockedDocument = Pick<Document, "id" | "indexedRevision" | "indexedHash">;

/**
 * Commits what is still pending of `prepared`, under the lease. That it is still ours is asked last, with the row locked from then
 * on: a large document takes many seconds, in which the lease has to be renewed.
 * @throws KNOWLEDGE_INGESTION_LEASE_LOST
 */
export async function commitSources(
  caller: Caller,
  leased: Leased,
  prepared: readonly PreparedSource[],
): Promise<void> {
  await withTenant(caller, async (tx) => {
    const decisions = await decide(tx, leased, prepared);
    if (decisions.length === 0) {
      await lockLeased(tx, leased);
      return;
    }
    const indexed = decisions.filter(({ outcome }) => outcome === "INDEX");
    const documents = indexed.map(({ document, prepared: { chunks = [] } }) => ({ documentId: document.id, chunks }));
    const change = await replaceChunks(tx, caller, leased.collectionId, documents);
    const ingestion = { ...(await lockLeased(tx, leased)), attempt: leased.attempt };
    await writeSources(tx, ingestion, decisions);
    await writeDocuments(tx, decisions);
    await meterChunks(tx, caller, ingestion, indexed);
    await writeProgress(tx, caller, ingestion, decisions);
    if (documents.length > 0) await countInCollection(tx, ingestion.collectionId, change);
  });
}

/** With the documents locked, in the order in which everyone locks them. The newest revision of a document decides alone. */
async function decide(tx: Tx, { id }: Leased, prepared: readonly PreparedSource[]): Promise<Decision[]> {
  const numbers = prepared.map(({ source }) => source.number);
  const [pending, documents] = await Promise.all([
    tx.sql<{ number: number }>`
      SELECT number FROM knowledge.source WHERE ingestion_id = ${id} AND number = ANY(${numbers}::int[]) AND status = 'PENDING'`,
    tx.sql<LockedDocument>`
      SELECT id, indexed_revision, indexed_hash FROM knowledge.document
      WHERE id = ANY(${prepared.map(({ source }) => source.documentId)}::uuid[]) ORDER BY identity COLLATE "C" FOR NO KEY UPDATE`,
  ]);
  const isPending = new Set(pending.map(({ number }) => number));
  const newest = Map.groupBy(prepared, ({ source }) => source.documentId);
  return prepared
    .filter(({ source }) => isPending.has(source.number))
    .flatMap((item) => {
      const document = documents.find(({ id }) => id === item.source.documentId);
      if (!document) return [];
      const isNewest = newest.get(document.id)?.every(({ source }) => source.revision <= item.source.revision) ?? true;
      const outcome = outcomeOf(item, document, isNewest);
      // It seemed unchanged before the lock and is not: it stays pending, and is prepared in the next round.
      if (outcome === "INDEX" && item.chunks === undefined) return [];
      return [{ prepared: item, document, outcome }];
    });
}

function outcomeOf(
  { source, failure }: PreparedSource,
  document: LockedDocument,
  isNewest: boolean,
): Decision["outcome"] {
  const plan = isNewest ? planRevision(document, source.revision, indexHashOf(source)) : "SUPERSEDED";
  return failure && plan === "INDEX" ? "FAIL" : plan;
}

async function writeSources(tx: Tx, { id }: Ingestion, decisions: readonly Decision[]): Promise<void> {
  const failures = decisions.map(({ outcome, prepared }) =>
    outcome === "FAIL" ? (prepared.failure?.message ?? null) : null,
  );
  await tx.sql`
    UPDATE knowledge.source SET status = CASE new.outcome WHEN 'FAIL' THEN 'FAILED' ELSE 'READY' END, outcome = new.outcome, failure = new.failure,
           text = CASE WHEN new.outcome IN ('INDEX', 'FAIL') THEN text END, upload_id = CASE WHEN new.outcome IN ('INDEX', 'FAIL') THEN upload_id END
    FROM unnest(${decisions.map(({ prepared }) => prepared.source.number)}::int[], ${decisions.map(({ outcome }) => outcome)}::text[], ${failures}::text[])
      AS new (number, outcome, failure)
    WHERE source.ingestion_id = ${id} AND source.number = new.number`;
  await letGo(
    tx,
    decisions.map(({ outcome, prepared }) =>
      outcome === "INDEX" || outcome === "FAIL" ? null : prepared.source.uploadId,
    ),
  );
  await forgetReplaced(tx, decisions);
}

/** The content that was searched until now is not needed again. */
async function forgetReplaced(tx: Tx, decisions: readonly Decision[]): Promise<void> {
  const replaced = decisions.filter(({ outcome, document }) => outcome === "INDEX" && document.indexedRevision > 0);
  if (replaced.length === 0) return;
  await tx.sql`
    WITH old AS (
      SELECT source.ingestion_id, source.number, source.upload_id FROM knowledge.source
      JOIN unnest(${replaced.map(({ document }) => document.id)}::uuid[], ${replaced.map(({ prepared }) => prepared.source.revision)}::int[]) AS new (document_id, revision)
        ON source.document_id = new.document_id AND source.revision < new.revision
      WHERE source.status <> 'PENDING' AND (text IS NOT NULL OR upload_id IS NOT NULL)
    ), let_go AS (
      UPDATE knowledge.upload SET forget_at = clock_timestamp() FROM old WHERE upload.id = old.upload_id
    )
    UPDATE knowledge.source SET text = NULL, upload_id = NULL FROM old WHERE source.ingestion_id = old.ingestion_id AND source.number = old.number`;
}

const NO_TEXT = "The document holds no text.";

async function writeDocuments(tx: Tx, decisions: readonly Decision[]): Promise<void> {
  const current = decisions.filter(({ outcome }) => outcome === "INDEX" || outcome === "UNCHANGED");
  await Promise.all([
    tx.sql`
      UPDATE knowledge.document SET title = new.title, uri = new.uri, media_type = new.media_type, status = 'READY', failure = NULL,
             warning = CASE WHEN new.chunk_count = 0 THEN ${NO_TEXT}::text WHEN new.chunk_count IS NOT NULL THEN NULL ELSE warning END,
             chunk_count = coalesce(new.chunk_count, document.chunk_count), indexed_revision = new.revision, indexed_hash = new.hash,
             -- What is added again as it stands has not been updated, whatever its revision.
             updated_at = CASE WHEN new.chunk_count IS NULL AND (document.title, document.uri, document.media_type, document.status, document.failure)
                                    IS NOT DISTINCT FROM (new.title, new.uri, new.media_type, 'READY', NULL::text)
                               THEN document.updated_at ELSE clock_timestamp() END
      FROM unnest(${current.map(({ document }) => document.id)}::uuid[], ${current.map(({ prepared }) => prepared.source.title)}::text[],
                  ${current.map(({ prepared }) => prepared.source.uri)}::text[], ${current.map(({ prepared }) => prepared.source.mediaType)}::text[],
                  ${current.map(({ prepared }) => prepared.source.revision)}::int[], ${current.map(({ prepared }) => indexHashOf(prepared.source))}::text[],
                  ${current.map(({ outcome, prepared }) => (outcome === "INDEX" ? (prepared.chunks?.length ?? 0) : null))}::int[])
        AS new (id, title, uri, media_type, revision, hash, chunk_count)
      WHERE document.id = new.id`,
    writeFailures(
      tx,
      decisions.filter(({ outcome }) => outcome === "FAIL"),
    ),
  ]);
}

/** A document that was READY stays it, with what it held: searchers lose nothing to a bad update. */
async function writeFailures(tx: Tx, failed: readonly Decision[]): Promise<void> {
  if (failed.length === 0) return;
  await tx.sql`
    UPDATE knowledge.document SET status = CASE WHEN indexed_revision = 0 THEN 'FAILED' ELSE 'READY' END, failure = new.failure,
           updated_at = clock_timestamp()
    FROM unnest(${failed.map(({ document }) => document.id)}::uuid[], ${failed.map(({ prepared }) => prepared.failure?.message ?? null)}::text[]) AS new (id, failure)
    WHERE document.id = new.id`;
}

/** Keyed by the first document of the batch: it is pending in one commit only. */
async function meterChunks(tx: Tx, caller: Caller, { id }: Ingestion, indexed: readonly Decision[]): Promise<void> {
  const chunks = indexed.reduce((sum, { prepared }) => sum + (prepared.chunks?.length ?? 0), 0);
  const first = indexed[0]?.prepared.source.number;
  if (chunks === 0 || first === undefined) return;
  await recordUsage(tx, caller, {
    key: `ingestion:${id}:${first}`,
    lines: [{ meter: "knowledge.chunksIndexed", quantity: BigInt(chunks) }],
  });
}

async function writeProgress(tx: Tx, caller: Caller, before: Ingestion, decisions: readonly Decision[]): Promise<void> {
  const failed = decisions.filter(({ outcome }) => outcome === "FAIL").length;
  const documentsReady = before.documentsReady + decisions.length - failed;
  const documentsFailed = before.documentsFailed + failed;
  const status = statusOf({ documentsTotal: before.documentsTotal, documentsReady, documentsFailed });
  await tx.sql`
    UPDATE knowledge.ingestion SET status = ${status}, documents_ready = ${documentsReady}, documents_failed = ${documentsFailed},
           attempt = ${before.attempt > MAX_ATTEMPTS ? MAX_ATTEMPTS : 0}, updated_at = clock_timestamp(),
           ended_at = CASE WHEN ${isEnded(status)} THEN clock_timestamp() END, due_at = CASE WHEN NOT ${isEnded(status)} THEN due_at END
    WHERE id = ${before.id}`;
  const event = isEnded(status) ? ingestionEnded : ingestionProgressed;
  await appendEvents(tx, caller, ingestionStream(before.id), [
    event({ ingestion: await readIngestion(tx, before.id) }),
  ]);
}
