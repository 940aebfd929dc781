import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { createCollection, type Collection } from "./collection/collection.ts";
import { addDocuments, getIngestion, type Ingestion } from "./ingestion/ingestion.ts";
import { runIngestion } from "./ingestion/run-ingestion.ts";
import { MAX_DOCUMENTS, type DocumentInput } from "./ingestion/submission.ts";

/** For tests of this and higher domains. */

/** Adds documents and does what a worker does with their jobs, until the last is searchable or has failed. */
export async function ingest(
  caller: Caller,
  collectionId: string,
  documents: readonly DocumentInput[],
): Promise<Ingestion[]> {
  const ingestions: Ingestion[] = [];
  for (let at = 0; at < documents.length; at += MAX_DOCUMENTS) {
    const { id } = await addDocuments(caller, { collectionId, documents: documents.slice(at, at + MAX_DOCUMENTS) });
    await runIngestion(caller, { ingestionId: id }, { signal: new AbortController().signal });
    ingestions.push(await getIngestion(caller, id));
  }
  return ingestions;
}

/** A collection whose documents are searchable. */
export async function givenCollection(
  caller: Caller,
  documents: readonly DocumentInput[],
  name = "Handbook",
): Promise<Collection> {
  const collection = await createCollection(caller, { name });
  await ingest(caller, collection.id, documents);
  return collection;
}

/** How much the index holds, told by each of its tables. */
export interface IndexStory {
  readonly chunks: number;
  readonly embedded: number;
  readonly posted: number;
  /** As the collections' statistics say. */
  readonly counted: number;
  /** Postings of chunks that are not there. */
  readonly orphans: number;
  /** Terms that the statistics have too many, or too few. */
  readonly termsOff: number;
}

/** What the tenant's index is, table by table. */
export async function describeIndex(caller: Caller): Promise<IndexStory | undefined> {
  const [story] = await withTenant(
    caller,
    (tx) => tx.sql<IndexStory>`
      SELECT (SELECT count(*)::int FROM knowledge.chunk) AS chunks,
             (SELECT count(*)::int FROM knowledge.embedding) AS embedded,
             (SELECT count(DISTINCT chunk_id)::int FROM knowledge.posting) AS posted,
             (SELECT sum(chunk_count)::int FROM knowledge.collection) AS counted,
             (SELECT count(*)::int FROM knowledge.posting WHERE chunk_id NOT IN (SELECT id FROM knowledge.chunk)) AS orphans,
             (SELECT (sum(term_count) - (SELECT coalesce(sum(term_count), 0) FROM knowledge.chunk))::int FROM knowledge.collection) AS terms_off`,
  );
  return story;
}

/** What `describeIndex` says when all tables agree. */
export function consistentIndex(chunks: number): IndexStory {
  return { chunks, embedded: chunks, posted: chunks, counted: chunks, orphans: 0, termsOff: 0 };
}
