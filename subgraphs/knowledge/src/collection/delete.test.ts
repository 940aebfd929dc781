import type { Caller } from "@sba/platform/caller";
import { readEvents } from "@sba/platform/events";
import { encodeId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, test } from "vitest";
import { findChunks, findDocuments, listDocuments } from "../document/document.ts";
import { removeDocuments } from "../document/remove.ts";
import { collectionStream, ingestionStream } from "../events.ts";
import { addDocuments } from "../ingestion/ingestion.ts";
import { takeLease } from "../ingestion/lease.ts";
import { commitSources } from "../ingestion/commit.ts";
import { runIngestion } from "../ingestion/run-ingestion.ts";
import { searchKnowledge } from "../retrieval/retrieval.ts";
import { givenCollection } from "../testing.ts";
import { deleteCollection, findCollections, listCollections } from "./collection.ts";
import { purgeRemoved } from "./purge.ts";

const database = useDatabase();
const { signal } = new AbortController();

const leave = { externalId: "leave", title: "Leave", text: "Everyone has thirty days of paid leave." };
const TABLES = ["collection", "document", "ingestion", "source", "chunk", "posting", "embedding"];

async function rowsOf(caller: Caller): Promise<Record<string, number>> {
  const counts = TABLES.map(
    (table) => `(SELECT count(*)::int FROM knowledge.${table} WHERE tenant_id = $1) AS ${table}`,
  );
  const { rows } = await database().owner.query<Record<string, number>>(`SELECT ${counts.join(", ")}`, [
    caller.tenantId,
  ]);
  return rows[0]!;
}
const nothing = Object.fromEntries(TABLES.map((table) => [table, 0]));

describe("deleting a collection", () => {
  test("takes it and its documents from everywhere at once", async () => {
    const caller = aCaller();
    const { id } = await givenCollection(caller, [leave]);
    const kept = await givenCollection(caller, [{ ...leave, title: "Kept" }]);
    const [document] = (await listDocuments(caller, id, { first: 1 })).items;
    const hits = await searchKnowledge(caller, { query: "paid leave", topK: 5, collectionIds: [id] });
    await deleteCollection(caller, id);
    expect((await searchKnowledge(caller, { query: "paid leave", topK: 5 })).map((hit) => hit.document.title)).toEqual([
      "Kept",
    ]);
    await expect(searchKnowledge(caller, { query: "paid leave", topK: 5, collectionIds: [id] })).rejects.toMatchObject({
      code: "KNOWLEDGE_COLLECTION_NOT_FOUND",
    });
    expect(await findCollections(caller, [id])).toEqual([]);
    expect((await listCollections(caller, { first: 10 })).items.map((item) => item.id)).toEqual([kept.id]);
    expect(await findDocuments(caller, [document!.id])).toEqual([]);
    expect(await findChunks(caller, [hits[0]!.chunk.id])).toEqual([]);
    expect((await listDocuments(caller, id, { first: 10 })).items).toEqual([]);
    const documentIds = [document!.id];
    const refused = [
      () => addDocuments(caller, { collectionId: id, documents: [leave] }),
      () => removeDocuments(caller, { collectionId: id, documentIds }),
      () => deleteCollection(caller, id),
    ];
    for (const attempt of refused)
      await expect(attempt()).rejects.toMatchObject({ code: "KNOWLEDGE_COLLECTION_NOT_FOUND" });
  });

  test("is announced and audited", async () => {
    const caller = aCaller();
    const { id } = await givenCollection(caller, [leave]);
    await deleteCollection(caller, id);
    expect(await readEvents(caller, collectionStream(id), { after: 0, first: 10 })).toMatchObject([
      { seq: 1, type: "knowledge.collection.deleted", payload: { collectionId: id } },
    ]);
    const { rows } = await database().owner.query(
      "SELECT details FROM platform.audit_entry WHERE target = $1 AND action = 'knowledge.collection.deleted'",
      [encodeId("Collection", id)],
    );
    expect(rows).toEqual([{ details: { name: "Handbook", documents: 1 } }]);
  });

  test("is for who may write, in the same tenant", async () => {
    const caller = aCaller();
    const { id } = await givenCollection(caller, [leave]);
    await expect(deleteCollection(aColleagueOf(caller, ["knowledge:read"]), id)).rejects.toMatchObject({
      code: "PERMISSION_MISSING",
    });
    await expect(deleteCollection(aCaller(), id)).rejects.toMatchObject({ code: "KNOWLEDGE_COLLECTION_NOT_FOUND" });
    expect(await findCollections(caller, [id])).toHaveLength(1);
  });

  test("leaves no row behind once it is purged, of however many documents, and touches no other tenant's", async () => {
    const [caller, other] = [aCaller(), aCaller()];
    const documents = Array.from({ length: 230 }, (_, index) => ({ title: `D${index}`, text: `Text ${index}.` }));
    const { id } = await givenCollection(caller, documents);
    await givenCollection(other, [leave]);
    const before = await rowsOf(other);
    await deleteCollection(caller, id);
    await Promise.all([purgeRemoved(signal), purgeRemoved(signal)]);
    await purgeRemoved(signal);
    expect(await rowsOf(caller)).toEqual(nothing);
    expect(await rowsOf(other)).toEqual(before);
    expect(await purgeRemoved(signal)).toBe(0);
  });

  test("ends its ingestions, and a worker that is at one commits nothing more", async () => {
    const caller = aCaller();
    const { id: collectionId } = await givenCollection(caller, [leave]);
    const documents = [leave, { title: "Travel", text: "By train." }];
    const { id: ingestionId } = await addDocuments(caller, { collectionId, documents });
    const leased = (await takeLease(caller, ingestionId))!;
    await deleteCollection(caller, collectionId);
    await purgeRemoved(signal);
    await expect(commitSources(caller, leased, [])).rejects.toMatchObject({ code: "KNOWLEDGE_INGESTION_LEASE_LOST" });
    expect((await readEvents(caller, ingestionStream(ingestionId), { after: 0, first: 10 })).at(-1)).toMatchObject({
      type: "knowledge.ingestion.ended",
      payload: {
        ingestion: {
          status: "FAILED",
          documentsFailed: 2,
          failures: [{ title: "Leave", message: "The collection was deleted." }, { title: "Travel" }],
        },
      },
    });
    expect(await rowsOf(caller)).toEqual(nothing);
  });

  test("begins no ingestion of it any more", async () => {
    const caller = aCaller();
    const { id: collectionId } = await givenCollection(caller, []);
    const { id: ingestionId } = await addDocuments(caller, { collectionId, documents: [leave] });
    await deleteCollection(caller, collectionId);
    await runIngestion(caller, { ingestionId }, { signal });
    expect(await rowsOf(caller)).toMatchObject({ chunk: 0 });
  });
});
