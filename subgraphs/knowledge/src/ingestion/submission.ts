import { hashInput } from "@sba/platform/idempotency";
import { cleanText, type MediaType } from "../document/document.text.ts";
import { errors } from "../errors.ts";
import { toMediaType, type Upload } from "../upload/upload.ts";

/** Checks what users give before any of it is stored: all or nothing. Pure. */

export interface DocumentInput {
  /** At most 500 characters; may be empty. */
  readonly title: string;
  /** At most 1 MiB in UTF-8. This or `uploadId`. */
  readonly text?: string | null | undefined;
  /** UUID. A document takes its upload for itself. */
  readonly uploadId?: string | null | undefined;
  /** text/plain (the default), text/markdown or text/html; parameters such as a charset are ignored. An upload has its own. */
  readonly mediaType?: string | null | undefined;
  /** Identifies the document within its collection. 1 to 500 characters. */
  readonly externalId?: string | null | undefined;
  /** Where people find the original: an absolute URI that can be followed, https: or another of a few schemes. 1 to 2,000 characters. */
  readonly uri?: string | null | undefined;
}

/** A document as it is stored. */
export interface Submitted {
  readonly identity: string;
  readonly externalId: string | null;
  readonly title: string;
  readonly uri: string | null;
  readonly mediaType: MediaType;
  /** Null when the content is an upload. */
  readonly text: string | null;
  readonly uploadId: string | null;
  readonly contentHash: string;
}

export const MAX_DOCUMENTS = 100;
export const MAX_TEXT_BYTES = 1024 * 1024;
const MAX_TITLE_LENGTH = 500;
const MAX_EXTERNAL_ID_LENGTH = 500;
const MAX_URI_LENGTH = 2_000;

/** @throws KNOWLEDGE_DOCUMENTS_MISSING, KNOWLEDGE_DOCUMENTS_TOO_MANY */
export function checkNumber(documents: readonly DocumentInput[]): void {
  if (documents.length === 0) throw errors.KNOWLEDGE_DOCUMENTS_MISSING();
  if (documents.length > MAX_DOCUMENTS)
    throw errors.KNOWLEDGE_DOCUMENTS_TOO_MANY({ details: { limit: MAX_DOCUMENTS, given: documents.length } });
}

/**
 * The documents, cleaned and hashed. `uploads` are those that they name, by their UUIDs.
 * @throws KNOWLEDGE_DOCUMENT_CONTENT_AMBIGUOUS, KNOWLEDGE_DOCUMENTS_MISSING, KNOWLEDGE_DOCUMENTS_TOO_MANY, KNOWLEDGE_DOCUMENT_TITLE_TOO_LONG,
 *   KNOWLEDGE_DOCUMENT_LABEL_INVALID, KNOWLEDGE_DOCUMENT_URI_INVALID, KNOWLEDGE_DOCUMENT_TOO_LARGE, KNOWLEDGE_MEDIA_TYPE_UNKNOWN; `details.index` says which
 */
export function checkSubmission(
  documents: readonly DocumentInput[],
  uploads: ReadonlyMap<string, Upload> = new Map(),
): Submitted[] {
  checkNumber(documents);
  return documents.map((document, index) => checkDocument(document, index, uploads));
}

function checkDocument(input: DocumentInput, index: number, uploads: ReadonlyMap<string, Upload>): Submitted {
  const given = checkContent(input, index, uploads);
  const title = cleanText(input.title).trim();
  if (title.length > MAX_TITLE_LENGTH) throw errors.KNOWLEDGE_DOCUMENT_TITLE_TOO_LONG({ details: { index } });
  const labels = { title, uri: checkUri(input.uri, index), mediaType: given.mediaType };
  const externalId = checkLabel(input.externalId, MAX_EXTERNAL_ID_LENGTH, index);
  const contentHash = hashInput({ ...labels, ...given.hashed });
  return {
    ...labels,
    text: given.text,
    uploadId: given.uploadId,
    externalId,
    contentHash,
    identity: externalId === null ? `content:${contentHash}` : `external:${externalId}`,
  };
}

interface Content extends Pick<Submitted, "mediaType" | "text" | "uploadId"> {
  /** What tells its content from another. */
  readonly hashed: Readonly<Record<string, string>>;
}

function checkContent(input: DocumentInput, index: number, uploads: ReadonlyMap<string, Upload>): Content {
  const { text = null, uploadId = null } = input;
  if ((text === null) === (uploadId === null))
    throw errors.KNOWLEDGE_DOCUMENT_CONTENT_AMBIGUOUS({ details: { index } });
  if (text === null) return ofUpload(uploads.get(uploadId ?? ""), index);
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_TEXT_BYTES)
    throw errors.KNOWLEDGE_DOCUMENT_TOO_LARGE({ details: { index, bytes, limit: MAX_TEXT_BYTES } });
  const cleaned = cleanText(text);
  return {
    mediaType: checkMediaType(input.mediaType, index),
    text: cleaned,
    uploadId: null,
    hashed: { text: cleaned },
  };
}

/** A store that took the bytes in itself was not asked for their checksum: such an upload is like no other. */
function ofUpload(upload: Upload | undefined, index: number): Content {
  if (!upload) throw errors.KNOWLEDGE_UPLOAD_NOT_FOUND({ details: { index } });
  const { id, sha256 } = upload;
  const hashed: Content["hashed"] = sha256 === null ? { uploadId: id } : { sha256 };
  return { mediaType: checkMediaType(upload.mediaType, index), text: null, uploadId: id, hashed };
}

function checkMediaType(given: string | null | undefined, index: number): MediaType {
  const mediaType = toMediaType(given ?? "text/plain");
  if (mediaType === undefined) throw errors.KNOWLEDGE_MEDIA_TYPE_UNKNOWN({ details: { index } });
  return mediaType;
}

// People follow it: what a browser would run (javascript:, data:, blob:) or look for on their own machine (file:) is none.
const URI_SCHEMES = new Set(["http:", "https:", "ftp:", "sftp:", "mailto:", "urn:", "s3:", "gs:"]);

function checkUri(given: string | null | undefined, index: number): string | null {
  const uri = checkLabel(given, MAX_URI_LENGTH, index);
  if (uri !== null && !(URL.canParse(uri) && URI_SCHEMES.has(new URL(uri).protocol)))
    throw errors.KNOWLEDGE_DOCUMENT_URI_INVALID({ details: { index } });
  return uri;
}

function checkLabel(given: string | null | undefined, limit: number, index: number): string | null {
  if (given === null || given === undefined) return null;
  const label = cleanText(given).trim();
  if (label === "" || label.length > limit) throw errors.KNOWLEDGE_DOCUMENT_LABEL_INVALID({ details: { index } });
  return label;
}
