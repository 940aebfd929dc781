import { availableParallelism } from "node:os";
import { requirePermission, type Caller } from "@sba/platform/caller";
import { withTenantByKey, type Tx } from "@sba/platform/db";
import { logger } from "@sba/platform/log";
import pLimit from "p-limit";
import { errors } from "../errors.ts";
import { embedder } from "../embedding/embedder.ts";
import { toArrayLiteral, toBits } from "../embedding/vector.ts";
import { countTerms, termsOf } from "./terms.ts";

/** Finds the documents that answer a question: BM25 over words and similarity of vectors, in one statement. */

export interface SearchInput {
  /** 1 to 4,000 characters. */
  readonly query: string;
  /** UUIDs; every collection of the tenant when absent or empty. */
  readonly collectionIds?: readonly string[] | null | undefined;
  /** Documents to return, 1 to 100. */
  readonly topK: number;
}

export interface Hit {
  /** 0 to 1, comparable within one search. */
  readonly score: number;
  /** 1 for the best. */
  readonly rank: number;
  /** The document's best chunk. */
  readonly chunk: { readonly id: string; readonly text: string };
  readonly document: {
    readonly id: string;
    readonly title: string;
    readonly externalId: string | null;
    readonly uri: string | null;
  };
}

export const MAX_QUERY_LENGTH = 4_000;
export const MAX_TOP_K = 100;
export const MAX_COLLECTIONS = 100;
/** A question of more distinct words is cut: each costs a range of the index. */
const MAX_QUERY_TERMS = 64;
const EMBED_TIMEOUT_MS = 3_000;
/**
 * Statements that search at the same time, of one process. Each is milliseconds of a processor of the database's: more of them
 * end no sooner, and everything short that others do there, such as accepting a run, would wait behind all of them. So one
 * processor is left to it: with 16 runs at once on two, 95 of 100 starts were accepted within 80 ms, where it had been 121 to 138.
 */
export const SEARCHES_AT_ONCE = Math.max(1, availableParallelism() - 1);
const inTurn = pLimit(SEARCHES_AT_ONCE);

/**
 * The best documents for a query, each with its best chunk. When the embedding model does not answer, words alone decide.
 * @throws KNOWLEDGE_QUERY_INVALID, KNOWLEDGE_COLLECTION_NOT_FOUND, PERMISSION_MISSING
 */
export async function searchKnowledge(caller: Caller, input: SearchInput): Promise<Hit[]> {
  requirePermission(caller, "knowledge:read");
  const collectionIds = [...new Set(input.collectionIds ?? [])];
  const isValid =
    input.query.trim() !== "" &&
    input.query.length <= MAX_QUERY_LENGTH &&
    Number.isInteger(input.topK) &&
    input.topK >= 1 &&
    input.topK <= MAX_TOP_K &&
    collectionIds.length <= MAX_COLLECTIONS;
  if (!isValid) throw errors.KNOWLEDGE_QUERY_INVALID();
  const query = await readQuery(input.query);
  const [found, rows] = await inTurn(() =>
    withTenantByKey(caller, (tx) =>
      Promise.all([countCollections(tx, collectionIds), retrieve(tx, query, collectionIds, input.topK)]),
    ),
  );
  if (found < collectionIds.length) throw errors.KNOWLEDGE_COLLECTION_NOT_FOUND();
  return rows.map(toHit);
}

async function countCollections(tx: Tx, ids: readonly string[]): Promise<number> {
  if (ids.length === 0) return 0;
  const [row] = await tx.sql<{
    found: number;
  }>`SELECT count(*)::int AS found FROM knowledge.collection WHERE id = ANY(${ids}::uuid[]) AND deleted_at IS NULL`;
  return row?.found ?? 0;
}

/** A question as the index understands it. */
export interface Query {
  readonly terms: ReadonlyMap<string, number>;
  /** Undefined when the model did not answer. */
  readonly vector: Float32Array | undefined;
}

export async function readQuery(text: string): Promise<Query> {
  const terms = new Map([...countTerms(termsOf(text))].slice(0, MAX_QUERY_TERMS));
  const [vector] = await embedder()
    .embed([text], AbortSignal.timeout(EMBED_TIMEOUT_MS))
    .catch((error: unknown) => {
      logger.warn({ err: error, model: embedder().model }, "query not embedded, searching by words alone");
      return [];
    });
  return { terms, vector };
}

export interface HitRow {
  readonly score: number;
  readonly chunkId: string;
  readonly text: string;
  readonly documentId: string;
  readonly title: string;
  readonly externalId: string | null;
  readonly uri: string | null;
}

function toHit(row: HitRow, index: number): Hit {
  return {
    score: row.score,
    rank: index + 1,
    chunk: { id: row.chunkId, text: row.text },
    document: { id: row.documentId, title: row.title, externalId: row.externalId, uri: row.uri },
  };
}

// BM25 as in Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework", with Lucene's idf, which is never
// negative. Measured on the Cranfield set (bench/search.ts): k1 1.2 to 2 and b 0.6 to 0.75 differ by less than 0.01 nDCG.
const K1 = 1.6;
const B = 0.7;
/** Chunks that vectors bring in, and half of those that are looked at more closely; of long documents, several each. */
const MIN_CANDIDATES = 50;
/** Chunks that are compared exactly, for each document wanted, and of one document. 2 and 3 score as well as all do. */
const EXACT_PER_HIT = 2;
const EXACT_PER_DOCUMENT = 3;
const MIN_EXACT = 20;

/**
 * One statement under row level security. Scores are fused as a weighted sum, words scaled to the best chunk's (Bruch et
 * al. 2023, "An Analysis of Fusion Functions for Hybrid Retrieval"); reciprocal ranks scored 0.35 where this scores 0.38.
 * What a distance suggests decides which chunks are compared exactly; a document's score is that of its best chunk.
 */
