import { platformErrors } from "@sba/platform/errors";
import { callerOf, connectionRef, defineLoader, toConnection, type GraphContext } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE, decodePageCursor, encodePageCursor } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { CollectionRef, collectionById } from "../collection/collection.ref.ts";
import { errors } from "../errors.ts";
import { DOCUMENT_STATUSES, type DocumentStatus } from "../ingestion/ingestion.state.ts";
import { documentUrl } from "./download.route.ts";
import { findChunks, findDocuments, getDocument, listChunks, type Chunk, type Document } from "./document.ts";

const MAX_INT = 2_147_483_647;

/** What a search hit knows of its document and chunk; the rest is read when it is asked for. */
type DocumentShape = Document | Pick<Document, "id" | "title" | "externalId" | "uri">;
type ChunkShape = Chunk | Pick<Chunk, "id" | "text" | "documentId">;

const documentById = defineLoader(findDocuments, (document) => document.id);
const chunkById = defineLoader(findChunks, (chunk) => chunk.id);

async function wholeDocument(document: DocumentShape, context: GraphContext): Promise<Document> {
  return "status" in document ? document : requireDocument(document.id, context);
}

async function requireDocument(id: string, context: GraphContext): Promise<Document> {
  const document = await documentById(context).load(id);
  if (!document) throw errors.KNOWLEDGE_DOCUMENT_NOT_FOUND();
  return document;
}

/** Undefined when the document was given new content since the search. */
async function wholeChunk(chunk: ChunkShape, context: GraphContext): Promise<Chunk | undefined> {
  return "number" in chunk ? chunk : chunkById(context).load(chunk.id);
}

export const DocumentStatusRef = builder.enumType("DocumentStatus", {
  description: "READY documents are found by searches; a FAILED one never was ready.",
  values: DOCUMENT_STATUSES,
});

export const DocumentRef = builder.objectRef<DocumentShape>("Document");
export const ChunkRef = builder.objectRef<ChunkShape>("Chunk");
const ChunkConnection = connectionRef(builder, "Chunk", ChunkRef);
export const DocumentConnection = connectionRef(builder, "Document", DocumentRef);

DocumentRef.implement({
  description: "A text of a collection, known by its external id.",
  authScopes: { permission: "knowledge:read" },
  fields: (t) => ({
    id: t.id({ resolve: (document) => encodeId("Document", document.id) }),
    title: t.exposeString("title"),
    externalId: t.exposeString("externalId", { nullable: true }),
    uri: t.exposeString("uri", { nullable: true, description: "Where people find the original." }),
    mediaType: t.string({
      resolve: async (document, _args, context) => (await wholeDocument(document, context)).mediaType,
    }),
    status: t.field({
      type: DocumentStatusRef,
      resolve: async (document, _args, context) => (await wholeDocument(document, context)).status as DocumentStatus,
    }),
    warning: t.string({
      nullable: true,
      description: "What is odd about a READY document, such as that it holds no text.",
      resolve: async (document, _args, context) => (await wholeDocument(document, context)).warning,
    }),
    failure: t.string({
      nullable: true,
      description: "Why the content given last could not be ingested; a READY document keeps what it had.",
      resolve: async (document, _args, context) => (await wholeDocument(document, context)).failure,
    }),
    downloadUrl: t.string({
      description: "A link to the document as it was given, that needs no credentials and ends by itself.",
      args: {
        expiresInSeconds: t.arg.int({
          required: true,
          defaultValue: 300,
          validate: { min: 1, max: 7 * 24 * 60 * 60 },
        }),
      },
      resolve: (document, { expiresInSeconds }, context) =>
        documentUrl({ tenantId: callerOf(context).tenantId, id: document.id }, expiresInSeconds),
    }),
    chunkCount: t.int({
      resolve: async (document, _args, context) => (await wholeDocument(document, context)).chunkCount,
    }),
    createdAt: t.field({
      type: "DateTime",
      resolve: async (document, _args, context) => (await wholeDocument(document, context)).createdAt,
    }),
    updatedAt: t.field({
      type: "DateTime",
      resolve: async (document, _args, context) => (await wholeDocument(document, context)).updatedAt,
    }),
    collection: t.field({
      type: CollectionRef,
      nullable: true,
      resolve: async (document, _args, context) =>
        collectionById(context).load((await wholeDocument(document, context)).collectionId),
    }),
    chunks: t.field({
      type: ChunkConnection,
      description: "What its text was cut into, in order.",
      args: {
        first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
        after: t.arg({ type: "Cursor", validate: { maxLength: 512 } }),
        from: t.arg.int({
          description: "Begins with the passage of this number, instead of the first.",
          validate: { min: 1, max: MAX_INT },
        }),
      },
      resolve: async (document, { first, after, from }, context) => {
        const before = Math.max(decodeNumberCursor(after), (from ?? 1) - 1);
        const page = await listChunks(callerOf(context), document.id, { first, after: before });
        return toConnection<ChunkShape>(page, {
          after,
          cursorOf: (chunk) => encodePageCursor("number" in chunk ? String(chunk.number) : chunk.id),
        });
      },
    }),
  }),
});
builder.asEntity(DocumentRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => documentById(context).load(decodeId("Document", id)),
});

function decodeNumberCursor(after: string | null | undefined): number {
  const number = Number(decodePageCursor(after) ?? 0);
  if (!Number.isInteger(number) || number < 0 || number > MAX_INT) throw platformErrors.CURSOR_INVALID();
  return number;
}

ChunkRef.implement({
  description: "A passage of a document: what is searched and cited. It goes when the document is given new content.",
  authScopes: { permission: "knowledge:read" },
  fields: (t) => ({
    id: t.id({ resolve: (chunk) => encodeId("Chunk", chunk.id) }),
    text: t.exposeString("text"),
    number: t.int({
      nullable: true,
      description: "Its place in the document, from 1.",
      resolve: async (chunk, _args, context) => (await wholeChunk(chunk, context))?.number,
    }),
    start: t.int({
      nullable: true,
      description:
        "Where it begins in the document's text, in UTF-16 code units: a passage begins with the last sentences of the one before. Null for documents that were indexed before this was kept.",
      resolve: async (chunk, _args, context) => (await wholeChunk(chunk, context))?.startOffset,
    }),
    headings: t.stringList({
      description: "The headings above it, outermost first.",
      resolve: async (chunk, _args, context) => (await wholeChunk(chunk, context))?.headings ?? [],
    }),
    document: t.field({
      type: DocumentRef,
      resolve: (chunk, _args, context) => requireDocument(chunk.documentId, context),
    }),
  }),
});
builder.asEntity(ChunkRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => chunkById(context).load(decodeId("Chunk", id)),
});

builder.queryField("document", (t) =>
  t.field({
    type: DocumentRef,
    description: "One document.",
    authScopes: { permission: "knowledge:read" },
    args: { id: t.arg.id({ required: true, validate: { maxLength: 64 } }) },
    resolve: (_root, { id }, context) => getDocument(callerOf(context), decodeId("Document", id)),
  }),
);
