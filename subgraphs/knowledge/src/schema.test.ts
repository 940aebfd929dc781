import { encodeId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { collectEvents, expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { expect, test } from "vitest";
import { advanceIngestion } from "./jobs.ts";
import { runIngestion } from "./ingestion/run-ingestion.ts";
import { addDocuments } from "./ingestion/ingestion.ts";
import { createCollection } from "./collection/collection.ts";
import { schema } from "./schema.ts";
import { givenCollection } from "./testing.ts";

const database = useDatabase();

const CREATE = `mutation CreateCollection($name: String!) { createCollection(input: { name: $name }) { id name documentCount } }`;
const ADD = `mutation AddDocuments($collectionId: ID!, $documents: [DocumentInput!]!, $idempotencyKey: String) {
  addDocuments(input: { collectionId: $collectionId, documents: $documents, idempotencyKey: $idempotencyKey }) {
    ingestion { id status documentsTotal documentsReady documentsFailed }
  } }`;
const EVENTS = `subscription IngestionEvents($ingestionId: ID!, $after: Cursor) {
  ingestionEvents(ingestionId: $ingestionId, after: $after) { cursor seq at gap { fromSeq toSeq cause } ingestion { id status documentsTotal documentsReady documentsFailed } } }`;
const SEARCH = `query SearchKnowledge($query: String!, $collectionIds: [ID!], $topK: Int = 10) {
  searchKnowledge(input: { query: $query, collectionIds: $collectionIds, topK: $topK }) {
    hits { score rank chunk { id text } document { id title externalId uri } } } }`;

const leave = { title: "Leave", text: "Thirty days of leave.", externalId: "leave" };

/** What the worker does with the job that the mutation asked for. */
async function work(caller: ReturnType<typeof aCaller>): Promise<void> {
  const { rows } = await database().owner.query<{ envelope: { payload: unknown } }>(
    "DELETE FROM platform.outbox WHERE tenant_id = $1 AND name = $2 RETURNING envelope",
    [caller.tenantId, advanceIngestion.name],
  );
  for (const { envelope } of rows)
    await runIngestion(caller, advanceIngestion.payload.parse(envelope.payload), {
      signal: new AbortController().signal,
    });
}

test("takes the operations of the contract from an empty collection to a hit", async () => {
  const caller = aCaller();
  const { createCollection } = await expectData(schema, caller, CREATE, { name: "Handbook" });
  expect(createCollection).toMatchObject({ name: "Handbook", documentCount: 0 });
  const { addDocuments } = await expectData(schema, caller, ADD, {
    collectionId: createCollection.id,
    documents: [leave, { title: "Travel", text: "By train." }],
  });
  expect(addDocuments.ingestion).toMatchObject({
    status: "PENDING",
    documentsTotal: 2,
    documentsReady: 0,
    documentsFailed: 0,
  });
  const live = collectEvents(schema, caller, EVENTS, { ingestionId: addDocuments.ingestion.id });
  await work(caller);
  const events = (await live).map(({ ingestionEvents }) => ingestionEvents);
  expect(events.map(({ seq, ingestion }) => [seq, ingestion.status, ingestion.documentsReady])).toEqual([
    [1, "PENDING", 0],
    [2, "COMPLETED", 2],
  ]);
  const resumed = await collectEvents(schema, caller, EVENTS, {
    ingestionId: addDocuments.ingestion.id,
    after: events[0].cursor,
  });
  expect(resumed.map(({ ingestionEvents }) => ingestionEvents)).toEqual([events[1]]);
  expect(events[1].gap).toBeNull();
  await database().owner.query("DELETE FROM platform.event WHERE tenant_id = $1 AND seq = 1", [caller.tenantId]);
  const [left] = await collectEvents(schema, caller, EVENTS, { ingestionId: addDocuments.ingestion.id });
  expect(left.ingestionEvents).toEqual({ ...events[1], gap: { fromSeq: 1, toSeq: 1, cause: "RETENTION" } });
  const { searchKnowledge } = await expectData(schema, caller, SEARCH, { query: "days of leave" });
  expect(searchKnowledge.hits).toMatchObject([
    { rank: 1, chunk: { text: "Thirty days of leave." }, document: { title: "Leave", externalId: "leave", uri: null } },
  ]);
});

test("shows collections, their documents and chunks, a page at a time", async () => {
  const caller = aCaller();
  const { id } = await givenCollection(caller, [
    leave,
    { title: "Long", text: "Words of wisdom. ".repeat(300) },
    { title: "Empty", text: "" },
  ]);
  const { collection, collections } = await expectData(
    schema,
    caller,
    `query ($id: ID!) {
    collections { edges { node { id name } } }
    collection(id: $id) { name documentCount createdAt documents(first: 2) { edges { node { title status warning chunkCount
      chunks(first: 1) { edges { node { number headings text } } pageInfo { hasNextPage endCursor } } } } pageInfo { hasNextPage endCursor } } } }`,
    { id: encodeId("Collection", id) },
  );
  expect(collections.edges).toMatchObject([{ node: { id: encodeId("Collection", id) } }]);
  expect(collection).toMatchObject({ documentCount: 3, documents: { pageInfo: { hasNextPage: true } } });
  const rest = await expectData(
    schema,
    caller,
    `query ($id: ID!, $after: Cursor) { collection(id: $id) { documents(after: $after) { edges { node { title status warning chunkCount
    chunks(first: 1) { edges { node { number headings text } } pageInfo { hasNextPage endCursor } } } } pageInfo { hasNextPage } } } }`,
    { id: encodeId("Collection", id), after: collection.documents.pageInfo.endCursor },
  );
  expect(rest.collection.documents).toMatchObject({ pageInfo: { hasNextPage: false } });
  const nodes = [...collection.documents.edges, ...rest.collection.documents.edges].map(
    ({ node }: { node: { title: string } }) => node,
  );
  expect(nodes.map(({ title }) => title).toSorted()).toEqual(["Empty", "Leave", "Long"]);
  expect(nodes).toContainEqual(
    expect.objectContaining({ title: "Empty", chunkCount: 0, warning: "The document holds no text." }),
  );
  expect(nodes.find(({ title }) => title === "Long")).toMatchObject({
    status: "READY",
    warning: null,
    chunkCount: 4,
    chunks: { edges: [{ node: { number: 1, headings: [] } }], pageInfo: { hasNextPage: true } },
  });
});

test("shows what of collections is on its way or failed, what was added last, and where passages lie, in few statements", async () => {
  const caller = aCaller();
  const empty = await givenCollection(caller, [leave]).then(() => createCollection(caller, { name: "Empty" }));
  const { id } = await givenCollection(caller, [
    leave,
    { title: "Deep", text: "<div>".repeat(20_000), mediaType: "text/html" },
    { title: "Long", text: Array.from({ length: 300 }, (_, at) => `Word ${at} of wisdom. `).join("") },
  ]);
  const pending = await addDocuments(caller, { collectionId: id, documents: [{ title: "Late", text: "Late." }] });
  const { result, statements } = await countStatements(() =>
    expectData(
      schema,
      caller,
      `{ collections { edges { node { id documentCount pendingCount failedCount chunkCount lastIngestion { id status createdAt } } } } }`,
    ),
  );
  const [full, nothing, other] = result.collections.edges.map(({ node }: { node: object }) => node);
  const lastIngestion = { id: encodeId("Ingestion", pending.id), status: "PENDING" };
  expect(full).toMatchObject({ documentCount: 4, pendingCount: 1, failedCount: 1, chunkCount: 6, lastIngestion });
  expect(Date.now() - Date.parse(full.lastIngestion.createdAt)).toBeLessThan(60_000);
  const none = { documentCount: 0, pendingCount: 0, failedCount: 0, chunkCount: 0, lastIngestion: null };
  expect(nothing).toEqual({ id: encodeId("Collection", empty.id), ...none });
  expect(other).toMatchObject({ documentCount: 1, failedCount: 0, lastIngestion: { status: "COMPLETED" } });
  // The list, the counts, and the last ingestions with what they are.
  expect(statements).toHaveLength(4);

  const DOCUMENTS = `query ($id: ID!, $status: DocumentStatus) { collection(id: $id) { documents(status: $status) { edges { node {
    title chunks(from: 3, first: 2) { edges { node { number start text } } pageInfo { hasNextPage } } } } } } }`;
  const titles: Record<string, string[]> = {};
  for (const status of ["READY", "FAILED", "PENDING"]) {
    const { collection } = await expectData(schema, caller, DOCUMENTS, { id: encodeId("Collection", id), status });
    titles[status] = collection.documents.edges.map(({ node }: { node: { title: string } }) => node.title);
    if (status !== "READY") continue;
    const { chunks } = collection.documents.edges[0].node;
    const [third, fourth] = chunks.edges.map(({ node }: { node: object }) => node);
    expect([third.number, fourth.number, chunks.pageInfo.hasNextPage]).toEqual([3, 4, true]);
    // They overlap by what the one ends and the other begins with.
    const overlap = third.start + third.text.length - fourth.start;
    expect(overlap).toBeGreaterThan(0);
    expect(third.text.slice(-overlap)).toBe(fourth.text.slice(0, overlap));
  }
  expect(titles).toEqual({ READY: ["Long", "Leave"], FAILED: ["Deep"], PENDING: ["Late"] });
});

test("shows where a hit's passage has words of the query", async () => {
  const caller = aCaller();
  await givenCollection(caller, [{ title: "Wings", text: "The wing was connected. Wings connect." }]);
  const { searchKnowledge } = await expectData(
    schema,
    caller,
    `{ searchKnowledge(input: { query: "connecting" }) { hits { chunk { text } highlights { start length } } } }`,
  );
  expect(searchKnowledge.hits).toEqual([
    {
      chunk: { text: "The wing was connected. Wings connect." },
      highlights: [
        { start: 13, length: 9 },
        { start: 30, length: 7 },
      ],
    },
  ]);
});

test("resolves what citations refer to in two statements, and what is gone or another's to null", async () => {
  const caller = aCaller();
  await givenCollection(
    caller,
    Array.from({ length: 5 }, (_, index) => ({ title: `Leave ${index}`, text: `Leave number ${index}.` })),
  );
  const { searchKnowledge } = await expectData(schema, caller, SEARCH, { query: "leave" });
  const hits = searchKnowledge.hits as { chunk: { id: string }; document: { id: string } }[];
  expect(hits).toHaveLength(5);
  const representations = hits.flatMap(({ chunk, document }) => [
    { __typename: "Chunk", id: chunk.id },
    { __typename: "Document", id: document.id },
  ]);
  const entities = `query ($representations: [_Any!]!) { _entities(representations: $representations) {
    ... on Document { title chunkCount } ... on Chunk { text document { title } } } }`;
  const { result, statements } = await countStatements(() => expectData(schema, caller, entities, { representations }));
  expect(result._entities).toHaveLength(10);
  expect(result._entities.every((entity: unknown) => entity !== null)).toBe(true);
  expect(statements).toHaveLength(2);
  const stranger = await expectData(schema, aCaller(), entities, { representations });
  expect(stranger._entities.every((entity: unknown) => entity === null)).toBe(true);
});

test("refuses with the kinds and reasons of the contract", async () => {
  const caller = aCaller();
  const { createCollection } = await expectData(schema, caller, CREATE, { name: "Handbook" });
  const add = (documents: unknown[], collectionId = createCollection.id) =>
    expectRefusal(schema, caller, ADD, { collectionId, documents });
  expect(await add([{ ...leave, text: "x".repeat(1024 * 1024 + 1) }])).toMatchObject({
    code: "PAYLOAD_TOO_LARGE",
    reason: "KNOWLEDGE_DOCUMENT_TOO_LARGE",
  });
  expect(await add(Array.from({ length: 101 }, () => leave))).toMatchObject({
    code: "BAD_USER_INPUT",
    reason: "KNOWLEDGE_DOCUMENTS_TOO_MANY",
  });
  expect(await add([])).toMatchObject({ code: "BAD_USER_INPUT", reason: "KNOWLEDGE_DOCUMENTS_MISSING" });
  expect(await add([{ ...leave, mediaType: "image/png" }])).toMatchObject({
    code: "BAD_USER_INPUT",
    reason: "KNOWLEDGE_MEDIA_TYPE_UNKNOWN",
  });
  expect(await add([leave], encodeId("Collection", caller.tenantId))).toMatchObject({
    code: "NOT_FOUND",
    reason: "KNOWLEDGE_COLLECTION_NOT_FOUND",
  });
  expect(await add([leave], "col_nonsense")).toMatchObject({ code: "BAD_USER_INPUT", reason: "ID_INVALID" });
  expect(await expectRefusal(schema, caller, SEARCH, { query: "" })).toMatchObject({ code: "BAD_USER_INPUT" });
  expect(await expectRefusal(schema, caller, SEARCH, { query: "x", topK: 0 })).toMatchObject({
    code: "BAD_USER_INPUT",
  });
  expect(await expectRefusal(schema, caller, CREATE, { name: " " })).toMatchObject({ code: "BAD_USER_INPUT" });
});

test("needs credentials and the permission, also for entities", async () => {
  const caller = aCaller();
  const { id } = await givenCollection(caller, [leave]);
  expect(await expectRefusal(schema, undefined, SEARCH, { query: "leave" })).toMatchObject({ code: "UNAUTHENTICATED" });
  const partner = aColleagueOf(caller, ["usage:read"]);
  expect(await expectRefusal(schema, partner, SEARCH, { query: "leave" })).toMatchObject({ code: "FORBIDDEN" });
  expect(await expectRefusal(schema, partner, CREATE, { name: "Mine" })).toMatchObject({ code: "FORBIDDEN" });
  const entities = `query ($representations: [_Any!]!) { _entities(representations: $representations) { ... on Collection { name } } }`;
  const representations = [{ __typename: "Collection", id: encodeId("Collection", id) }];
  expect(await expectRefusal(schema, partner, entities, { representations })).toMatchObject({ code: "FORBIDDEN" });
});

test("does not know another tenant's objects", async () => {
  const caller = aCaller();
  const { id } = await givenCollection(caller, [leave]);
  const { searchKnowledge } = await expectData(schema, caller, SEARCH, { query: "leave" });
  const stranger = aCaller();
  const documentId = searchKnowledge.hits[0].document.id as string;
  expect(
    await expectRefusal(schema, stranger, `query ($id: ID!) { document(id: $id) { title } }`, { id: documentId }),
  ).toMatchObject({ code: "NOT_FOUND" });
  expect(
    await expectRefusal(schema, stranger, `query ($id: ID!) { collection(id: $id) { name } }`, {
      id: encodeId("Collection", id),
    }),
  ).toMatchObject({ code: "NOT_FOUND" });
  const { rows } = await database().owner.query<{ id: string }>(
    "SELECT id FROM knowledge.ingestion WHERE tenant_id = $1",
    [caller.tenantId],
  );
  const ingestionId = encodeId("Ingestion", rows[0]?.id ?? "");
  expect(
    await expectRefusal(schema, stranger, `query ($id: ID!) { ingestion(id: $id) { status } }`, { id: ingestionId }),
  ).toMatchObject({ code: "NOT_FOUND" });
  await expect(collectEvents(schema, stranger, EVENTS, { ingestionId })).rejects.toThrow("There is no such ingestion.");
});

test("removes documents, and then their collection", async () => {
  const caller = aCaller();
  const { id } = await givenCollection(caller, [leave, { title: "Travel", text: "By train." }]);
  const collectionId = encodeId("Collection", id);
  const { collection } = await expectData(
    schema,
    caller,
    "query ($id: ID!) { collection(id: $id) { documents { edges { node { id title } } } } }",
    { id: collectionId },
  );
  const [gone, kept] = collection.documents.edges.map(({ node }: { node: { id: string } }) => node.id);
  const REMOVE = `mutation ($input: RemoveDocumentsInput!) {
    removeDocuments(input: $input) { removedDocumentIds collection { documentCount documents { edges { node { id } } } } } }`;
  expect(await expectData(schema, caller, REMOVE, { input: { collectionId, documentIds: [gone] } })).toEqual({
    removeDocuments: {
      removedDocumentIds: [gone],
      collection: { documentCount: 1, documents: { edges: [{ node: { id: kept } }] } },
    },
  });
  const DELETE = "mutation ($input: DeleteCollectionInput!) { deleteCollection(input: $input) }";
  const reader = aColleagueOf(caller, ["knowledge:read"]);
  for (const [source, input] of [
    [REMOVE, { collectionId, documentIds: [kept] }],
    [DELETE, { collectionId }],
  ] as const)
    expect(await expectRefusal(schema, reader, source, { input })).toMatchObject({ code: "FORBIDDEN" });
  expect(await expectData(schema, caller, DELETE, { input: { collectionId } })).toEqual({
    deleteCollection: collectionId,
  });
  expect(await expectRefusal(schema, caller, DELETE, { input: { collectionId } })).toMatchObject({
    code: "NOT_FOUND",
    reason: "KNOWLEDGE_COLLECTION_NOT_FOUND",
  });
});
