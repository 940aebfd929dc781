import { callerOf } from "@sba/platform/graphql";
import { encodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { MEDIA_TYPES } from "../document/document.text.ts";
import { MAX_TEXT_BYTES } from "../ingestion/submission.ts";
import { createUpload, uploadLimits, type Upload, type UploadRequest } from "./upload.ts";

const UploadRef = builder.objectRef<Upload>("Upload").implement({
  description: "A file that was announced and becomes a document when `addDocuments` names it.",
  authScopes: { permission: "knowledge:write" },
  fields: (t) => ({
    id: t.id({ resolve: ({ id }) => encodeId("Upload", id) }),
    fileName: t.exposeString("fileName"),
    mediaType: t.exposeString("mediaType"),
    sizeBytes: t.exposeInt("sizeBytes"),
    expiresAt: t.field({
      type: "DateTime",
      description: "When it is forgotten, unless it has become a document.",
      resolve: ({ expiresAt }) => expiresAt,
    }),
  }),
});

const HeaderRef = builder
  .objectRef<{ readonly name: string; readonly value: string }>("HttpHeader")
  .implement({ fields: (t) => ({ name: t.exposeString("name"), value: t.exposeString("value") }) });

const UploadRequestRef = builder.objectRef<UploadRequest>("UploadRequest").implement({
  description: "The one HTTP request that brings the bytes. It needs no credentials: whoever has it may send it, once.",
  fields: (t) => ({
    method: t.exposeString("method"),
    url: t.exposeString("url", { description: "A path of this API's own address when it begins with a slash." }),
    headers: t.field({
      type: [HeaderRef],
      description: "To be sent as they are, with the declared length.",
      resolve: ({ headers }) => Object.entries(headers).map(([name, value]) => ({ name, value })),
    }),
    expiresAt: t.field({ type: "DateTime", resolve: ({ expiresAt }) => expiresAt }),
  }),
});

const CreateUploadInput = builder.inputType("CreateUploadInput", {
  fields: (t) => ({
    fileName: t.string({ required: true, validate: { maxLength: 10_000 } }),
    mediaType: t.string({ required: true, validate: { maxLength: 200 } }),
    sizeBytes: t.int({ required: true, description: "At most `uploadLimits.maxBytes`.", validate: { min: 1 } }),
    sha256: t.string({
      description: "Of the bytes, in hexadecimal: others are then refused, and the same file twice is one document.",
      validate: { maxLength: 200 },
    }),
    idempotencyKey: t.string({ validate: { minLength: 1, maxLength: 255 } }),
  }),
});

const CreateUploadPayload = builder
  .objectRef<{ readonly upload: Upload; readonly request: UploadRequest }>("CreateUploadPayload")
  .implement({
    fields: (t) => ({
      upload: t.field({ type: UploadRef, resolve: ({ upload }) => upload }),
      request: t.field({ type: UploadRequestRef, resolve: ({ request }) => request }),
    }),
  });

builder.mutationField("createUpload", (t) =>
  t.field({
    type: CreateUploadPayload,
    description: "Announces a file of more than `addDocuments` takes as text, and says where its bytes go.",
    authScopes: { permission: "knowledge:write" },
    args: { input: t.arg({ type: CreateUploadInput, required: true }) },
    resolve: (_root, { input }, context) => createUpload(callerOf(context), input),
  }),
);

const UploadLimitsRef = builder
  .objectRef<{ readonly maxBytes: number; readonly maxTextBytes: number; readonly mediaTypes: readonly string[] }>(
    "UploadLimits",
  )
  .implement({
    description: "What documents may be.",
    fields: (t) => ({
      maxBytes: t.exposeInt("maxBytes", { description: "Of an upload." }),
      maxTextBytes: t.exposeInt("maxTextBytes", { description: "Of a document given as text, in UTF-8." }),
      mediaTypes: t.stringList({ resolve: ({ mediaTypes }) => mediaTypes }),
    }),
  });

builder.queryField("uploadLimits", (t) =>
  t.field({
    type: UploadLimitsRef,
    description: "How large documents may be, and of which media types.",
    authScopes: { permission: "knowledge:read" },
    resolve: () => ({ maxBytes: uploadLimits().maxBytes, maxTextBytes: MAX_TEXT_BYTES, mediaTypes: MEDIA_TYPES }),
  }),
);
