import { CONSUMER_ARGUMENT, CONSUMER_NAME } from "@sba/platform/consumers";
import { encodeCursor, type EventRecord } from "@sba/platform/events";
import { callerOf, defineLoader, eventGapRef, GAP_FIELD } from "@sba/platform/graphql";
import { createdAtOf, decodeId, encodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import type { IngestionSnapshot } from "../events.ts";
import { INGESTION_STATUSES } from "./ingestion.state.ts";
import { addDocuments, findIngestions, getIngestion, streamIngestionEvents } from "./ingestion.ts";

const ingestionById = defineLoader(findIngestions, (ingestion) => ingestion.id);

const IngestionStatusRef = builder.enumType("IngestionStatus", {
  description: "COMPLETED: every document is ready or has failed. FAILED: all of them have failed.",
  values: INGESTION_STATUSES,
});

const IngestionFailureRef = builder.objectRef<IngestionSnapshot["failures"][number]>("IngestionFailure").implement({
  description: "A document that could not be ingested, and why.",
  fields: (t) => ({
    documentId: t.id({ resolve: ({ documentId }) => encodeId("Document", documentId) }),
    title: t.exposeString("title"),
    message: t.exposeString("message"),
  }),
});

export const IngestionRef = builder.objectRef<IngestionSnapshot>("Ingestion").implement({
  description: "Documents that were given together, on their way into the index.",
  authScopes: { permission: "knowledge:read" },
  fields: (t) => ({
    id: t.id({ resolve: ({ id }) => encodeId("Ingestion", id) }),
    status: t.field({ type: IngestionStatusRef, resolve: ({ status }) => status }),
    documentsTotal: t.exposeInt("documentsTotal"),
    documentsReady: t.exposeInt("documentsReady"),
    documentsFailed: t.exposeInt("documentsFailed"),
    failures: t.field({ type: [IngestionFailureRef], resolve: ({ failures }) => failures }),
    createdAt: t.field({ type: "DateTime", resolve: ({ id }) => createdAtOf(id) }),
  }),
});
builder.asEntity(IngestionRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => ingestionById(context).load(decodeId("Ingestion", id)),
});

builder.queryField("ingestion", (t) =>
  t.field({
    type: IngestionRef,
    description: "One ingestion.",
    authScopes: { permission: "knowledge:read" },
    args: { id: t.arg.id({ required: true, validate: { maxLength: 64 } }) },
    resolve: (_root, { id }, context) => getIngestion(callerOf(context), decodeId("Ingestion", id)),
  }),
);

// Numbers and sizes of documents are checked by `checkSubmission`, whose errors say which document and which limit; what is
// refused here is only what no sensible client sends.
const DocumentInput = builder.inputType("DocumentInput", {
  fields: (t) => ({
    title: t.string({ required: true, validate: { maxLength: 100_000 } }),
    text: t.string({ description: "This or `uploadId`.", validate: { maxLength: 256 * 1024 * 1024 } }),
    uploadId: t.id({
      description: "Of a file that `createUpload` announced and that has been sent.",
      validate: { maxLength: 64 },
    }),
    mediaType: t.string({
      description: "Of the text; an upload has its own.",
      defaultValue: "text/plain",
      validate: { maxLength: 200 },
    }),
    externalId: t.string({
      description: "Identifies the document within its collection.",
      validate: { maxLength: 100_000 },
    }),
    uri: t.string({ description: "Where people find the original.", validate: { maxLength: 100_000 } }),
  }),
});

const AddDocumentsInput = builder.inputType("AddDocumentsInput", {
  fields: (t) => ({
    collectionId: t.id({ required: true, validate: { maxLength: 64 } }),
    documents: t.field({ type: [DocumentInput], required: true, validate: { maxLength: 10_000 } }),
    idempotencyKey: t.string({ validate: { minLength: 1, maxLength: 255 } }),
  }),
});

const AddDocumentsPayload = builder
  .objectRef<{ readonly ingestion: IngestionSnapshot }>("AddDocumentsPayload")
  .implement({
    fields: (t) => ({ ingestion: t.field({ type: IngestionRef, resolve: ({ ingestion }) => ingestion }) }),
  });

builder.mutationField("addDocuments", (t) =>
  t.field({
    type: AddDocumentsPayload,
    description:
      "Accepts up to 100 documents, as text of at most 1 MiB each or as uploads; `ingestionEvents` tells when they are searchable.",
    authScopes: { permission: "knowledge:write" },
    args: { input: t.arg({ type: AddDocumentsInput, required: true }) },
    resolve: async (_root, { input }, context) => ({
      ingestion: await addDocuments(callerOf(context), {
        ...input,
        collectionId: decodeId("Collection", input.collectionId),
        documents: input.documents.map((document) => ({
          ...document,
          uploadId: document.uploadId == null ? undefined : decodeId("Upload", document.uploadId),
        })),
      }),
    }),
  }),
);

type IngestionEvent = EventRecord<{ readonly ingestion: IngestionSnapshot }>;

const IngestionEventRef = builder.objectRef<IngestionEvent>("IngestionEvent").implement({
  description: "A step of an ingestion. `seq` is contiguous; `cursor` goes on after it.",
  fields: (t) => ({
    cursor: t.field({ type: "Cursor", resolve: (event) => encodeCursor(event.stream, event.seq) }),
    seq: t.exposeInt("seq"),
    at: t.field({ type: "DateTime", resolve: (event) => event.at }),
    traceId: t.exposeString("traceId", { nullable: true }),
    gap: t.field({
      type: eventGapRef(builder),
      nullable: true,
      description: GAP_FIELD,
      resolve: ({ gap }) => gap,
    }),
    ingestion: t.field({
      type: IngestionRef,
      description: "As of this event.",
      resolve: (event) => event.payload.ingestion,
    }),
  }),
});

builder.subscriptionField("ingestionEvents", (t) =>
  t.field({
    type: IngestionEventRef,
    description: "Every event of an ingestion after the cursor, then live; completes when the ingestion has ended.",
    authScopes: { permission: "knowledge:read" },
    args: {
      ingestionId: t.arg.id({ required: true, validate: { maxLength: 64 } }),
      after: t.arg({ type: "Cursor", validate: { maxLength: 512 } }),
      consumer: t.arg.string({ description: CONSUMER_ARGUMENT, validate: { regex: CONSUMER_NAME } }),
    },
    subscribe: (_root, { ingestionId, ...start }, context) =>
      streamIngestionEvents(callerOf(context), {
        ingestionId: decodeId("Ingestion", ingestionId),
        ...start,
        signal: context.signal,
      }),
    resolve: (event) => event as IngestionEvent,
  }),
);
