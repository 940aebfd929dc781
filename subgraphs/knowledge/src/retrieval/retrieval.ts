import { requirePermission, type Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { logger } from "@sba/platform/log";
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
  return withTenant(caller, async (tx) => {
    const [found, rows] = await Promise.all([
      countCollections(tx, collectionIds),
      retrieve(tx, query, collectionIds, input.topK),
    ]);
    if (found < collectionIds.length) throw errors.KNOWLEDGE_COLLECTION_NOT_FOUND();
    return rows.map(toHit);
  });
}

async function countCollections(tx: Tx, ids: readonly string[]): Promise<number> {
  if (ids.length === 0) return 0;
  const [row] = await tx.sql<{
    found: number;
  }>`SELECT count(*)::int AS found FROM knowledge.collection WHERE id = ANY(${ids}::uuid[])`;
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
/** Chunks that words, and as many that vectors, bring into the final ranking; of long documents, several each. */
const MIN_CANDIDATES = 50;

/**
 * One statement under row level security. Scores are fused as a weighted sum, words scaled to the best chunk's (Bruch et
 * al. 2023, "An Analysis of Fusion Functions for Hybrid Retrieval"); reciprocal ranks scored 0.35 where this scores 0.38.
 * Every candidate gets both scores, and a document that of its best chunk.
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
      WHERE cardinality(${collectionIds}::uuid[]) = 0 OR id = ANY(${collectionIds}::uuid[])
    ), corpus AS MATERIALIZED (
      SELECT greatest(sum(chunk_count), 1)::float8 AS chunks, greatest(sum(term_count) / greatest(sum(chunk_count), 1), 1)::float8 AS mean_length
      FROM scope
    ), occurrence AS MATERIALIZED (
      -- Arrays, not joins: whatever the planner believes about sizes, this is one range of the index for each term.
      SELECT posting.chunk_id, posting.frequency, posting.chunk_term_count, term.weight,
             count(*) OVER (PARTITION BY posting.term)::float8 AS chunks_with_term
      FROM knowledge.posting JOIN unnest(${[...terms.keys()]}::text[], ${[...terms.values()]}::float8[]) AS term (term, weight) USING (term)
      WHERE posting.collection_id = ANY(ARRAY(SELECT id FROM scope)) AND posting.term = ANY(${[...terms.keys()]}::text[])
    ), lexical AS MATERIALIZED (
      SELECT chunk_id, sum(weight * ln(1 + (greatest(chunks, chunks_with_term) - chunks_with_term + 0.5) / (chunks_with_term + 0.5))
                           * frequency * (${K1}::float8 + 1)
                           / (frequency + ${K1}::float8 * (1 - ${B}::float8 + ${B}::float8 * chunk_term_count / mean_length))) AS score
      FROM occurrence CROSS JOIN corpus GROUP BY chunk_id
    ), near AS MATERIALIZED (
      SELECT chunk_id FROM knowledge.embedding
      WHERE ${vectorWeight}::float8 > 0 AND collection_id = ANY(ARRAY(SELECT id FROM scope)) AND model = ${model}
        AND length(bits) = length(${bits}::varbit)
      ORDER BY knowledge.distance(bits, vector, ${bits}::varbit, ${literal}::real[]) LIMIT ${candidates}
    ), candidate AS MATERIALIZED (
      SELECT chunk_id, score / max(score) OVER () AS score
      FROM (SELECT chunk_id, score, row_number() OVER (ORDER BY score DESC) AS position FROM lexical) AS ranked
      WHERE position <= ${candidates} OR chunk_id IN (SELECT chunk_id FROM near)
      UNION ALL
      SELECT chunk_id, 0 FROM near WHERE chunk_id NOT IN (SELECT chunk_id FROM lexical)
    ), scored AS MATERIALIZED (
      SELECT chunk.id, chunk.document_id, chunk.text, (1 - ${vectorWeight}::float8) * candidate.score
             + ${vectorWeight}::float8 * coalesce(greatest(knowledge.similarity(embedding.vector, ${literal}::real[]) - ${similarityFloor}::float8, 0), 0) AS score
      FROM candidate JOIN knowledge.chunk ON chunk.id = candidate.chunk_id
      LEFT JOIN knowledge.embedding ON embedding.tenant_id = chunk.tenant_id AND embedding.collection_id = chunk.collection_id
        AND embedding.model = ${model} AND embedding.chunk_id = chunk.id AND length(embedding.bits) = length(${bits}::varbit)
    ), best AS (
      SELECT DISTINCT ON (document_id) id, document_id, text, score FROM scored WHERE score > 0 ORDER BY document_id, score DESC, id
    )
    SELECT best.score, best.id AS chunk_id, best.text, document.id AS document_id, document.title, document.external_id, document.uri
    FROM best JOIN knowledge.document ON document.id = best.document_id
    ORDER BY best.score DESC, document.id LIMIT ${topK}`;
}
