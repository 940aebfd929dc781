import { setImmediate as nextTurn } from "node:timers/promises";
import type { TenantScope } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import type { Collection } from "@sba/platform/generated/prisma/client";
import { newId } from "@sba/platform/ids";
import { embedder } from "../embedding/embedder.ts";
import { toArrayLiteral, toBits } from "../embedding/vector.ts";
import { countTerms, termsOf } from "../retrieval/terms.ts";
import type { ChunkText } from "./chunk.split.ts";

/** The chunks of documents with their postings and vectors: written, replaced and removed together, a statement a table. */

/** A chunk ready to be written. */
export interface IndexedChunk {
  readonly number: number;
  readonly headings: readonly string[];
  readonly text: string;
  readonly start: number;
  /** Distinct, with spaces between them. */
  readonly terms: string;
  /** How often each of them occurs. */
  readonly frequencies: string;
  /** Repeats included: the chunk's length as BM25 has it. */
  readonly termCount: number;
  readonly vector: Float32Array;
}

export interface IndexedDocument {
  readonly documentId: string;
  readonly chunks: readonly IndexedChunk[];
}

/** What the collection's statistics change by. */
export type IndexChange = Pick<Collection, "chunkCount" | "termCount">;

/** A title says in few words what a document is about: its terms count twice. */
const TITLE_WEIGHT = 2;
const MAX_FREQUENCY = 32_767;

/** Counted, embedded and written at a time, with turns for others in between: some 20 ms of work. */
const CHUNKS_AT_A_TIME = 64;

function* inParts<Item>(items: readonly Item[]): Generator<readonly Item[]> {
  for (let at = 0; at < items.length; at += CHUNKS_AT_A_TIME) yield items.slice(at, at + CHUNKS_AT_A_TIME);
}

/** Counts the terms of a document's chunks and embeds them. @throws KNOWLEDGE_EMBEDDING_FAILED */
export async function indexChunks(
  title: string,
  chunks: readonly ChunkText[],
  signal: AbortSignal,
): Promise<IndexedChunk[]> {
  const titleTerms = Array.from({ length: TITLE_WEIGHT }, () => termsOf(title)).flat();
  const indexed: IndexedChunk[] = [];
  for (const part of inParts(chunks)) {
    const texts = part.map((chunk) => embeddingText(title, chunk));
    const vectors = await embedder().embed(texts, signal);
    for (const [index, chunk] of part.entries()) {
      const vector = vectors[index];
      if (!vector) throw new Error("the embedder returned too few vectors");
      indexed.push({ number: indexed.length + 1, ...chunk, ...countChunk(titleTerms, chunk), vector });
    }
    await nextTurn(undefined, { signal });
  }
  return indexed;
}

function countChunk(titleTerms: readonly string[], { headings, text }: ChunkText) {
  const all = [...titleTerms, ...termsOf(headings.join("\n")), ...termsOf(text)];
  const counts = countTerms(all);
  // A chunk's terms are kept and travel as one text, since no term holds a space.
  const frequencies = Array.from(counts.values(), (frequency) => Math.min(frequency, MAX_FREQUENCY)).join(" ");
  return { terms: [...counts.keys()].join(" "), frequencies, termCount: all.length };
}

function embeddingText(title: string, { headings, text }: ChunkText): string {
  return [title, ...headings, text].join("\n");
}

/** Puts new chunks in the place of those that the documents have. @returns what changed in the collection */
export async function replaceChunks(
  tx: Tx,
  scope: TenantScope,
  collectionId: string,
  documents: readonly IndexedDocument[],
): Promise<IndexChange> {
  const removed = await removeChunks(
    tx,
    documents.map(({ documentId }) => documentId),
  );
  const chunks = documents.flatMap(({ documentId, chunks }) =>
    chunks.map((chunk) => ({ ...chunk, documentId, id: newId() })),
  );
  for (const part of inParts(chunks)) await insertChunks(tx, scope, collectionId, part);
  return {
    chunkCount: chunks.length - removed.chunkCount,
    termCount: BigInt(chunks.reduce((sum, { termCount }) => sum + termCount, 0)) - removed.termCount,
  };
}

