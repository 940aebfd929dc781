import { attachmentHeaders } from "@sba/platform/attachment";
import { blobStore } from "@sba/platform/blobs";
import type { TenantScope } from "@sba/platform/caller";
import { withTenantOnce } from "@sba/platform/db";
import { AppError } from "@sba/platform/errors";
import { isUuid } from "@sba/platform/ids";
import { toPublicUrl } from "@sba/platform/public-url";
import { secretErrors, signLink, verifyLink } from "@sba/platform/secrets";
import type { Route, RouteResponse } from "@sba/platform/server";
import { z } from "zod";
import { errors } from "../errors.ts";
import { blobKeyOf } from "../upload/upload.ts";
import { isMediaType, type MediaType } from "./document.text.ts";

/** Links to documents as they were given: whoever holds one may download that document until it expires, without credentials. */

const PURPOSE = "document";
const uuid = z.string().refine(isUuid);
const linkPayload = z.object({ tenantId: uuid, documentId: uuid });

/** `expiresInSeconds`: 1 to 604,800. */
export function documentUrl({ tenantId, id }: { tenantId: string; id: string }, expiresInSeconds: number): string {
  const expiresAt = new Date(Date.now() + expiresInSeconds * 1_000);
  return toPublicUrl(`/documents/${signLink(PURPOSE, { tenantId, documentId: id }, expiresAt)}`);
}

/** `GET /documents/:signed`. */
export const documentRoute: Route = {
  method: "GET",
  path: "/documents/:signed",
  handle: ({ params }) => download(params["signed"] ?? ""),
};

interface Original {
  readonly title: string;
  readonly mediaType: string;
  readonly text: string | null;
  readonly uploadId: string | null;
  readonly fileName: string | null;
  readonly sizeBytes: number | null;
}

/** @throws LINK_EXPIRED, KNOWLEDGE_DOCUMENT_NOT_FOUND for anything else than a link of ours to a document that has its content */
async function download(signed: string): Promise<RouteResponse> {
  const { tenantId, documentId } = readLink(signed);
  const original = await findOriginal({ tenantId }, documentId);
  const { text = null, uploadId = null } = original ?? {};
  const body = uploadId === null ? text : await blobStore().find(blobKeyOf({ tenantId, id: uploadId }));
  if (!original || body === null || body === undefined) throw errors.KNOWLEDGE_DOCUMENT_NOT_FOUND();
  const { mediaType, sizeBytes } = original;
  const headers = attachmentHeaders({ name: nameOf(original), mediaType, sizeBytes: sizeBytes ?? undefined });
  return { status: 200, headers, body };
}

function readLink(signed: string): z.infer<typeof linkPayload> {
  try {
    return linkPayload.parse(verifyLink(PURPOSE, signed));
  } catch (thrown) {
    // One answer for a forged link and for none: whoever guesses learns nothing.
    const expired = thrown instanceof AppError && thrown.code === secretErrors.LINK_EXPIRED().code;
    throw expired ? thrown : errors.KNOWLEDGE_DOCUMENT_NOT_FOUND({ cause: thrown });
  }
}

/** What the document was last given and still has. */
async function findOriginal(scope: TenantScope, documentId: string): Promise<Original | undefined> {
  const [original] = await withTenantOnce(
    scope,
    (tx) => tx.sql<Original>`
    SELECT source.title, source.media_type, text, upload_id, file_name, size_bytes FROM knowledge.source
    JOIN knowledge.document ON document.id = document_id AND removed_at IS NULL
    JOIN knowledge.collection ON collection.id = document.collection_id AND deleted_at IS NULL
    LEFT JOIN knowledge.upload ON upload.id = upload_id
    WHERE document_id = ${documentId} AND (text IS NOT NULL OR upload_id IS NOT NULL) ORDER BY source.revision DESC LIMIT 1`,
  );
  return original;
}

const ENDINGS: Readonly<Record<MediaType, string>> = {
  "text/plain": ".txt",
  "text/markdown": ".md",
  "text/html": ".html",
};

function nameOf({ fileName, title, mediaType }: Original): string {
  return fileName ?? `${title === "" ? "document" : title}${isMediaType(mediaType) ? ENDINGS[mediaType] : ""}`;
}
