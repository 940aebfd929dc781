import type { Caller } from "@sba/platform/caller";
import { readEvents } from "@sba/platform/events";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, test } from "vitest";
import { createCollection, getCollection } from "../collection/collection.ts";
import { listDocuments, type Document } from "../document/document.ts";
import { ingestionStream } from "../events.ts";
import { searchKnowledge } from "../retrieval/retrieval.ts";
import { consistentIndex, describeIndex, givenCollection, ingest } from "../testing.ts";
import { addDocuments, getIngestion } from "./ingestion.ts";
import { runIngestion } from "./run-ingestion.ts";
import { MAX_TEXT_BYTES, type DocumentInput } from "./submission.ts";

const database = useDatabase();
const { signal } = new AbortController();

async function documentsOf(caller: Caller, collectionId: string): Promise<readonly Document[]> {
  return (await listDocuments(caller, collectionId, { first: 100 })).items;
}

async function found(caller: Caller, query: string): Promise<string[]> {
  return (await searchKnowledge(caller, { query, topK: 20 })).map(({ document }) => document.title);
}

async function chunksMetered(caller: Caller): Promise<bigint> {
  const { rows } = await database().owner.query<{ total: string }>(
    "SELECT coalesce(sum(quantity), 0) AS total FROM billing.usage_record WHERE tenant_id = $1 AND meter = 'knowledge.chunksIndexed'",
    [caller.tenantId],
  );
  return BigInt(rows[0]?.total ?? 0);
}

const travel: DocumentInput = { title: "Travel", text: "By train." };
const leave: DocumentInput = { externalId: "leave", title: "Leave", text: "Everyone has thirty days of paid leave." };

describe("accepting", () => {
  test("refuses what cannot be ingested, and stores nothing of it", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const add = (...documents: DocumentInput[]) => addDocuments(caller, { collectionId, documents });
    await expect(add()).rejects.toMatchObject({ code: "KNOWLEDGE_DOCUMENTS_MISSING" });
    await expect(add(...Array.from({ length: 101 }, () => leave))).rejects.toMatchObject({
      code: "KNOWLEDGE_DOCUMENTS_TOO_MANY",
      kind: "invalid_input",
    });
    await expect(add(leave, { title: "x", text: "é".repeat(MAX_TEXT_BYTES / 2 + 1) })).rejects.toMatchObject({
      code: "KNOWLEDGE_DOCUMENT_TOO_LARGE",
      kind: "payload_too_large",
      details: { index: 1 },
    });
    await expect(add({ ...leave, mediaType: "application/pdf" })).rejects.toMatchObject({
      code: "KNOWLEDGE_MEDIA_TYPE_UNKNOWN",
    });
    await expect(add({ ...leave, externalId: " " })).rejects.toMatchObject({
      code: "KNOWLEDGE_DOCUMENT_LABEL_INVALID",
    });
    await expect(add({ ...leave, title: "x".repeat(501) })).rejects.toMatchObject({
      code: "KNOWLEDGE_DOCUMENT_TITLE_TOO_LONG",
    });
    for (const uri of [
      "javascript:alert(1)",
      "data:text/html,x",
      "JavaScript:x",
      "file:///etc/passwd",
      "/leave",
      "leave",
    ]) {
      await expect(add(leave, { ...travel, uri })).rejects.toMatchObject({
        code: "KNOWLEDGE_DOCUMENT_URI_INVALID",
        kind: "invalid_input",
        details: { index: 1 },
      });
    }
    expect(await documentsOf(caller, collectionId)).toEqual([]);
  });

  test("takes a URI that people can follow", async () => {
    const caller = aCaller();
    const uris = [
      "https://a.example/leave#days",
      "http://intranet/leave",
      "s3://bucket/leave.md",
      "urn:isbn:0451450523",
    ];
    const documents = uris.map((uri) => ({ ...leave, externalId: uri, uri }));
    const { id } = await givenCollection(caller, documents);
    expect((await documentsOf(caller, id)).map(({ uri }) => uri).toSorted()).toEqual(uris.toSorted());
  });

  test("knows neither an unknown collection nor another tenant's", async () => {
    const { id } = await createCollection(aCaller(), { name: "Theirs" });
    for (const collectionId of [id, aCaller().tenantId]) {
      await expect(addDocuments(aCaller(), { collectionId, documents: [leave] })).rejects.toMatchObject({
        code: "KNOWLEDGE_COLLECTION_NOT_FOUND",
      });
    }
  });

  test("needs the permission to write", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    await expect(
      addDocuments(aColleagueOf(caller, ["knowledge:read"]), { collectionId, documents: [leave] }),
    ).rejects.toMatchObject({ code: "PERMISSION_MISSING" });
  });

  test("accepts documents once for one key", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const input = { collectionId, documents: [leave], idempotencyKey: "k" };
    const [first, second] = await Promise.all([addDocuments(caller, input), addDocuments(caller, input)]);
    expect(second.id).toBe(first.id);
    await expect(addDocuments(caller, { ...input, documents: [{ ...leave, text: "Other." }] })).rejects.toMatchObject({
      code: "IDEMPOTENCY_KEY_REUSED",
    });
    expect(await documentsOf(caller, collectionId)).toMatchObject([{ revision: 1, status: "PENDING" }]);
  });
});