/** Removes the chunks of documents. @returns what is less of in the collection */
export async function removeChunks(tx: Tx, documentIds: readonly string[]): Promise<IndexChange> {
  const [removed] = await tx.sql<IndexChange>`
    WITH chunk AS (
      DELETE FROM knowledge.chunk WHERE document_id = ANY(${documentIds}::uuid[])
      RETURNING tenant_id, collection_id, id, terms, term_count
    ), posting AS (
      DELETE FROM knowledge.posting USING chunk, unnest(chunk.terms) AS key (term)
      WHERE posting.tenant_id = chunk.tenant_id AND posting.collection_id = chunk.collection_id
        AND posting.term = key.term AND posting.chunk_id = chunk.id
    ), embedding AS (
      DELETE FROM knowledge.embedding USING chunk
      WHERE embedding.tenant_id = chunk.tenant_id AND embedding.collection_id = chunk.collection_id AND embedding.chunk_id = chunk.id
    )
    SELECT count(*)::int AS chunk_count, coalesce(sum(term_count), 0)::int8 AS term_count FROM chunk`;
  return removed ?? { chunkCount: 0, termCount: 0n };
}

interface NewChunk extends IndexedChunk {
  readonly id: string;
  readonly documentId: string;
}

async function insertChunks(
  tx: Tx,
  { tenantId }: TenantScope,
  collectionId: string,
  chunks: readonly NewChunk[],
): Promise<void> {
  const ids = chunks.map(({ id }) => id);
  // As texts: an array of arrays would have to be rectangular.
  const terms = chunks.map((chunk) => chunk.terms);
  const termCounts = chunks.map(({ termCount }) => termCount);
  await Promise.all([
    tx.sql`
      INSERT INTO knowledge.chunk (tenant_id, id, collection_id, document_id, number, headings, text, start_offset, terms, term_count)
      SELECT ${tenantId}::uuid, id, ${collectionId}::uuid, document_id, number, ARRAY(SELECT jsonb_array_elements_text(headings)), text, start_offset,
             string_to_array(terms, ' '), term_count
      FROM unnest(${ids}::uuid[], ${chunks.map(({ documentId }) => documentId)}::uuid[], ${chunks.map(({ number }) => number)}::int[],
                  ${chunks.map(({ headings }) => JSON.stringify(headings))}::jsonb[], ${chunks.map(({ text }) => text)}::text[],
                  ${chunks.map(({ start }) => start)}::int[], ${terms}::text[], ${termCounts}::int[])
        AS new (id, document_id, number, headings, text, start_offset, terms, term_count)`,
    tx.sql`
      INSERT INTO knowledge.posting (tenant_id, collection_id, term, chunk_id, frequency, chunk_term_count)
      SELECT ${tenantId}::uuid, ${collectionId}::uuid, key.term, new.id, key.frequency, new.term_count
      FROM unnest(${ids}::uuid[], ${terms}::text[], ${chunks.map(({ frequencies }) => frequencies)}::text[], ${termCounts}::int[]) AS new (id, terms, frequencies, term_count),
           unnest(string_to_array(new.terms, ' '), string_to_array(new.frequencies, ' ')::smallint[]) AS key (term, frequency)
      ORDER BY key.term`,
    tx.sql`
      INSERT INTO knowledge.embedding (tenant_id, collection_id, model, chunk_id, bits, vector)
      SELECT ${tenantId}::uuid, ${collectionId}::uuid, ${embedder().model}, id, bits::varbit, vector::real[]
      FROM unnest(${ids}::uuid[], ${chunks.map(({ vector }) => toBits(vector))}::text[], ${chunks.map(({ vector }) => toArrayLiteral(vector))}::text[])
        AS new (id, bits, vector)`,
  ]);
}
