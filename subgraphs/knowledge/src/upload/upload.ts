import { recordAudit } from "@sba/platform/audit";
import { blobStore } from "@sba/platform/blobs";
import { requirePermission, type Caller, type TenantScope } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import type { Upload } from "@sba/platform/generated/prisma/client";
import { once } from "@sba/platform/idempotency";
import { encodeId, newId } from "@sba/platform/ids";
import { toPublicUrl } from "@sba/platform/public-url";
import { reader } from "@sba/platform/reader";
import { signLink } from "@sba/platform/secrets";
import { cleanText, isMediaType, type MediaType } from "../document/document.text.ts";
import { errors } from "../errors.ts";

/** A file on its way to becoming a document: announced, put where the link says, and then named in `addDocuments`. */

export type { Upload };

export interface CreateUploadInput {
  /** 1 to 255 characters. */
  readonly fileName: string;
  /** text/plain, text/markdown or text/html; parameters are ignored. */
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** Of the bytes, 64 hexadecimal digits: others are then refused. */
  readonly sha256?: string | null | undefined;
  readonly idempotencyKey?: string | null | undefined;
}

/** The one request that brings an upload's bytes. It needs no credentials but the URL. */
export interface UploadRequest {
  readonly method: "PUT";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly expiresAt: Date;
}

export interface UploadLimits {
  readonly maxBytes: number;
  /** Of a tenant, of those that have not become documents. */
  readonly maxPending: number;
}

export const LINK_PURPOSE = "upload";
const LINK_SECONDS = 60 * 60;
const KEPT_SECONDS = 24 * 60 * 60;
const MAX_FILE_NAME_LENGTH = 255;
const SHA256 = /^[0-9a-f]{64}$/;

let limits: UploadLimits = { maxBytes: 32 * 1024 * 1024, maxPending: 200 };

/** Sets what this process accepts, before it serves. */
export function useUploadLimits(given: UploadLimits): void {
  limits = given;
}

export function uploadLimits(): UploadLimits {
  return limits;
}

/** The media type without its parameters, if documents may be of it. */
export function toMediaType(given: string): MediaType | undefined {
  const mediaType = given.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return isMediaType(mediaType) ? mediaType : undefined;
}

/**
 * Announces a file and says where its bytes go. It is forgotten a day later, unless it has become a document.
 * @throws KNOWLEDGE_UPLOAD_INVALID, KNOWLEDGE_MEDIA_TYPE_UNKNOWN, KNOWLEDGE_UPLOAD_TOO_LARGE, KNOWLEDGE_UPLOADS_TOO_MANY;
 *   KNOWLEDGE_UPLOAD_NOT_FOUND for a repeat after it was forgotten; PERMISSION_MISSING, IDEMPOTENCY_KEY_REUSED
 */
export async function createUpload(
  caller: Caller,
  { idempotencyKey: key, ...given }: CreateUploadInput,
): Promise<{ readonly upload: Upload; readonly request: UploadRequest }> {
  requirePermission(caller, "knowledge:write");
  const file = checkFile(given);
  const upload = await withTenant(caller, async (tx) => {
    const operation = { operation: "createUpload", key, input: file };
    const id = await once(tx, caller, operation, newId(), (id) => announce(tx, caller, id, file));
    const [row] = await tx.sql<Upload>`SELECT * FROM knowledge.upload WHERE id = ${id}`;
    if (!row) throw errors.KNOWLEDGE_UPLOAD_NOT_FOUND();
    return row;
  });
  return { upload, request: await requestFor(upload) };
}

type File = Pick<Upload, "fileName" | "mediaType" | "sizeBytes" | "sha256">;

function checkFile(given: CreateUploadInput): File {
  const mediaType = toMediaType(given.mediaType);
  if (mediaType === undefined) throw errors.KNOWLEDGE_MEDIA_TYPE_UNKNOWN();
  const fileName = cleanText(given.fileName).trim();
  const sha256 = given.sha256?.toLowerCase() ?? null;
  const { sizeBytes } = given;
  const isValid =
    fileName !== "" &&
    fileName.length <= MAX_FILE_NAME_LENGTH &&
    Number.isInteger(sizeBytes) &&
    sizeBytes > 0 &&
    (sha256 === null || SHA256.test(sha256));
  if (!isValid) throw errors.KNOWLEDGE_UPLOAD_INVALID();
  if (sizeBytes > limits.maxBytes)
    throw errors.KNOWLEDGE_UPLOAD_TOO_LARGE({ details: { bytes: sizeBytes, limit: limits.maxBytes } });
  return { fileName, mediaType, sizeBytes, sha256 };
}