export async function retrieve(
  tx: Tx,
  { terms, vector }: Query,
  collectionIds: readonly string[],
  topK: number,
): Promise<HitRow[]> {
  const { model, weight, similarityFloor } = embedder();
  const vectorWeight = vector === undefined ? 0 : weight;
  const bits = vector === undefined ? null : toBits(vector);
  const literal = vector === undefined ? null : toArrayLiteral(vector);
  const candidates = Math.max(MIN_CANDIDATES, 2 * topK);
  return tx.sql<HitRow>`
    WITH scope AS MATERIALIZED (
      SELECT id, chunk_count, term_count FROM knowledge.collection
      WHERE deleted_at IS NULL AND (cardinality(${collectionIds}::uuid[]) = 0 OR id = ANY(${collectionIds}::uuid[]))
    ), corpus AS MATERIALIZED (
      SELECT greatest(sum(chunk_count), 1)::float8 AS chunks, greatest(sum(term_count) / greatest(sum(chunk_count), 1), 1)::float8 AS mean_length
      FROM scope
    ), term AS MATERIALIZED (
      -- For each term a range of the index, here and below, whatever the planner believes about sizes: hence arrays and laterals.
      SELECT term, weight * (${K1}::float8 + 1) * ln(1 + (greatest(chunks, chunks_with_term) - chunks_with_term + 0.5) / (chunks_with_term + 0.5)) AS weight,
             ${K1}::float8 * (1 - ${B}::float8) AS base, ${K1}::float8 * ${B}::float8 / mean_length AS per_length
      FROM corpus CROSS JOIN unnest(${[...terms.keys()]}::text[], ${[...terms.values()]}::float8[]) AS asked (term, weight) CROSS JOIN LATERAL (
        SELECT count(*)::float8 AS chunks_with_term FROM knowledge.posting
        WHERE collection_id = ANY(ARRAY(SELECT id FROM scope)) AND posting.term = asked.term
      ) AS counted
    ), near AS MATERIALIZED (
      SELECT chunk_id, knowledge.distance(bits, vector, ${bits}::varbit, ${literal}::real[]) AS distance FROM knowledge.embedding
      WHERE ${vectorWeight}::float8 > 0 AND collection_id = ANY(ARRAY(SELECT id FROM scope)) AND model = ${model}
        AND length(bits) = length(${bits}::varbit)
      ORDER BY distance LIMIT ${candidates}
    ), found AS MATERIALIZED (
      SELECT chunk_id, sum(words) AS words, sum(likeness) AS likeness FROM (
        SELECT posting.chunk_id, weight * frequency / (frequency + base + per_length * chunk_term_count) AS words, 0::float8 AS likeness
        FROM term CROSS JOIN LATERAL (
          SELECT chunk_id, frequency, chunk_term_count FROM knowledge.posting
          WHERE collection_id = ANY(ARRAY(SELECT id FROM scope)) AND posting.term = term.term OFFSET 0
        ) AS posting
        UNION ALL
        SELECT chunk_id, 0, greatest(knowledge.likeness(distance, length(${bits}::varbit)) - ${similarityFloor}::float8, 0) FROM near
      ) AS evidence GROUP BY chunk_id
    ), best_words AS MATERIALIZED (
      SELECT nullif(max(words), 0) AS words FROM found
    ), candidate AS MATERIALIZED (
      SELECT chunk_id, words_score, words_score + ${vectorWeight}::float8 * likeness AS estimate FROM (
        SELECT chunk_id, (1 - ${vectorWeight}::float8) * coalesce(found.words / best_words.words, 0) AS words_score, likeness FROM found CROSS JOIN best_words
      ) AS weighed ORDER BY estimate DESC LIMIT ${2 * candidates}
    ), promising AS MATERIALIZED (
      SELECT * FROM (
        SELECT chunk.*, words_score, estimate, row_number() OVER (PARTITION BY document_id ORDER BY estimate DESC, id) AS position
        FROM candidate CROSS JOIN LATERAL (
          SELECT id, collection_id, document_id, text FROM knowledge.chunk WHERE id = candidate.chunk_id OFFSET 0
        ) AS chunk
      ) AS ranked WHERE position <= ${EXACT_PER_DOCUMENT} ORDER BY estimate DESC, id LIMIT ${Math.max(MIN_EXACT, EXACT_PER_HIT * topK)}
    ), scored AS MATERIALIZED (
      SELECT promising.id, document_id, text, words_score + ${vectorWeight}::float8 * coalesce(greatest(similarity - ${similarityFloor}::float8, 0), 0) AS score
      FROM promising LEFT JOIN LATERAL (
        SELECT vector FROM knowledge.embedding WHERE embedding.collection_id = promising.collection_id AND model = ${model}
          AND chunk_id = promising.id AND length(bits) = length(${bits}::varbit) OFFSET 0
      ) AS embedding ON true CROSS JOIN LATERAL knowledge.similarity(vector, ${literal}::real[]) AS similarity
    ), best AS MATERIALIZED (
      SELECT * FROM (
        SELECT DISTINCT ON (document_id) id, document_id, text, score FROM scored WHERE score > 0 ORDER BY document_id, score DESC, id
      ) AS best_chunk ORDER BY score DESC, document_id LIMIT ${topK}
    )
    SELECT best.score, best.id AS chunk_id, best.text, best.document_id, document.title, document.external_id, document.uri
    FROM best CROSS JOIN LATERAL (SELECT title, external_id, uri FROM knowledge.document WHERE id = best.document_id OFFSET 0) AS document
    ORDER BY best.score DESC, best.document_id`;
}