describe("ingesting", () => {
  test("makes documents searchable, counts and meters them", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const [ingestion] = await ingest(caller, collectionId, [
      leave,
      { title: "Travel", text: "# Trains\n\nBooked in *second* class.", mediaType: "text/markdown" },
      {
        title: "Pay",
        text: "<h1>Pay</h1><p>Paid monthly.</p>",
        mediaType: "text/html; charset=utf-8",
        uri: "https://a.example/pay",
      },
    ]);
    expect(ingestion).toMatchObject({
      status: "COMPLETED",
      documentsTotal: 3,
      documentsReady: 3,
      documentsFailed: 0,
      failures: [],
    });
    expect(await found(caller, "monthly pay")).toEqual(["Pay"]);
    expect(await getCollection(caller, collectionId)).toMatchObject({ documentCount: 3, chunkCount: 3 });
    expect(await chunksMetered(caller)).toBe(3n);
    expect(await describeIndex(caller)).toEqual(consistentIndex(3));
  });

  test("writes contiguous events from created to ended", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const documents = Array.from({ length: 60 }, (_, index) => ({
      externalId: `d${index}`,
      title: `Document ${index}`,
      text: `Text of number ${index}.`,
    }));
    const [ingestion] = await ingest(caller, collectionId, documents);
    const events = await readEvents(caller, ingestionStream(ingestion?.id ?? ""), { after: 0, first: 100 });
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    expect(events[0]).toMatchObject({
      type: "knowledge.ingestion.created",
      payload: { ingestion: { status: "PENDING", documentsTotal: 60 } },
    });
    expect(events.slice(1, -1).every(({ type }) => type === "knowledge.ingestion.progressed")).toBe(true);
    expect(events.length).toBeGreaterThan(2);
    expect(events.at(-1)).toMatchObject({
      type: "knowledge.ingestion.ended",
      payload: { ingestion: { status: "COMPLETED", documentsReady: 60 } },
    });
  });

  test("is READY without chunks and with a warning when there is no text", async () => {
    const caller = aCaller();
    const { id } = await givenCollection(caller, [
      { title: "", text: "" },
      { title: "Blank", text: "<p> </p>", mediaType: "text/html" },
    ]);
    const documents = await documentsOf(caller, id);
    expect(documents.map(({ status, chunkCount, warning }) => [status, chunkCount, warning])).toEqual([
      ["READY", 0, "The document holds no text."],
      ["READY", 0, "The document holds no text."],
    ]);
    expect(await chunksMetered(caller)).toBe(0n);
  });

  test("does nothing for a document that did not change, with or without an external id", async () => {
    const caller = aCaller();
    const nameless = { title: "Travel", text: "By train." };
    const { id } = await givenCollection(caller, [leave, nameless]);
    const before = await database().owner.query("SELECT id FROM knowledge.chunk WHERE tenant_id = $1 ORDER BY id", [
      caller.tenantId,
    ]);
    const updated = (await documentsOf(caller, id)).map(({ updatedAt }) => updatedAt);
    const [again] = await ingest(caller, id, [leave, nameless]);
    const after = await database().owner.query("SELECT id FROM knowledge.chunk WHERE tenant_id = $1 ORDER BY id", [
      caller.tenantId,
    ]);
    expect(again).toMatchObject({ status: "COMPLETED", documentsReady: 2 });
    expect(after.rows).toEqual(before.rows);
    expect(await chunksMetered(caller)).toBe(2n);
    expect((await documentsOf(caller, id)).map(({ updatedAt }) => updatedAt)).toEqual(updated);
  });

  test("replaces the chunks of a document that changed", async () => {
    const caller = aCaller();
    const { id } = await givenCollection(caller, [leave]);
    await ingest(caller, id, [{ ...leave, title: "Holidays", text: "There are forty days of vacation now." }]);
    expect(await found(caller, "thirty leave")).toEqual([]);
    expect(await found(caller, "forty vacation")).toEqual(["Holidays"]);
    expect(await describeIndex(caller)).toEqual(consistentIndex(1));
    expect(await documentsOf(caller, id)).toMatchObject([
      { externalId: "leave", title: "Holidays", chunkCount: 1, revision: 2 },
    ]);
  });

  test("never lets an older version overwrite a newer one", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const older = await addDocuments(caller, { collectionId, documents: [leave] });
    const newer = await addDocuments(caller, { collectionId, documents: [{ ...leave, text: "Forty days." }] });
    await runIngestion(caller, { ingestionId: newer.id }, { signal });
    await runIngestion(caller, { ingestionId: older.id }, { signal });
    expect(await found(caller, "forty")).toEqual(["Leave"]);
    expect(await found(caller, "thirty")).toEqual([]);
    expect(await getIngestion(caller, older.id)).toMatchObject({ status: "COMPLETED", documentsReady: 1 });
    expect(await chunksMetered(caller)).toBe(1n);
  });

  test("keeps the last of two versions in one call", async () => {
    const caller = aCaller();
    const { id } = await givenCollection(caller, [leave, { ...leave, text: "Forty days." }]);
    expect(await documentsOf(caller, id)).toMatchObject([{ status: "READY", revision: 2, indexedRevision: 2 }]);
    expect(await chunksMetered(caller)).toBe(1n);
    expect(await found(caller, "forty")).toEqual(["Leave"]);
  });

  test("adds a document once when it is given twice at once", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const others = Array.from({ length: 20 }, (_, index) => ({
      externalId: `d${index}`,
      title: `D${index}`,
      text: `Text ${index}.`,
    }));
    await Promise.all([
      ingest(caller, collectionId, [leave, ...others]),
      ingest(caller, collectionId, [...others.toReversed(), leave]),
    ]);
    expect(await getCollection(caller, collectionId)).toMatchObject({ documentCount: 21, chunkCount: 21 });
    expect(await describeIndex(caller)).toEqual(consistentIndex(21));
    expect(await chunksMetered(caller)).toBe(21n);
  });

  test("is not done twice by two workers at once", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const documents = Array.from({ length: 70 }, (_, index) => ({
      externalId: `d${index}`,
      title: `D${index}`,
      text: `Text ${index}.`,
    }));
    const { id: ingestionId } = await addDocuments(caller, { collectionId, documents });
    await Promise.all([1, 2, 3].map(() => runIngestion(caller, { ingestionId }, { signal })));
    expect(await getIngestion(caller, ingestionId)).toMatchObject({ status: "COMPLETED", documentsReady: 70 });
    expect(await describeIndex(caller)).toEqual(consistentIndex(70));
    expect(await chunksMetered(caller)).toBe(70n);
    const events = await readEvents(caller, ingestionStream(ingestionId), { after: 0, first: 100 });
    expect(events.filter(({ type }) => type === "knowledge.ingestion.ended")).toHaveLength(1);
  });

  test("searchers see the old text or the new one, never neither", async () => {
    const caller = aCaller();
    const { id } = await givenCollection(caller, [leave]);
    let isDone = false;
    const misses: number[] = [];
    const search = async (): Promise<void> => {
      for (let round = 0; !isDone; round++) if ((await found(caller, "days")).length !== 1) misses.push(round);
    };
    const change = async (): Promise<void> => {
      for (let round = 0; round < 15; round++)
        await ingest(caller, id, [{ ...leave, text: `In version ${round} it is ${round} days.` }]);
      isDone = true;
    };
    await Promise.all([change(), search(), search()]);
    expect(misses).toEqual([]);
  });

  test("takes a document of one mebibyte", async () => {
    const caller = aCaller();
    const text =
      Array.from({ length: 30_000 }, (_, index) => `Sentence ${index} about subject ${index % 977}. `)
        .join("")
        .slice(0, MAX_TEXT_BYTES - 20) + " zanzibar";
    const { id } = await givenCollection(caller, [{ title: "Long", text }]);
    const [document] = await documentsOf(caller, id);
    expect(document?.chunkCount).toBeGreaterThan(600);
    const [hit] = await searchKnowledge(caller, { query: "zanzibar", topK: 1 });
    expect(hit?.chunk.text).toMatch(/zanzibar$/);
  });

  test("finds what was written in any script", async () => {
    const caller = aCaller();
    await givenCollection(caller, [
      { title: "ja", text: "航空機の翼について説明します。" },
      { title: "ru", text: "Самолёт летит высоко." },
      { title: "ar", text: "الطائرة تطير عاليا" },
      { title: "emoji 🛩️", text: "👩‍✈️ pilots\u0000 and \ud800 surrogates" },
    ]);
    expect(await found(caller, "航空機")).toEqual(["ja"]);
    expect(await found(caller, "самолёт")).toEqual(["ru"]);
    expect(await found(caller, "الطائرة")).toEqual(["ar"]);
    expect(await found(caller, "pilots surrogates")).toEqual(["emoji 🛩️"]);
  });
});
