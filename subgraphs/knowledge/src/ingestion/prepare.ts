import type { Caller } from "@sba/platform/caller";
import { ensureAppError, type AppError } from "@sba/platform/errors";
import { hashInput } from "@sba/platform/idempotency";
import type { Source } from "@sba/platform/generated/prisma/client";
import { indexChunks, type IndexedChunk } from "../chunk/chunk-index.ts";
import { readDocument } from "../document/document.reader.ts";
import { isMediaType } from "../document/document.text.ts";
import { embedder } from "../embedding/embedder.ts";
import { errors } from "../errors.ts";
import { readUpload } from "../upload/content.ts";

/** Everything about a document's content that needs no transaction: reading, cutting, counting, embedding. */

export interface PreparedSource {
  readonly source: Source;
  /** Absent when preparing failed, or was not needed as it seemed before the lock. */
  readonly chunks?: readonly IndexedChunk[];
  readonly failure?: AppError;
}

/** Raise it when the same text would give other chunks or terms: what is added again is then indexed again. */
const PIPELINE_VERSION = 1;

/** The same for what would give the same index. */
export function indexHashOf(source: Pick<Source, "contentHash">): string {
  return hashInput([PIPELINE_VERSION, embedder().model, source.contentHash]);
}

export interface PrepareOptions {
  readonly signal: AbortSignal;
  /** The job is not tried again after this: what could be retried fails now. */
  readonly isLastAttempt: boolean;
}

/**
 * Prepares one document. What is wrong with the document is its failure; what may pass (the embedding model is away) is
 * thrown, so that the job is tried again, unless this was the last attempt.
 */
export async function prepareSource(
  caller: Caller,
  source: Source,
  { signal, isLastAttempt }: PrepareOptions,
): Promise<PreparedSource> {
  try {
    return { source, chunks: await indexChunks(source.title, await cutIntoChunks(caller, source), signal) };
  } catch (error) {
    const failure = ensureAppError(error);
    if (signal.aborted || (failure.retryable && !isLastAttempt)) throw error;
    return { source, failure };
  }
}

async function cutIntoChunks(caller: Caller, { text, uploadId, mediaType }: Source) {
  if (!isMediaType(mediaType)) throw errors.KNOWLEDGE_MEDIA_TYPE_UNKNOWN();
  const content = uploadId === null ? (text ?? "") : await readUpload(caller, uploadId);
  return readDocument({ content, mediaType });
}
