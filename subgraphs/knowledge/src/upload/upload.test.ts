import { createHash } from "node:crypto";
import { blobStore, useBlobStore } from "@sba/platform/blobs";
import type { Caller } from "@sba/platform/caller";
import { loadConfig } from "@sba/platform/config";
import { encodeId, newId } from "@sba/platform/ids";
import { internalHeaders } from "@sba/platform/internal-token";
import { usePublicUrl } from "@sba/platform/public-url";
import { signLink, useSecretKey } from "@sba/platform/secrets";
import { startSubgraphServer, type RunningServer } from "@sba/platform/server";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { S3_SECRET, startScriptedS3 } from "@sba/testkit/s3";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createCollection, deleteCollection } from "../collection/collection.ts";
import { purgeRemoved } from "../collection/purge.ts";
import { listDocuments } from "../document/document.ts";
import { addDocuments, getIngestion } from "../ingestion/ingestion.ts";
import { runIngestion } from "../ingestion/run-ingestion.ts";
import { searchKnowledge } from "../retrieval/retrieval.ts";
import { schema } from "../schema.ts";
import { knowledgeSubgraph } from "../server.ts";
import { forgetUploads } from "./forget.ts";
import { blobKeyOf, createUpload, useUploadLimits } from "./upload.ts";

const database = useDatabase();
useBlobs();
useSecretKey("a-secret-key-that-only-tests-know");
const { signal } = new AbortController();

let server: RunningServer;
let token: Record<string, string>;
beforeAll(async () => {
  server = await startSubgraphServer(knowledgeSubgraph, { host: "127.0.0.1", port: 0 });
  usePublicUrl(server.url);
  token = internalHeaders({ caller: undefined, internal: false, requestId: "test" });
});
afterAll(async () => {
  usePublicUrl(undefined);
  await server.close();
});

const HANDBOOK = "# Leave\n\nEveryone has thirty zebrafish days.\n";
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

function announced(caller: Caller, text = HANDBOOK, given: { fileName?: string; sha256?: string } = {}) {
  const sizeBytes = Buffer.byteLength(text);
  return createUpload(caller, { fileName: "handbook.md", mediaType: "text/markdown", sizeBytes, ...given });
}

