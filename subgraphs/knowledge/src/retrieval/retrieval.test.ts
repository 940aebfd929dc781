import { withTenant } from "@sba/platform/db";
import { aCaller } from "@sba/testkit/fixtures";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { afterEach, expect, test } from "vitest";
import { createCollection } from "../collection/collection.ts";
import { localEmbedder } from "../embedding/embedding.local.ts";
import { useEmbedder } from "../embedding/embedder.ts";
import { givenCollection, ingest } from "../testing.ts";
import { SEARCHES_AT_ONCE, searchKnowledge } from "./retrieval.ts";

const database = useDatabase();
afterEach(() => {
  useEmbedder(localEmbedder);
});

const handbook = [
  {
    externalId: "leave",
    title: "Leave",
    text: "Everyone has thirty days of paid leave a year.",
    uri: "https://a.example/leave",
  },
  {
    externalId: "travel",
    title: "Travel",
    text: "Trains are booked in second class. Flights need the approval of your manager.",
  },
  { externalId: "pay", title: "Pay", text: "Salaries are paid at the end of each month." },
];

test("finds the document that answers, with its best passage", async () => {
  const caller = aCaller();
  await givenCollection(caller, handbook);
  const hits = await searchKnowledge(caller, { query: "How many days of leave do I have?", topK: 10 });
  expect(hits).toHaveLength(1);
  expect(hits[0]).toMatchObject({
    rank: 1,
    chunk: { text: handbook[0]?.text },
    document: { title: "Leave", externalId: "leave", uri: "https://a.example/leave" },
  });
  expect(hits[0]?.score).toBeGreaterThan(0.7);
  expect(hits[0]?.score).toBeLessThanOrEqual(1);
});

test("asks one statement for all that is found", async () => {
  const caller = aCaller();
  await givenCollection(caller, handbook);
  const { statements } = await countStatements(() =>
    searchKnowledge(caller, { query: "paid days, trains and flights", topK: 10 }),
  );
  expect(statements).toHaveLength(1);
});

test("finds by other forms of a word, and by a word that is misspelt", async () => {
  const caller = aCaller();
  await givenCollection(caller, handbook);
  const first = async (query: string) => (await searchKnowledge(caller, { query, topK: 1 }))[0]?.document.title;
  expect(await first("booking a flight")).toBe("Travel");
  expect(await first("salarys")).toBe("Pay");
  expect(await first("managment")).toBe("Travel");
});

test("ranks what is rare and dense before what is common and long", async () => {
  const caller = aCaller();
  const filler = Array.from({ length: 20 }, (_, index) => ({
    title: `Note ${index}`,
    text: `The project meets on day ${index} to talk about the project.`,
  }));
  await givenCollection(caller, [
    ...filler,
    { title: "Short", text: "The zephyr project." },
    { title: "Long", text: `The zephyr project. ${"Nothing else is said here. ".repeat(40)}` },
  ]);
  const hits = await searchKnowledge(caller, { query: "zephyr project", topK: 3 });
  expect(hits.slice(0, 2).map(({ document }) => document.title)).toEqual(["Short", "Long"]);
  expect(hits.map(({ rank }) => rank)).toEqual([1, 2, 3]);
  expect(hits.map(({ score }) => score)).toEqual(hits.map(({ score }) => score).toSorted((a, b) => b - a));
});

test("shows a long document once", async () => {
  const caller = aCaller();
  await givenCollection(caller, [
    { title: "Long", text: "The zephyr blows again. ".repeat(500) },
    { title: "Other", text: "A zephyr too." },
  ]);
  const hits = await searchKnowledge(caller, { query: "zephyr", topK: 10 });
  expect(hits.map(({ document }) => document.title).toSorted()).toEqual(["Long", "Other"]);
});

test("finds every document that is wanted, however many passages of another are better", async () => {
  const caller = aCaller();
  const long = ["One", "Two"].map((title) => ({ title, text: "The zephyr blows. A zephyr again. ".repeat(800) }));
  const short = ["Three", "Four", "Five"].map((title) => ({ title, text: `In ${title} it was mentioned: a zephyr.` }));
  await givenCollection(caller, [...long, ...short]);
  const hits = await searchKnowledge(caller, { query: "zephyr", topK: 5 });
  expect(hits.map(({ document }) => document.title).toSorted()).toEqual(["Five", "Four", "One", "Three", "Two"]);
});

test("searches the collections that are named, or all of them", async () => {
  const caller = aCaller();
  const one = await givenCollection(caller, [{ title: "One", text: "A zephyr." }]);
  const two = await givenCollection(caller, [{ title: "Two", text: "A zephyr." }]);
  const titles = async (collectionIds?: string[]) =>
    (await searchKnowledge(caller, { query: "zephyr", topK: 10, collectionIds }))
      .map(({ document }) => document.title)
      .toSorted();
  expect(await titles()).toEqual(["One", "Two"]);
  expect(await titles([])).toEqual(["One", "Two"]);
  expect(await titles([two.id])).toEqual(["Two"]);
  expect(await titles([two.id, one.id, one.id])).toEqual(["One", "Two"]);
});

