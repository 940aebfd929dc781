import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import type { SqlValue, Tx } from "@sba/platform/db";
import { withTenant } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { indexChunks, replaceChunks } from "../chunk/chunk-index.ts";
import { normalise, toArrayLiteral, toBits } from "../embedding/vector.ts";
import { readQuery, retrieve } from "./retrieval.ts";

/** The same contract of vector search for both of its kinds: signs and exact re-rank on plain Postgres, and pgvector. */

const database = useDatabase();
const MIGRATIONS = join(import.meta.dirname, "../../../../prisma/migrations");

type Query = (text: string, values?: unknown[]) => Promise<{ rows: Record<string, unknown>[] }>;

/** pgvector comes with no Postgres from npm; PGlite has it, in the process, and applies the same migrations. */
let lite: PGlite | undefined;
beforeAll(async () => {
  lite = await PGlite.create({ extensions: { vector } });
  const folders = readdirSync(MIGRATIONS)
    .filter((name) => /_(platform|knowledge)(_|$)/.test(name))
    .toSorted();
  for (const folder of folders) await lite.exec(readFileSync(join(MIGRATIONS, folder, "migration.sql"), "utf8"));
  // It compiles a whole Postgres from WebAssembly first.
}, 60_000);
afterAll(() => lite?.close());

const kinds: [string, Query, boolean][] = [
  ["native", (text, values) => database().owner.query(text, values), false],
  ["pgvector", (text, values) => lite?.query(text, values) ?? Promise.reject(new Error("not open")), true],
];

/** Numbers that look random and are the same every time (mulberry32). */
function vectorOf(seed: number, dimensions = 64): Float32Array {
  let state = seed;
  return normalise(
    Float32Array.from({ length: dimensions }, () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 31 - 1;
    }),
  );
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0);
}

describe.each(kinds)("%s", (_name, query, isExact) => {
  test("says which kind it is", async () => {
    const { rows } = await query(
      "SELECT prosrc FROM pg_proc WHERE proname = 'distance' AND pronamespace = 'knowledge'::regnamespace",
    );
    expect(String(rows[0]?.["prosrc"]).includes("bit_count")).toBe(!isExact);
  });

  test("similarity is the cosine of two vectors of length 1", async () => {
    for (const [a, b] of [
      [1, 1],
      [1, 2],
      [3, 9],
    ] as const) {
      const { rows } = await query("SELECT knowledge.similarity($1::real[], $2::real[]) AS similarity", [
        toArrayLiteral(vectorOf(a)),
        toArrayLiteral(vectorOf(b)),
      ]);
      expect(rows[0]?.["similarity"]).toBeCloseTo(dot(vectorOf(a), vectorOf(b)), 4);
    }
  });

  test("a distance suggests the similarity: exactly with pgvector, else as well as signs can", async () => {
    const question = vectorOf(77, 256);
    for (const noise of [0, 0.5, 1, 2, 8]) {
      const stored = normalise(vectorOf(500, 256).map((value, index) => noise * value + (question[index] ?? 0)));
      const { rows } = await query(
        "SELECT knowledge.likeness(knowledge.distance($1::text::varbit, $2::real[], $3::text::varbit, $4::real[]), 256) AS likeness",
        [toBits(stored), toArrayLiteral(stored), toBits(question), toArrayLiteral(question)],
      );
      const error = Math.abs(Number(rows[0]?.["likeness"]) - dot(stored, question));
      expect(error).toBeLessThan(isExact ? 0.000_1 : 0.15);
    }
  });

  test("the nearest of many are among the first by distance", async () => {
    const stored = Array.from({ length: 200 }, (_, index) => vectorOf(index));
    const question = normalise(vectorOf(77).map((value, index) => value + 0.3 * (vectorOf(500)[index] ?? 0)));
    const { rows } = await query(
      `
      SELECT id FROM unnest($1::int[], $2::text[], $3::text[]) AS stored (id, bits, vector)
      ORDER BY knowledge.distance(bits::varbit, vector::real[], $4::varbit, $5::real[]) LIMIT 50`,
      [
        stored.map((_, index) => index),
        stored.map(toBits),
        stored.map(toArrayLiteral),
        toBits(question),
        toArrayLiteral(question),
      ],
    );
    const exact = stored
      .map((vector, index) => ({ index, similarity: dot(vector, question) }))
      .toSorted((a, b) => b.similarity - a.similarity);
    const found = new Set(rows.map(({ id }) => id));
    expect(exact.slice(0, 5).filter(({ index }) => found.has(index))).toHaveLength(5);
    expect(rows[0]?.["id"]).toBe(77);
  });
});

describe("the whole search", () => {
  const texts = [
    "Thirty days of paid leave",
    "Salaries are paid monthly",
    "Trains are booked in second class",
    "Managers approve flights",
  ];
  const caller = aCaller();
  const collectionId = newId();

  /** The same rows and the same question, wherever the transaction leads. */
  async function search(tx: Tx): Promise<[string, string][]> {
    const { tenantId } = caller;
    await tx.sql`INSERT INTO knowledge.collection (tenant_id, id, name, chunk_count, term_count) VALUES (${tenantId}, ${collectionId}, 'Same', 4, 20)`;
    for (const text of texts) {
      const documentId = newId();
      await tx.sql`
        INSERT INTO knowledge.document (tenant_id, id, collection_id, identity, title, media_type, status, revision)
        VALUES (${tenantId}, ${documentId}, ${collectionId}, ${text}, ${text}, 'text/plain', 'READY', 1)`;
      const chunks = await indexChunks(text, [{ headings: [], text, start: 0 }], new AbortController().signal);
      await replaceChunks(tx, caller, collectionId, [{ documentId, chunks }]);
    }
    const hits = await retrieve(tx, await readQuery("managment of paid flights"), [collectionId], 10);
    return hits.map(({ title, score }) => [title, score.toFixed(4)]);
  }

  test("gives the same hits and scores with pgvector as without", async () => {
    const native = await withTenant(caller, search);
    expect(native.map(([title]) => title)).toContain(texts[3]);
    expect(await search(transactionOf(lite))).toEqual(native);
  });
});

/** PGlite as a transaction of the house: enough of it for the statements above. */
function transactionOf(database: PGlite | undefined): Tx {
  return {
    tenantId: null,
    afterCommit: () => undefined,
    gather: () => undefined,
    gatherFor: () => Promise.reject(new Error("nothing is gathered")),
    finish: (last) => last(),
    nested: (part) => part(),
    sql: async <Row extends object>(strings: TemplateStringsArray, ...values: readonly SqlValue[]) => {
      const text = strings.reduce((joined, piece, index) => `${joined}$${index}${piece}`);
      const { rows } = (await database?.query<Record<string, unknown>>(text, [...values], {
        parsers: { 20: BigInt },
      })) ?? { rows: [] };
      const camelCase = (name: string): string =>
        name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
      return rows.map(
        (row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [camelCase(name), value])) as Row,
      );
    },
  };
}
