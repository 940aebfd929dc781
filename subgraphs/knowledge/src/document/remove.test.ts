import type { Caller } from "@sba/platform/caller";
import { readEvents } from "@sba/platform/events";
import { encodeId, newId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, test } from "vitest";
import { createCollection, getCollection } from "../collection/collection.ts";
import { purgeRemoved } from "../collection/purge.ts";
import { collectionStream } from "../events.ts";
import { addDocuments, getIngestion } from "../ingestion/ingestion.ts";
import { runIngestion } from "../ingestion/run-ingestion.ts";
import { searchKnowledge } from "../retrieval/retrieval.ts";
import { consistentIndex, describeIndex, givenCollection, ingest } from "../testing.ts";
import { findChunks, findDocuments, listChunks, listDocuments } from "./document.ts";
import { removeDocuments } from "./remove.ts";

const database = useDatabase();
const { signal } = new AbortController();

const leave = { externalId: "leave", title: "Leave", text: "Everyone has thirty days of paid leave." };
const travel = { externalId: "travel", title: "Travel", text: "Trains are booked in second class." };

async function found(caller: Caller, query: string): Promise<string[]> {
  return (await searchKnowledge(caller, { query, topK: 20 })).map(({ document }) => document.title);
}

async function titlesOf(caller: Caller, collectionId: string): Promise<string[]> {
  return (await listDocuments(caller, collectionId, { first: 100 })).items.map(({ title }) => title).toSorted();
}

async function documentId(caller: Caller, collectionId: string, title: string): Promise<string> {
  const { items } = await listDocuments(caller, collectionId, { first: 100 });
  return items.find((document) => document.title === title)!.id;
}

/** The rows that a table still has of the tenant. */
async function rowsIn(caller: Caller, table: string): Promise<number> {
  const { rows } = await database().owner.query<{ rows: number }>(
    `SELECT count(*)::int AS rows FROM knowledge.${table} WHERE tenant_id = $1`,
    [caller.tenantId],
  );
  return rows[0]!.rows;
}