interface Request {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

function put({ url, headers }: Request, body: string | ReadableStream, changed: Record<string, string> = {}) {
  return fetch(url, {
    method: "PUT",
    body,
    headers: { ...token, ...headers, ...changed },
    duplex: "half",
  } as RequestInit);
}

async function refusal(request: Request, body: string | ReadableStream, changed: Record<string, string> = {}) {
  const response = await put(request, body, changed);
  const { errors } = (await response.json()) as { errors: { extensions: { reason: string } }[] };
  return [response.status, errors[0]?.extensions.reason];
}

/** Announced and sent. */
async function stored(caller: Caller, text = HANDBOOK): Promise<string> {
  const { upload, request } = await announced(caller, text);
  expect((await put(request, text)).status).toBe(204);
  return upload.id;
}

async function ingested(caller: Caller, collectionId: string, uploadId: string, externalId?: string) {
  const { id } = await addDocuments(caller, { collectionId, documents: [{ title: "Handbook", uploadId, externalId }] });
  await runIngestion(caller, { ingestionId: id }, { signal });
  return getIngestion(caller, id);
}

const aCollection = async (caller: Caller): Promise<string> => (await createCollection(caller, { name: "Files" })).id;
const uploadsOf = async ({ tenantId }: Caller): Promise<string[]> =>
  (
    await database().owner.query<{ id: string }>("SELECT id FROM knowledge.upload WHERE tenant_id = $1", [tenantId])
  ).rows.map(({ id }) => id);
const expire = ({ tenantId }: Caller) =>
  database().owner.query(
    "UPDATE knowledge.upload SET expires_at = now(), forget_at = now() WHERE tenant_id = $1 AND used_at IS NULL",
    [tenantId],
  );

describe("an upload", () => {
  test("is announced, sent, and becomes a document that is found", async () => {
    const caller = aCaller();
    const collectionId = await aCollection(caller);
    const CREATE = `mutation ($input: CreateUploadInput!) { createUpload(input: $input) {
      upload { id fileName mediaType sizeBytes } request { method url headers { name value } expiresAt } } }`;
    const input = { fileName: "handbook.md", mediaType: "text/markdown; charset=utf-8", sizeBytes: HANDBOOK.length };
    const { createUpload: created } = await expectData(schema, caller, CREATE, { input });
    expect(created).toMatchObject({
      upload: { fileName: "handbook.md", mediaType: "text/markdown", sizeBytes: HANDBOOK.length },
      request: { method: "PUT", headers: [{ name: "content-type", value: "text/markdown" }] },
    });
    expect(
      (await put({ url: created.request.url, headers: { "content-type": "text/markdown" } }, HANDBOOK)).status,
    ).toBe(204);
    const ADD = `mutation ($input: AddDocumentsInput!) { addDocuments(input: $input) { ingestion { id documentsTotal } } }`;
    const documents = [{ title: "Handbook", uploadId: created.upload.id }];
    const added = { input: { collectionId: encodeId("Collection", collectionId), documents, idempotencyKey: "once" } };
    const first = await expectData(schema, caller, ADD, added);
    // What was sent twice because its answer was lost is the same ingestion.
    expect(await expectData(schema, caller, ADD, added)).toEqual(first);
    const { rows } = await database().owner.query<{ id: string }>(
      "SELECT id FROM knowledge.ingestion WHERE tenant_id = $1",
      [caller.tenantId],
    );
    await runIngestion(caller, { ingestionId: rows[0]!.id }, { signal });
    const [hit] = await searchKnowledge(caller, { query: "zebrafish", topK: 1 });
    expect(hit).toMatchObject({ document: { title: "Handbook" }, chunk: { text: HANDBOOK.replace("# ", "").trim() } });
    const { rows: audited } = await database().owner.query(
      "SELECT details FROM platform.audit_entry WHERE target = $1 AND action = 'knowledge.upload.created'",
      [created.upload.id],
    );
    expect(audited).toEqual([
      { details: { fileName: "handbook.md", mediaType: "text/markdown", sizeBytes: HANDBOOK.length } },
    ]);
  });

  test("is announced once for an idempotency key", async () => {
    const caller = aCaller();
    const input = { fileName: "a.txt", mediaType: "text/plain", sizeBytes: 3, idempotencyKey: "k" };
    const [one, two] = [await createUpload(caller, input), await createUpload(caller, input)];
    expect(two.upload).toEqual(one.upload);
    await expect(createUpload(caller, { ...input, sizeBytes: 4 })).rejects.toMatchObject({
      code: "IDEMPOTENCY_KEY_REUSED",
    });
  });

  test("is refused when it cannot become a document", async () => {
    const caller = aCaller();
    const good = { fileName: "a.txt", mediaType: "text/plain", sizeBytes: 3 };
    const INVALID = "KNOWLEDGE_UPLOAD_INVALID";
    for (const [changed, code] of [
      [{ fileName: " \u0000 " }, INVALID],
      [{ fileName: "x".repeat(256) }, INVALID],
      [{ sizeBytes: 0 }, INVALID],
      [{ sizeBytes: 1.5 }, INVALID],
      [{ sha256: "nonsense" }, INVALID],
      [{ mediaType: "application/zip" }, "KNOWLEDGE_MEDIA_TYPE_UNKNOWN"],
      [{ sizeBytes: 32 * 1024 * 1024 + 1 }, "KNOWLEDGE_UPLOAD_TOO_LARGE"],
    ] as const)
      await expect(createUpload(caller, { ...good, ...changed }), JSON.stringify(changed)).rejects.toMatchObject({
        code,
      });
    await expect(createUpload(aColleagueOf(caller, ["knowledge:read"]), good)).rejects.toMatchObject({
      code: "PERMISSION_MISSING",
    });
    expect(await uploadsOf(caller)).toEqual([]);
  });

  test("counts against the tenant's quota until it is a document or has expired, also when many come at once", async () => {
    const caller = aCaller();
    useUploadLimits({ maxBytes: 1_000, maxPending: 3 });
    const many = await Promise.allSettled(Array.from({ length: 6 }, () => announced(caller)));
    expect(many.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
    await expect(announced(caller)).rejects.toMatchObject({
      code: "KNOWLEDGE_UPLOADS_TOO_MANY",
      details: { limit: 3 },
    });
    await announced(aCaller());
    await expire(caller);
    await ingested(caller, await aCollection(caller), await stored(caller));
    await Promise.all([announced(caller), announced(caller), announced(caller)]);
    useUploadLimits({ maxBytes: 32 * 1024 * 1024, maxPending: 200 });
  });
});

describe("PUT /uploads/:signed", () => {
  test("takes nothing but what was announced", async () => {
    const caller = aCaller();
    const { upload, request } = await announced(caller, HANDBOOK, { sha256: sha256(HANDBOOK).toUpperCase() });
    const other = HANDBOOK.replace("thirty", "twenty");
    const parts = (): ReadableStream => new Blob([HANDBOOK]).stream();
    const DIFFERS = "KNOWLEDGE_UPLOAD_SIZE_DIFFERS";
    expect(await refusal(request, HANDBOOK, { "content-type": "text/html" })).toEqual([
      400,
      "KNOWLEDGE_UPLOAD_TYPE_DIFFERS",
    ]);
    expect(await refusal(request, `${HANDBOOK}!`)).toEqual([400, DIFFERS]);
    expect(await refusal(request, "")).toEqual([400, DIFFERS]);
    expect(await refusal(request, parts())).toEqual([400, DIFFERS]);
    expect(await refusal(request, other)).toEqual([400, "KNOWLEDGE_UPLOAD_CHECKSUM_DIFFERS"]);
    expect(await blobStore().sizeOf(blobKeyOf(upload))).toBeUndefined();
    expect((await put(request, HANDBOOK, { "content-type": "text/markdown;charset=UTF-8" })).status).toBe(204);
    expect(await blobStore().sizeOf(blobKeyOf(upload))).toBe(HANDBOOK.length);
  });

  test("takes the bytes once: the same again change nothing, others are refused, also of several at once", async () => {
    const { upload, request } = await announced(aCaller());
    const texts = ["thirty", "twenty", "ninety"].map((number) => HANDBOOK.replace("thirty", number));
    const statuses = await Promise.all(texts.map(async (text) => (await put(request, text)).status));
    expect(statuses.toSorted()).toEqual([204, 409, 409]);
    const kept = texts[statuses.indexOf(204)]!;
    for (const text of texts) expect((await put(request, text)).status).toBe(text === kept ? 204 : 409);
    const bytes = await (await blobStore().find(blobKeyOf(upload)))!.toArray();
    expect(Buffer.concat(bytes).toString()).toBe(kept);
  });

  test("finds nothing behind a link that has expired, was changed, or was never given out", async () => {
    const { upload, request } = await announced(aCaller());
    const link = (purpose: string, payload: object, seconds: number): Request => ({
      ...request,
      url: `${server.url}/uploads/${signLink(purpose, payload, new Date(Date.now() + seconds * 1_000))}`,
    });
    const ids = { tenantId: upload.tenantId, uploadId: upload.id };
    expect(await refusal(link("upload", ids, -1), HANDBOOK)).toEqual([403, "LINK_EXPIRED"]);
    for (const wrong of [
      { ...request, url: `${request.url.slice(0, -4)}AAAA` },
      { ...request, url: `${server.url}/uploads/nonsense` },
      link("artifact", ids, 60),
      link("upload", { ...ids, tenantId: newId() }, 60),
      link("upload", { ...ids, uploadId: newId() }, 60),
      link("upload", { ...ids, uploadId: "'; DROP" }, 60),
    ])
      expect(await refusal(wrong, HANDBOOK)).toEqual([404, "KNOWLEDGE_UPLOAD_NOT_FOUND"]);
  });
});

describe("GET /documents/:signed", () => {
  const SHOW = `query ($id: ID!) { document(id: $id) { downloadUrl } }`;
  const linkTo = async (caller: Caller, id: string): Promise<string> =>
    (await expectData(schema, caller, SHOW, { id: encodeId("Document", id) })).document.downloadUrl as string;
  const get = async (url: string) => {
    const response = await fetch(url, { headers: token });
    return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() };
  };

  test("gives a document as it was given, to be saved, be it an upload or a text", async () => {
    const caller = aCaller();
    const collectionId = await aCollection(caller);
    await ingested(caller, collectionId, await stored(caller));
    await addDocuments(caller, {
      collectionId,
      documents: [{ title: "Größe", text: "<b>10</b>", mediaType: "text/html" }],
    });
    const [text, upload] = (await listDocuments(caller, collectionId, { first: 2 })).items;
    const saved = { "x-content-type-options": "nosniff", "content-security-policy": "sandbox" };
    expect(await get(await linkTo(caller, upload!.id))).toMatchObject({
      status: 200,
      body: HANDBOOK,
      headers: {
        ...saved,
        "content-disposition": "attachment; filename*=UTF-8''handbook.md",
        "content-length": String(HANDBOOK.length),
      },
    });
    expect(await get(await linkTo(caller, text!.id))).toMatchObject({
      status: 200,
      body: "<b>10</b>",
      headers: { ...saved, "content-disposition": "attachment; filename*=UTF-8''Gr%C3%B6%C3%9Fe.html" },
    });
    expect(await expectRefusal(schema, aCaller(), SHOW, { id: encodeId("Document", text!.id) })).toMatchObject({
      code: "NOT_FOUND",
    });
  });

  test("finds nothing behind a link that has expired, was changed, or whose document is gone", async () => {
    const caller = aCaller();
    const collectionId = await aCollection(caller);
    await ingested(caller, collectionId, await stored(caller));
    const [{ id } = { id: "" }] = (await listDocuments(caller, collectionId, { first: 1 })).items;
    const good = await linkTo(caller, id);
    const ids = { tenantId: caller.tenantId, documentId: id };
    const link = (payload: object, seconds: number): string =>
      `${server.url}/documents/${signLink("document", payload, new Date(Date.now() + seconds * 1_000))}`;
    expect(await get(link(ids, -1))).toMatchObject({ status: 403 });
    for (const wrong of [
      `${good.slice(0, -4)}AAAA`,
      link({ ...ids, tenantId: newId() }, 60),
      link({ ...ids, documentId: newId() }, 60),
    ])
      expect(await get(wrong)).toMatchObject({ status: 404 });
    expect(await get(good)).toMatchObject({ status: 200 });
    await deleteCollection(caller, collectionId);
    expect(await get(good)).toMatchObject({ status: 404 });
  });
});

describe("adding uploads as documents", () => {
  test("is refused for what is not there, not the tenant's, not sent, not in time, or a document already", async () => {
    const caller = aCaller();
    const collectionId = await aCollection(caller);
    const text = "Inline.";
    const add = (...documents: object[]) =>
      addDocuments(caller, { collectionId, documents: documents.map((document) => ({ title: "D", ...document })) });
    const pending = (await announced(caller)).upload.id;
    const used = await stored(caller);
    await ingested(caller, collectionId, used);
    const free = await stored(caller);
    const theirs = await stored(aCaller());
    for (const [documents, code, index] of [
      [[{ text }, { uploadId: newId() }], "KNOWLEDGE_UPLOAD_NOT_FOUND", 1],
      [[{ uploadId: theirs }], "KNOWLEDGE_UPLOAD_NOT_FOUND", 0],
      [[{ text }, { uploadId: pending }], "KNOWLEDGE_UPLOAD_NOT_STORED", 1],
      [[{ text }, { uploadId: used }], "KNOWLEDGE_UPLOAD_USED", 1],
      [[{ uploadId: free }, { uploadId: free }], "KNOWLEDGE_UPLOAD_USED", 1],
      [[{ text, uploadId: free }], "KNOWLEDGE_DOCUMENT_CONTENT_AMBIGUOUS", 0],
      [[{ text }, {}], "KNOWLEDGE_DOCUMENT_CONTENT_AMBIGUOUS", 1],
    ] as const)
      await expect(add(...documents), code).rejects.toMatchObject({ code, details: { index } });
    await expire(caller);
    await expect(add({ uploadId: free })).rejects.toMatchObject({ code: "KNOWLEDGE_UPLOAD_EXPIRED" });
    // Nothing of what was refused is left.
    expect((await listDocuments(caller, collectionId, { first: 10 })).items).toHaveLength(1);
    const viewer = aColleagueOf(caller, ["knowledge:read"]);
    const CREATE = `mutation { createUpload(input: { fileName: "a", mediaType: "text/plain", sizeBytes: 1 }) { upload { id } } }`;
    expect(await expectRefusal(schema, viewer, CREATE)).toMatchObject({ code: "FORBIDDEN" });
    expect(await expectData(schema, viewer, "{ uploadLimits { maxBytes maxTextBytes mediaTypes } }")).toEqual({
      uploadLimits: {
        maxBytes: 33_554_432,
        maxTextBytes: 1_048_576,
        mediaTypes: ["text/plain", "text/markdown", "text/html"],
      },
    });
  });

  test("makes one document of the same file twice, and indexes it once", async () => {
    const caller = aCaller();
    const collectionId = await aCollection(caller);
    await ingested(caller, collectionId, await stored(caller));
    expect(await ingested(caller, collectionId, await stored(caller))).toMatchObject({ documentsReady: 1 });
    expect((await listDocuments(caller, collectionId, { first: 10 })).items).toMatchObject([
      { revision: 2, chunkCount: 1 },
    ]);
  });

  test("fails for what is not what it was declared to be, and says so", async () => {
    const caller = aCaller();
    const collectionId = await aCollection(caller);
    expect(await ingested(caller, collectionId, await stored(caller, "%PDF-1.7\u0000\u0001"))).toMatchObject({
      status: "FAILED",
      failures: [{ message: "The document's text could not be read: the file is no text in UTF-8 or UTF-16." }],
    });
    const tampered = await stored(caller);
    await blobStore().put(
      blobKeyOf({ tenantId: caller.tenantId, id: tampered }),
      Buffer.from(HANDBOOK.replace("thirty", "twenty")),
    );
    expect(await ingested(caller, collectionId, tampered)).toMatchObject({
      failures: [{ message: "The upload's bytes are not those that its checksum is of." }],
    });
  });
});

describe("forgetting uploads", () => {
  const isKept = async (caller: Caller, id: string): Promise<boolean> => {
    const there = (await blobStore().sizeOf(blobKeyOf({ tenantId: caller.tenantId, id }))) !== undefined;
    expect((await uploadsOf(caller)).includes(id)).toBe(there);
    return there;
  };

  const areKept = async (caller: Caller, ids: readonly string[]): Promise<boolean[]> => {
    const kept: boolean[] = [];
    for (const id of ids) kept.push(await isKept(caller, id));
    return kept;
  };

  test("takes those that were not used in time, with their bytes, and leaves those of documents", async () => {
    const caller = aCaller();
    const collectionId = await aCollection(caller);
    const [used, unused] = [await stored(caller), await stored(caller)];
    await ingested(caller, collectionId, used);
    await forgetUploads(signal);
    expect(await isKept(caller, unused)).toBe(true);
    await expire(caller);
    await Promise.all([forgetUploads(signal), forgetUploads(signal)]);
    expect(await isKept(caller, unused)).toBe(false);
    expect(await isKept(caller, used)).toBe(true);
  });

  test("takes what a document was before, what came too late, and what went with its document or collection", async () => {
    const caller = aCaller();
    const collectionId = await aCollection(caller);
    const first = await stored(caller, HANDBOOK);
    await ingested(caller, collectionId, first, "handbook");
    const second = await stored(caller, HANDBOOK.replace("thirty", "forty"));
    await ingested(caller, collectionId, second, "handbook");
    const same = await stored(caller, HANDBOOK.replace("thirty", "forty"));
    await ingested(caller, collectionId, same, "handbook");
    await forgetUploads(signal);
    expect(await areKept(caller, [first, second, same])).toEqual([false, true, false]);
    const pending = await stored(caller, HANDBOOK.replace("thirty", "fifty"));
    await addDocuments(caller, { collectionId, documents: [{ title: "Pending", uploadId: pending }] });
    await deleteCollection(caller, collectionId);
    await purgeRemoved(signal);
    await forgetUploads(signal);
    expect(await areKept(caller, [second, pending])).toEqual([false, false]);
  });
});

// Last: the file stays with this store.
describe("a store that takes uploads in itself", () => {
  test("is where the link leads, and has to have the bytes", async () => {
    const s3 = await startScriptedS3();
    await useBlobStore(
      loadConfig({
        BLOB_S3_BUCKET: "uploads",
        BLOB_S3_ENDPOINT: s3.url,
        BLOB_S3_ACCESS_KEY_ID: "key",
        BLOB_S3_SECRET_ACCESS_KEY: S3_SECRET,
      }),
    );
    const caller = aCaller();
    const collectionId = await aCollection(caller);
    const [one, other] = [await announced(caller), await announced(caller)];
    expect(one.request.url).toMatch(new RegExp(`^${s3.url}/uploads/${caller.tenantId}/`));
    await expect(ingested(caller, collectionId, one.upload.id)).rejects.toMatchObject({
      code: "KNOWLEDGE_UPLOAD_NOT_STORED",
    });
    expect((await fetch(one.request.url, { method: "PUT", body: HANDBOOK, headers: one.request.headers })).status).toBe(
      200,
    );
    expect(await ingested(caller, collectionId, one.upload.id)).toMatchObject({
      status: "COMPLETED",
      documentsReady: 1,
    });
    expect(await searchKnowledge(caller, { query: "zebrafish", topK: 5 })).toHaveLength(1);
    // A store that does not look at what was signed: what it has is compared all the same.
    s3.objects.set(`/uploads/${blobKeyOf(other.upload)}`, Buffer.from("short"));
    await expect(ingested(caller, collectionId, other.upload.id)).rejects.toMatchObject({
      code: "KNOWLEDGE_UPLOAD_SIZE_DIFFERS",
      details: { declared: HANDBOOK.length, stored: 5 },
    });
    await expire(caller);
    await forgetUploads(signal);
    expect([...s3.objects.keys()]).toEqual([`/uploads/${blobKeyOf(one.upload)}`]);
    await s3.close();
  });
});
