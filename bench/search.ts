import { readFileSync } from "node:fs";
import { join } from "node:path";
import { addDocuments, createCollection, runIngestion, searchKnowledge } from "@sba/knowledge/index";
import type { Caller } from "@sba/platform/caller";
import { closeDatabase, connectDatabase } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { setLogLevel } from "@sba/platform/log";
import { applyMigrations } from "@sba/platform/migrations";
import { ALL_PERMISSIONS } from "@sba/platform/permissions";
import { usePubSub, type PubSub } from "@sba/platform/pubsub";
import { closeReaders } from "@sba/platform/reader";
import { provisionRoles } from "@sba/platform/roles";
import { closing, withCluster } from "./cleanup.ts";
import { mean, percentile, type Measurement } from "./measurement.ts";

/**
 * Retrieval on the whole Cranfield set through `searchKnowledge`, on a Postgres of its own: quality, latency, and how fast
 * documents are ingested. `npm run bench -- --only search`, or this file alone.
 */

interface CranfieldDocument {
  readonly _id: string;
  readonly title: string;
  readonly text: string;
}

const DATA = join(import.meta.dirname, "../prisma/data/cranfield");
const MIGRATIONS = join(import.meta.dirname, "../prisma/migrations");
const DEPTH = 10;
/** Of Okapi BM25 on whole documents, measured outside this project with the same judgements. */
const BM25 = { ndcg: 0.37, recall: 0.399 };

/** Starts Postgres, ingests the collection, asks its 225 questions, and cleans up. */
export function benchSearch(): Promise<Measurement[]> {
  return withCluster(async (cluster) => {
    await applyMigrations(cluster.url("postgres"), MIGRATIONS);
    connectDatabase(await provisionRoles(cluster.url("postgres"), "the-secret-key-of-a-benchmark-only"));
    usePubSub(SILENT);
    const close = async (): Promise<void> => {
      usePubSub(undefined);
      closeReaders();
      await closeDatabase();
    };
    return closing(close, measure);
  });
}

/** Nobody listens to the ingestion. */
const SILENT: PubSub = {
  publish: () => undefined,
  subscribe: () => Promise.resolve(() => Promise.resolve()),
  close: () => Promise.resolve(),
};

async function measure(): Promise<Measurement[]> {
  const caller: Caller = {
    tenantId: newId(),
    principalId: newId(),
    principalKind: "USER",
    requestId: "bench",
    permissions: new Set(ALL_PERMISSIONS),
  };
  const documents = readLines<CranfieldDocument>("corpus.jsonl");
  const began = performance.now();
  await ingest(caller, documents);
  const seconds = (performance.now() - began) / 1000;
  const { ndcg, recall, latenciesMs } = await askAll(caller);
  return [
    { measure: "ingestion of 1,400 documents", value: seconds, unit: "s" },
    { measure: "ingestion", value: documents.length / seconds, unit: "documents/s" },
    atLeast(`nDCG@${DEPTH} (BM25 ${BM25.ndcg})`, ndcg, 0.38),
    atLeast(`recall@${DEPTH} (BM25 ${BM25.recall})`, recall, 0.41),
    { measure: "search p50", value: percentile(latenciesMs, 0.5), unit: "ms" },
    { measure: "search p95", value: percentile(latenciesMs, 0.95), unit: "ms" },
  ];
}

function atLeast(measure: string, value: number, floor: number): Measurement {
  return { measure, value, unit: "", target: `>= ${floor}`, holds: value >= floor };
}

async function ingest(caller: Caller, documents: readonly CranfieldDocument[]): Promise<void> {
  const { id: collectionId } = await createCollection(caller, { name: "Cranfield" });
  for (let at = 0; at < documents.length; at += 100) {
    const batch = documents.slice(at, at + 100).map(({ _id, title, text }) => ({ externalId: _id, title, text }));
    const ingestion = await addDocuments(caller, { collectionId, documents: batch });
    await runIngestion(caller, { ingestionId: ingestion.id }, { signal: new AbortController().signal });
  }
}

interface Answers {
  readonly ndcg: number;
  readonly recall: number;
  readonly latenciesMs: readonly number[];
}

async function askAll(caller: Caller): Promise<Answers> {
  const queries = readLines<{ readonly text: string }>("queries.jsonl");
  const judgements = readJudgements();
  const scores: { ndcg: number; recall: number }[] = [];
  const latenciesMs: number[] = [];
  for (const [index, { text }] of queries.entries()) {
    const began = performance.now();
    const hits = await searchKnowledge(caller, { query: text, topK: DEPTH });
    latenciesMs.push(performance.now() - began);
    scores.push(
      judge(
        hits.map(({ document }) => document.externalId ?? ""),
        judgements.get(index + 1) ?? new Map(),
      ),
    );
  }
  return { ndcg: mean(scores.map(({ ndcg }) => ndcg)), recall: mean(scores.map(({ recall }) => recall)), latenciesMs };
}

/** Järvelin and Kekäläinen 2002: gain is the grade, discounted by log2(rank + 1), divided by that of the ideal order. */
export function judge(
  ranking: readonly string[],
  relevance: ReadonlyMap<string, number>,
): { ndcg: number; recall: number } {
  const gains = [...relevance.values()].filter((grade) => grade > 0).toSorted((a, b) => b - a);
  const ideal = discounted(gains.slice(0, DEPTH));
  const found = ranking.slice(0, DEPTH).map((id) => relevance.get(id) ?? 0);
  return {
    ndcg: ideal === 0 ? 0 : discounted(found) / ideal,
    recall: gains.length === 0 ? 0 : found.filter((grade) => grade > 0).length / gains.length,
  };
}

function discounted(gains: readonly number[]): number {
  return gains.reduce((sum, gain, index) => sum + gain / Math.log2(index + 2), 0);
}

function readLines<Row>(file: string): Row[] {
  return readFileSync(join(DATA, file), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);
}

function readJudgements(): Map<number, Map<string, number>> {
  const judgements = new Map<number, Map<string, number>>();
  for (const line of readFileSync(join(DATA, "qrels.tsv"), "utf8").trimEnd().split("\n")) {
    const [query, document, grade] = line.split("\t");
    const relevance = judgements.get(Number(query)) ?? new Map<string, number>();
    judgements.set(Number(query), relevance.set(document ?? "", Number(grade)));
  }
  return judgements;
}

if (import.meta.main) {
  setLogLevel("warn");
  const measurements = await benchSearch();
  console.table(measurements.map(({ value, ...rest }) => ({ ...rest, value: Number(value.toPrecision(4)) })));
  if (measurements.some(({ holds }) => holds === false)) process.exitCode = 1;
}