describe("removing documents", () => {
  test("takes them from searches, lists and counts at once, and leaves the others", async () => {
    const caller = aCaller();
    const { id: collectionId } = await givenCollection(caller, [leave, travel]);
    const id = await documentId(caller, collectionId, "Leave");
    const [hit] = await searchKnowledge(caller, { query: "paid leave", topK: 1 });
    expect(await removeDocuments(caller, { collectionId, documentIds: [id] })).toEqual([id]);
    expect(await found(caller, "paid leave")).toEqual([]);
    expect(await found(caller, "trains")).toEqual(["Travel"]);
    expect(await titlesOf(caller, collectionId)).toEqual(["Travel"]);
    expect(await findDocuments(caller, [id])).toEqual([]);
    expect(await findChunks(caller, [hit!.chunk.id])).toEqual([]);
    expect((await listChunks(caller, id, { first: 10, after: 0 })).items).toEqual([]);
    expect(await getCollection(caller, collectionId)).toMatchObject({ documentCount: 1, chunkCount: 1 });
    expect(await describeIndex(caller)).toEqual(consistentIndex(1));
  });

  test("is announced and audited, and harmless twice", async () => {
    const caller = aCaller();
    const { id: collectionId } = await givenCollection(caller, [leave, travel]);
    const { items } = await listDocuments(caller, collectionId, { first: 2 });
    const documentIds = items.map(({ id }) => id);
    expect((await removeDocuments(caller, { collectionId, documentIds })).toSorted()).toEqual(documentIds.toSorted());
    expect(await removeDocuments(caller, { collectionId, documentIds })).toEqual([]);
    const events = await readEvents(caller, collectionStream(collectionId), { after: 0, first: 10 });
    expect(events).toMatchObject([{ seq: 1, type: "knowledge.documents.removed", payload: { collectionId } }]);
    expect((events[0]!.payload as { documentIds: string[] }).documentIds.toSorted()).toEqual(documentIds.toSorted());
    const { rows } = await database().owner.query(
      "SELECT action FROM platform.audit_entry WHERE target = $1 ORDER BY id",
      [encodeId("Collection", collectionId)],
    );
    expect(rows.map(({ action }: { action: string }) => action)).toEqual([
      "knowledge.collection.created",
      "knowledge.documents.added",
      "knowledge.documents.removed",
    ]);
    expect(await getCollection(caller, collectionId)).toMatchObject({ documentCount: 0, chunkCount: 0 });
  });

  test("touches nothing of another collection or tenant, and needs the permission", async () => {
    const caller = aCaller();
    const { id: collectionId } = await givenCollection(caller, [leave]);
    const other = await givenCollection(caller, [travel]);
    const documentIds = [await documentId(caller, other.id, "Travel"), newId()];
    expect(await removeDocuments(caller, { collectionId, documentIds })).toEqual([]);
    await expect(removeDocuments(aCaller(), { collectionId, documentIds })).rejects.toMatchObject({
      code: "KNOWLEDGE_COLLECTION_NOT_FOUND",
    });
    const reader = aColleagueOf(caller, ["knowledge:read"]);
    await expect(removeDocuments(reader, { collectionId, documentIds })).rejects.toMatchObject({
      code: "PERMISSION_MISSING",
    });
    expect(await found(caller, "trains paid leave")).toHaveLength(2);
  });

  test("takes 1 to 100 at a time", async () => {
    const caller = aCaller();
    const { id: collectionId } = await createCollection(caller, { name: "Handbook" });
    const remove = (documentIds: string[]) => removeDocuments(caller, { collectionId, documentIds });
    await expect(remove([])).rejects.toMatchObject({ code: "KNOWLEDGE_DOCUMENTS_MISSING" });
    await expect(remove(Array.from({ length: 101 }, () => newId()))).rejects.toMatchObject({
      code: "KNOWLEDGE_DOCUMENTS_TOO_MANY",
    });
  });

  test("frees the external id: what is added under it again is another document", async () => {
    const caller = aCaller();
    const { id: collectionId } = await givenCollection(caller, [leave]);
    const id = await documentId(caller, collectionId, "Leave");
    await removeDocuments(caller, { collectionId, documentIds: [id] });
    await ingest(caller, collectionId, [leave]);
    expect(await found(caller, "paid leave")).toEqual(["Leave"]);
    expect(await documentId(caller, collectionId, "Leave")).not.toBe(id);
    expect(await getCollection(caller, collectionId)).toMatchObject({ documentCount: 1, chunkCount: 1 });
  });

  test("brings what is still being ingested of them to nothing, and the ingestion to its end", async () => {
    const caller = aCaller();
    const { id: collectionId } = await givenCollection(caller, [leave]);
    const documents = [{ ...leave, text: "Forty days now." }, travel];
    const { id: ingestionId } = await addDocuments(caller, { collectionId, documents });
    const id = await documentId(caller, collectionId, "Leave");
    await removeDocuments(caller, { collectionId, documentIds: [id] });
    await purgeRemoved(signal);
    await runIngestion(caller, { ingestionId }, { signal });
    expect(await getIngestion(caller, ingestionId)).toMatchObject({ status: "COMPLETED", documentsReady: 2 });
    expect(await found(caller, "forty days")).toEqual([]);
    expect(await titlesOf(caller, collectionId)).toEqual(["Travel"]);
    expect(await describeIndex(caller)).toEqual(consistentIndex(1));
    await purgeRemoved(signal);
    expect(await rowsIn(caller, "document")).toBe(1);
  });

  test("leaves nothing behind once it is purged", async () => {
    const caller = aCaller();
    const { id: collectionId } = await givenCollection(caller, [leave, travel]);
    const id = await documentId(caller, collectionId, "Leave");
    await removeDocuments(caller, { collectionId, documentIds: [id] });
    await Promise.all([purgeRemoved(signal), purgeRemoved(signal)]);
    for (const table of ["document", "source", "chunk", "embedding"]) expect(await rowsIn(caller, table)).toBe(1);
    expect(await found(caller, "trains")).toEqual(["Travel"]);
  });

  test("while the same documents are ingested, leaves an index that agrees with itself", async () => {
    const caller = aCaller();
    const documents = Array.from({ length: 20 }, (_, index) => ({
      externalId: `d${index}`,
      title: `D${index}`,
      text: `Text ${index}.`,
    }));
    const { id: collectionId } = await givenCollection(caller, documents);
    const { items } = await listDocuments(caller, collectionId, { first: 100 });
    const documentIds = items.map(({ id }) => id);
    await Promise.all([
      ingest(
        caller,
        collectionId,
        documents.map((document) => ({ ...document, text: `${document.text} Changed.` })),
      ),
      removeDocuments(caller, { collectionId, documentIds: documentIds.slice(0, 10) }),
      removeDocuments(caller, { collectionId, documentIds: documentIds.slice(5).toReversed() }),
    ]);
    const left = await titlesOf(caller, collectionId);
    expect(await getCollection(caller, collectionId)).toMatchObject({
      documentCount: left.length,
      chunkCount: left.length,
    });
    expect(await describeIndex(caller)).toEqual(consistentIndex(left.length));
  });
});