test("shows nothing of another tenant, whose collections do not exist", async () => {
  const theirs = await givenCollection(aCaller(), handbook);
  const caller = aCaller();
  expect(await searchKnowledge(caller, { query: "leave", topK: 10 })).toEqual([]);
  await givenCollection(caller, [{ title: "Mine", text: "My own leave." }]);
  expect((await searchKnowledge(caller, { query: "leave", topK: 10 })).map(({ document }) => document.title)).toEqual([
    "Mine",
  ]);
  await expect(searchKnowledge(caller, { query: "leave", topK: 10, collectionIds: [theirs.id] })).rejects.toMatchObject(
    { code: "KNOWLEDGE_COLLECTION_NOT_FOUND" },
  );
});

test("finds nothing where nothing is, and for words that nobody wrote", async () => {
  const caller = aCaller();
  await createCollection(caller, { name: "Empty" });
  expect(await searchKnowledge(caller, { query: "leave", topK: 10 })).toEqual([]);
  await givenCollection(caller, handbook);
  for (const query of ["xylophone quartet", "the and of", "?!", "🙂"])
    expect(await searchKnowledge(caller, { query, topK: 10 })).toEqual([]);
});

test("takes a query for words, never for syntax", async () => {
  const caller = aCaller();
  await givenCollection(caller, handbook);
  for (const query of [
    "'; DROP TABLE knowledge.chunk; --",
    "leave & | ! <-> :*",
    "{leave}",
    "\\leave\\",
    '"leave"',
    "leave\u0000",
    "leave\ud800",
  ]) {
    await expect(searchKnowledge(caller, { query, topK: 5 })).resolves.toBeInstanceOf(Array);
  }
  expect(await searchKnowledge(caller, { query: "leave", topK: 5 })).toHaveLength(1);
});

test("refuses an empty or endless query, a topK out of range and a caller without the permission", async () => {
  const caller = aCaller();
  const valid = { query: "leave", topK: 10 };
  for (const input of [
    { ...valid, query: " " },
    { ...valid, query: "x".repeat(4_001) },
    { ...valid, topK: 0 },
    { ...valid, topK: 101 },
    { ...valid, topK: 1.5 },
  ]) {
    await expect(searchKnowledge(caller, input)).rejects.toMatchObject({
      code: "KNOWLEDGE_QUERY_INVALID",
      kind: "invalid_input",
    });
  }
  await expect(searchKnowledge(aCaller({ permissions: ["knowledge:write"] }), valid)).rejects.toMatchObject({
    code: "PERMISSION_MISSING",
  });
});

test("answers a query of four thousand characters", async () => {
  const caller = aCaller();
  await givenCollection(caller, handbook);
  const query = `leave ${Array.from({ length: 700 }, (_, index) => `w${index}`).join(" ")}`.slice(0, 4_000);
  expect((await searchKnowledge(caller, { query, topK: 5 }))[0]?.document.title).toBe("Leave");
});

test("goes by words alone while the embedding model is away", async () => {
  const caller = aCaller();
  await givenCollection(caller, handbook);
  useEmbedder({ ...localEmbedder, embed: () => Promise.reject(new Error("away")) });
  expect(
    (await searchKnowledge(caller, { query: "leave", topK: 5 })).map(({ document, score }) => [document.title, score]),
  ).toEqual([["Leave", 1]]);
});

test("finds chunks of another model by their words, and indexes them anew when they are added again", async () => {
  const caller = aCaller();
  const { id } = await givenCollection(caller, handbook);
  useEmbedder({ ...localEmbedder, model: "another" });
  const before = await searchKnowledge(caller, { query: "leave", topK: 5 });
  expect(before.map(({ document }) => document.title)).toEqual(["Leave"]);
  await ingest(caller, id, handbook);
  const after = await searchKnowledge(caller, { query: "leave", topK: 5 });
  expect(after[0]?.score).toBeGreaterThan(before[0]?.score ?? 1);
});

test("fuses meaning in: a model's vectors find what shares no word", async () => {
  const caller = aCaller();
  // A model that knows two subjects.
  const embed = (texts: readonly string[]) =>
    Promise.resolve(texts.map((text) => Float32Array.from(/leave|vacation/i.test(text) ? [1, 0, 0, 0] : [0, 1, 0, 0])));
  useEmbedder({ model: "subjects", weight: 0.5, similarityFloor: 0, embed });
  await givenCollection(caller, handbook);
  expect((await searchKnowledge(caller, { query: "vacation", topK: 5 })).map(({ document }) => document.title)).toEqual(
    ["Leave"],
  );
});

test("searches as often at once as there are processors, and in the order of asking", async () => {
  const caller = aCaller();
  await givenCollection(caller, handbook);
  const { owner } = database();
  const asked = Array.from({ length: SEARCHES_AT_ONCE + 3 });
  // Connections for all of them, so that only the limit can hold one back.
  await Promise.all(asked.map(() => withTenant(caller, (tx) => tx.sql`SELECT pg_sleep(0.05)`)));
  await owner.query("BEGIN; LOCK TABLE knowledge.posting IN ACCESS EXCLUSIVE MODE");
  const answers = asked.map(() => searchKnowledge(caller, { query: "leave", topK: 1 }));
  try {
    const waiting = async (): Promise<number> => {
      const { rows } = await owner.query<{ count: number }>(
        "SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
      );
      return rows[0]?.count ?? 0;
    };
    await eventually(async () => (await waiting()) === SEARCHES_AT_ONCE);
    for (let look = 0; look < 20; look++) expect(await waiting()).toBe(SEARCHES_AT_ONCE);
  } finally {
    await owner.query("COMMIT");
  }
  expect((await Promise.all(answers)).map((hits) => hits[0]?.document.title)).toEqual(answers.map(() => "Leave"));
});
