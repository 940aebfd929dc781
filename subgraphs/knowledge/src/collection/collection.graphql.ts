import { callerOf, connectionRef, defineLoader, idCursor, toConnection } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { DocumentConnection, DocumentStatusRef } from "../document/document.graphql.ts";
import { countUnready, listDocuments } from "../document/document.ts";
import { removeDocuments } from "../document/remove.ts";
import { IngestionRef } from "../ingestion/ingestion.graphql.ts";
import { findLastIngestions } from "../ingestion/ingestion.ts";
import { CollectionRef, collectionById } from "./collection.ref.ts";
import { createCollection, deleteCollection, getCollection, listCollections } from "./collection.ts";

const unreadyOf = defineLoader(countUnready, ({ collectionId }) => collectionId);
const lastIngestionOf = defineLoader(findLastIngestions, ({ collectionId }) => collectionId);

CollectionRef.implement({
  description: "Documents that are searched together.",
  authScopes: { permission: "knowledge:read" },
  fields: (t) => ({
    id: t.id({ resolve: (collection) => encodeId("Collection", collection.id) }),
    name: t.exposeString("name"),
    documentCount: t.exposeInt("documentCount", {
      description: "Of all its documents, also those that are not ready.",
    }),
    pendingCount: t.int({
      description: "Documents that are not searched yet.",
      resolve: async ({ id }, _args, context) => (await unreadyOf(context).load(id))?.pending ?? 0,
    }),
    failedCount: t.int({
      description: "Documents that never were ready.",
      resolve: async ({ id }, _args, context) => (await unreadyOf(context).load(id))?.failed ?? 0,
    }),
    chunkCount: t.exposeInt("chunkCount", { description: "Passages that searches look at." }),
    lastIngestion: t.field({
      type: IngestionRef,
      nullable: true,
      description: "What was added last.",
      resolve: async ({ id }, _args, context) => (await lastIngestionOf(context).load(id))?.ingestion,
    }),
    createdAt: t.field({ type: "DateTime", resolve: (collection) => collection.createdAt }),
    documents: t.field({
      type: DocumentConnection,
      description: "Its documents, newest first.",
      args: {
        first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
        after: t.arg({ type: "Cursor", validate: { maxLength: 512 } }),
        status: t.arg({ type: DocumentStatusRef }),
      },
      resolve: async (collection, { first, after, status }, context) =>
        toConnection(
          await listDocuments(callerOf(context), collection.id, { first, after, status: status ?? undefined }),
          {
            after,
            cursorOf: idCursor,
          },
        ),
    }),
  }),
});
builder.asEntity(CollectionRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => collectionById(context).load(decodeId("Collection", id)),
});

const CollectionConnection = connectionRef(builder, "Collection", CollectionRef);

builder.queryFields((t) => ({
  collection: t.field({
    type: CollectionRef,
    description: "One collection.",
    authScopes: { permission: "knowledge:read" },
    args: { id: t.arg.id({ required: true, validate: { maxLength: 64 } }) },
    resolve: (_root, { id }, context) => getCollection(callerOf(context), decodeId("Collection", id)),
  }),
  collections: t.field({
    type: CollectionConnection,
    description: "The tenant's collections, newest first.",
    authScopes: { permission: "knowledge:read" },
    args: {
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg({ type: "Cursor", validate: { maxLength: 512 } }),
    },
    resolve: async (_root, { first, after }, context) =>
      toConnection(await listCollections(callerOf(context), { first, after }), { after, cursorOf: idCursor }),
  }),
}));

const CreateCollectionInput = builder.inputType("CreateCollectionInput", {
  fields: (t) => ({
    name: t.string({ required: true, validate: { minLength: 1, maxLength: 200 } }),
    idempotencyKey: t.string({ validate: { minLength: 1, maxLength: 255 } }),
  }),
});

builder.mutationField("createCollection", (t) =>
  t.field({
    type: CollectionRef,
    description: "Makes an empty collection.",
    authScopes: { permission: "knowledge:write" },
    args: { input: t.arg({ type: CreateCollectionInput, required: true }) },
    resolve: (_root, { input }, context) => createCollection(callerOf(context), input),
  }),
);

const DeleteCollectionInput = builder.inputType("DeleteCollectionInput", {
  fields: (t) => ({ collectionId: t.id({ required: true, validate: { maxLength: 64 } }) }),
});

builder.mutationField("deleteCollection", (t) =>
  t.field({
    type: "ID",
    description: "Deletes a collection with all its documents for good, and returns its id. Ingestions under way end.",
    authScopes: { permission: "knowledge:write" },
    args: { input: t.arg({ type: DeleteCollectionInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      await deleteCollection(callerOf(context), decodeId("Collection", input.collectionId));
      return input.collectionId;
    },
  }),
);

const RemoveDocumentsInput = builder.inputType("RemoveDocumentsInput", {
  fields: (t) => ({
    collectionId: t.id({ required: true, validate: { maxLength: 64 } }),
    documentIds: t.idList({ required: true, validate: { maxLength: 10_000 }, description: "1 to 100." }),
  }),
});

interface Removal {
  readonly collectionId: string;
  readonly removedIds: readonly string[];
}

const RemoveDocumentsPayload = builder.objectRef<Removal>("RemoveDocumentsPayload").implement({
  fields: (t) => ({
    removedDocumentIds: t.idList({
      description: "Those that were there; the others had been removed before, or were never there.",
      resolve: ({ removedIds }) => removedIds.map((id) => encodeId("Document", id)),
    }),
    collection: t.field({
      type: CollectionRef,
      resolve: ({ collectionId }, _args, context) => getCollection(callerOf(context), collectionId),
    }),
  }),
});

builder.mutationField("removeDocuments", (t) =>
  t.field({
    type: RemoveDocumentsPayload,
    description: "Removes documents for good: no search finds them from then on. A repeat is harmless.",
    authScopes: { permission: "knowledge:write" },
    args: { input: t.arg({ type: RemoveDocumentsInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const collectionId = decodeId("Collection", input.collectionId);
      const documentIds = input.documentIds.map((id) => decodeId("Document", id));
      return { collectionId, removedIds: await removeDocuments(callerOf(context), { collectionId, documentIds }) };
    },
  }),
);
