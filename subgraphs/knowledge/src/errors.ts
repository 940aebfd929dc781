import { defineErrors } from "@sba/platform/errors";

export const errors = defineErrors("knowledge", {
  KNOWLEDGE_COLLECTION_NOT_FOUND: { kind: "not_found", message: "There is no such collection." },
  KNOWLEDGE_COLLECTION_NAME_INVALID: { kind: "invalid_input", message: "A collection's name has 1 to 200 characters." },
  KNOWLEDGE_DOCUMENT_NOT_FOUND: { kind: "not_found", message: "There is no such document." },
  KNOWLEDGE_DOCUMENT_TITLE_TOO_LONG: {
    kind: "invalid_input",
    message: "A document's title has at most 500 characters.",
  },
  KNOWLEDGE_DOCUMENT_LABEL_INVALID: {
    kind: "invalid_input",
    message: "An external id has 1 to 500 characters, a URI 1 to 2,000.",
  },
  KNOWLEDGE_DOCUMENT_URI_INVALID: {
    kind: "invalid_input",
    message: "A document's URI is absolute: http, https, ftp, sftp, mailto, urn, s3 or gs.",
  },
  KNOWLEDGE_DOCUMENT_TOO_LARGE: { kind: "payload_too_large", message: "A document holds at most 1 MiB of text." },
  KNOWLEDGE_DOCUMENT_UNREADABLE: { kind: "invalid_input", message: "The document's text could not be read." },
  KNOWLEDGE_DOCUMENT_NOT_INDEXED: { kind: "internal", message: "The document could not be indexed." },
  KNOWLEDGE_DOCUMENTS_MISSING: { kind: "invalid_input", message: "Give at least one document." },
  KNOWLEDGE_DOCUMENTS_TOO_MANY: { kind: "invalid_input", message: "Give at most 100 documents at a time." },
  KNOWLEDGE_MEDIA_TYPE_UNKNOWN: {
    kind: "invalid_input",
    message: "The media type is none of text/plain, text/markdown and text/html.",
  },
  KNOWLEDGE_DOCUMENT_CONTENT_AMBIGUOUS: {
    kind: "invalid_input",
    message: "Give a document's text, or the upload that holds it: one of them.",
  },
  KNOWLEDGE_UPLOAD_NOT_FOUND: { kind: "not_found", message: "There is no such upload." },
  KNOWLEDGE_UPLOAD_INVALID: {
    kind: "invalid_input",
    message:
      "An upload has a file name of 1 to 255 characters, at least one byte, and a checksum of 64 hexadecimal digits or none.",
  },
  KNOWLEDGE_UPLOAD_TOO_LARGE: { kind: "payload_too_large", message: "The file is larger than uploads may be." },
  KNOWLEDGE_UPLOADS_TOO_MANY: {
    kind: "quota_exceeded",
    message: "Too many uploads have not become documents yet: add them, or wait until they expire.",
  },
  KNOWLEDGE_UPLOAD_SIZE_DIFFERS: { kind: "invalid_input", message: "The upload has not the size that was declared." },
  KNOWLEDGE_UPLOAD_TYPE_DIFFERS: {
    kind: "invalid_input",
    message: "The upload has not the media type that was declared.",
  },
  KNOWLEDGE_UPLOAD_CHECKSUM_DIFFERS: {
    kind: "invalid_input",
    message: "The upload's bytes are not those that its checksum is of.",
  },
  KNOWLEDGE_UPLOAD_STORED: { kind: "conflict", message: "Other bytes were stored for this upload before." },
  KNOWLEDGE_UPLOAD_NOT_STORED: { kind: "conflict", message: "The upload's bytes have not been stored yet." },
  KNOWLEDGE_UPLOAD_USED: { kind: "conflict", message: "The upload has become a document before." },
  KNOWLEDGE_UPLOAD_EXPIRED: { kind: "conflict", message: "The upload was not used in time: begin it anew." },
  KNOWLEDGE_INGESTION_NOT_FOUND: { kind: "not_found", message: "There is no such ingestion." },
  KNOWLEDGE_INGESTION_LEASE_LOST: { kind: "unavailable", message: "Another worker took the ingestion over." },
  KNOWLEDGE_EMBEDDING_FAILED: { kind: "upstream_failed", message: "The embedding model did not answer as it should." },
  KNOWLEDGE_QUERY_INVALID: {
    kind: "invalid_input",
    message: "A query has 1 to 4,000 characters, topK is 1 to 100 and at most 100 collections are named.",
  },
});
