/** How an ingestion and the documents in it move. Pure. */

export const INGESTION_STATUSES = ["PENDING", "RUNNING", "COMPLETED", "FAILED"] as const;
export type IngestionStatus = (typeof INGESTION_STATUSES)[number];

export const DOCUMENT_STATUSES = ["PENDING", "READY", "FAILED"] as const;
export type DocumentStatus = (typeof DOCUMENT_STATUSES)[number];

/** Beginnings without progress, over all workers that die or fail at it; at the last one, what could be retried counts as failed. */
export const MAX_ATTEMPTS = 5;

export interface Progress {
  readonly documentsTotal: number;
  readonly documentsReady: number;
  readonly documentsFailed: number;
}

/** Nothing can happen to the ingestion any more. */
export function isEnded(status: string): boolean {
  return status === "COMPLETED" || status === "FAILED";
}

/** COMPLETED with failures among its documents, unless all of them failed. */
export function statusOf({ documentsTotal, documentsReady, documentsFailed }: Progress): IngestionStatus {
  if (documentsFailed === documentsTotal) return "FAILED";
  return documentsReady + documentsFailed === documentsTotal ? "COMPLETED" : "RUNNING";
}

/** The document as its row says, locked or not. */
export interface CurrentContent {
  readonly indexedRevision: number;
  readonly indexedHash: string | null;
}

/** UNCHANGED: the index would come out the same. SUPERSEDED: newer content was indexed first. */
export type Plan = "INDEX" | "UNCHANGED" | "SUPERSEDED";

/** What is to be done with one submitted revision of a document. */
export function planRevision(document: CurrentContent, revision: number, hash: string): Plan {
  if (revision <= document.indexedRevision) return "SUPERSEDED";
  return document.indexedHash === hash ? "UNCHANGED" : "INDEX";
}