async function announce(tx: Tx, caller: Caller, id: string, file: File): Promise<void> {
  // One after the other in a tenant, so that they are counted.
  void tx.sql`SELECT pg_advisory_xact_lock(hashtextextended(${`knowledge.upload ${caller.tenantId}`}, 0))`;
  const [counted] = await tx.sql<{ pending: number }>`
    SELECT count(*)::int AS pending FROM knowledge.upload WHERE used_at IS NULL AND expires_at > clock_timestamp()`;
  if ((counted?.pending ?? 0) >= limits.maxPending)
    throw errors.KNOWLEDGE_UPLOADS_TOO_MANY({ details: { limit: limits.maxPending } });
  await Promise.all([
    tx.sql`
      INSERT INTO knowledge.upload (tenant_id, id, file_name, media_type, size_bytes, sha256, expires_at, forget_at)
      SELECT ${caller.tenantId}, ${id}, ${file.fileName}, ${file.mediaType}, ${file.sizeBytes}, ${file.sha256}, at, at
      FROM (SELECT clock_timestamp() + make_interval(secs => ${KEPT_SECONDS}) AS at) AS expiry`,
    recordAudit(tx, caller, {
      action: "knowledge.upload.created",
      target: encodeId("Upload", id),
      details: { fileName: file.fileName, mediaType: file.mediaType, sizeBytes: file.sizeBytes },
    }),
  ]);
}

async function requestFor(upload: Upload): Promise<UploadRequest> {
  const expiresAt = new Date(Date.now() + LINK_SECONDS * 1_000);
  const { intake } = blobStore();
  if (intake.at === "store") {
    const put = await intake.presignPut(blobKeyOf(upload), {
      mediaType: upload.mediaType,
      sizeBytes: upload.sizeBytes,
      sha256: upload.sha256 ?? undefined,
      expiresInSeconds: LINK_SECONDS,
    });
    return { method: "PUT", ...put, expiresAt };
  }
  const link = signLink(LINK_PURPOSE, { tenantId: upload.tenantId, uploadId: upload.id }, expiresAt);
  return {
    method: "PUT",
    url: toPublicUrl(`/uploads/${link}`),
    headers: { "content-type": upload.mediaType },
    expiresAt,
  };
}

export function blobKeyOf({ tenantId, id }: Pick<Upload, "tenantId" | "id">): string {
  return `${tenantId}/uploads/${id}`;
}

/** Those of the uploads that exist, in any order. */
export function findUploads(scope: TenantScope, ids: readonly string[]): Promise<Upload[]> {
  return reader(scope).upload.findMany({ where: { id: { in: [...ids] } } });
}

/**
 * The uploads by id, each with its bytes known to be there. `index` of an error says which.
 * @throws KNOWLEDGE_UPLOAD_NOT_FOUND, KNOWLEDGE_UPLOAD_EXPIRED, KNOWLEDGE_UPLOAD_NOT_STORED, KNOWLEDGE_UPLOAD_SIZE_DIFFERS
 */
export async function requireStored(
  scope: TenantScope,
  ids: readonly (string | undefined)[],
): Promise<ReadonlyMap<string, Upload>> {
  const wanted = ids.filter((id) => id !== undefined);
  const found = new Map(wanted.length === 0 ? [] : (await findUploads(scope, wanted)).map((row) => [row.id, row]));
  for (const [index, id] of ids.entries()) {
    if (id === undefined) continue;
    const upload = found.get(id);
    if (!upload) throw errors.KNOWLEDGE_UPLOAD_NOT_FOUND({ details: { index } });
    if (upload.usedAt === null) await checkStored(upload, index);
  }
  return found;
}

async function checkStored(upload: Upload, index: number): Promise<void> {
  if (upload.expiresAt.getTime() <= Date.now()) throw errors.KNOWLEDGE_UPLOAD_EXPIRED({ details: { index } });
  if (upload.storedAt !== null) return;
  // What went straight to a store of its own is there when the store says so.
  const sizeBytes = blobStore().intake.at === "store" ? await blobStore().sizeOf(blobKeyOf(upload)) : undefined;
  if (sizeBytes === undefined) throw errors.KNOWLEDGE_UPLOAD_NOT_STORED({ details: { index } });
  if (sizeBytes !== upload.sizeBytes)
    throw errors.KNOWLEDGE_UPLOAD_SIZE_DIFFERS({ details: { index, declared: upload.sizeBytes, stored: sizeBytes } });
}

/** Takes uploads for documents, each once; what has none is null. `index` of the error says which. @throws KNOWLEDGE_UPLOAD_USED */
export async function takeUploads(tx: Tx, ids: readonly (string | null)[]): Promise<void> {
  const wanted = ids.filter((id) => id !== null);
  if (wanted.length === 0) return;
  const taken = await tx.sql<{ id: string }>`
    UPDATE knowledge.upload SET used_at = clock_timestamp(), stored_at = coalesce(stored_at, clock_timestamp()), forget_at = NULL
    WHERE id = ANY(${wanted}::uuid[]) AND used_at IS NULL AND expires_at > clock_timestamp() RETURNING id`;
  const free = new Set(taken.map(({ id }) => id));
  for (const [index, id] of ids.entries())
    if (id !== null && !free.delete(id)) throw errors.KNOWLEDGE_UPLOAD_USED({ details: { index } });
}

/** Lets uploads go that no document has any more: `forgetUploads` removes them. */
export async function letGo(tx: Tx, ids: readonly (string | null)[]): Promise<void> {
  const those = ids.filter((id) => id !== null);
  if (those.length === 0) return;
  await tx.sql`UPDATE knowledge.upload SET forget_at = clock_timestamp() WHERE id = ANY(${those}::uuid[])`;
}
