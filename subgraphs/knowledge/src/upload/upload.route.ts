import { blobStore, type StagedBlob } from "@sba/platform/blobs";
import { withTenant } from "@sba/platform/db";
import { AppError, platformErrors } from "@sba/platform/errors";
import { isUuid } from "@sba/platform/ids";
import { secretErrors, verifyLink } from "@sba/platform/secrets";
import type { Route, RouteRequest, RouteResponse } from "@sba/platform/server";
import { z } from "zod";
import { errors } from "../errors.ts";
import { blobKeyOf, findUploads, LINK_PURPOSE, toMediaType, type Upload } from "./upload.ts";

/** Where the bytes of uploads go, unless the store takes them in itself. */

const uuid = z.string().refine(isUuid);
const linkPayload = z.object({ tenantId: uuid, uploadId: uuid });

/** `PUT /uploads/:signed`. */
export const uploadRoute: Route = { method: "PUT", path: "/uploads/:signed", handle: receive };

/**
 * Takes the bytes that were announced, once; the same bytes again change nothing.
 * @throws LINK_EXPIRED, KNOWLEDGE_UPLOAD_NOT_FOUND for anything else than a link of ours; KNOWLEDGE_UPLOAD_TYPE_DIFFERS,
 *   KNOWLEDGE_UPLOAD_SIZE_DIFFERS, KNOWLEDGE_UPLOAD_CHECKSUM_DIFFERS, KNOWLEDGE_UPLOAD_STORED, OPERATION_CANCELLED
 */
async function receive({ params, headers, body, signal }: RouteRequest): Promise<RouteResponse> {
  const { tenantId, uploadId } = readLink(params["signed"] ?? "");
  const [upload] = await findUploads({ tenantId }, [uploadId]);
  const { intake } = blobStore();
  if (!upload || intake.at !== "platform") throw errors.KNOWLEDGE_UPLOAD_NOT_FOUND();
  if (toMediaType(headers["content-type"] ?? "") !== upload.mediaType) throw errors.KNOWLEDGE_UPLOAD_TYPE_DIFFERS();
  // Known before a byte is read; without it, as when it comes in parts, nothing is taken.
  requireSize(upload, Number(headers["content-length"] ?? NaN));
  const options = { maxBytes: upload.sizeBytes, signal };
  const staged = await intake.stage(blobKeyOf(upload), body, options).catch((error: unknown) => {
    throw isBrokenOff(error) ? platformErrors.OPERATION_CANCELLED({ cause: error }) : error;
  });
  try {
    requireSize(upload, staged.sizeBytes);
    if (upload.storedAt === null && upload.sha256 !== null && upload.sha256 !== staged.sha256)
      throw errors.KNOWLEDGE_UPLOAD_CHECKSUM_DIFFERS();
    await keep(upload, staged);
  } finally {
    await staged.discard();
  }
  return { status: 204 };
}

function readLink(signed: string): z.infer<typeof linkPayload> {
  try {
    return linkPayload.parse(verifyLink(LINK_PURPOSE, signed));
  } catch (thrown) {
    // One answer for a forged link and for none: whoever guesses learns nothing.
    const expired = thrown instanceof AppError && thrown.code === secretErrors.LINK_EXPIRED().code;
    throw expired ? thrown : errors.KNOWLEDGE_UPLOAD_NOT_FOUND({ cause: thrown });
  }
}

function requireSize({ sizeBytes }: Upload, given: number): void {
  if (given !== sizeBytes) throw errors.KNOWLEDGE_UPLOAD_SIZE_DIFFERS({ details: { declared: sizeBytes } });
}

const BROKEN_OFF = new Set(["ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE", "ABORT_ERR"]);

function isBrokenOff(error: unknown): boolean {
  return error instanceof Error && "code" in error && BROKEN_OFF.has(String(error.code));
}

/** The bytes get their name while the row is locked: of two that come at once, the first stays. */
function keep({ tenantId, id }: Upload, staged: StagedBlob): Promise<void> {
  return withTenant({ tenantId }, async (tx) => {
    const [locked] = await tx.sql<Upload>`SELECT * FROM knowledge.upload WHERE id = ${id} FOR NO KEY UPDATE`;
    if (!locked) throw errors.KNOWLEDGE_UPLOAD_NOT_FOUND();
    if (locked.storedAt === null) {
      await tx.sql`UPDATE knowledge.upload SET stored_at = clock_timestamp(), sha256 = ${staged.sha256} WHERE id = ${id}`;
      await staged.keep();
    } else if (locked.sha256 !== staged.sha256) throw errors.KNOWLEDGE_UPLOAD_STORED();
  });
}
