import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { AppError } from "@sba/platform/errors";
import type { Source } from "@sba/platform/generated/prisma/client";
import { reader } from "@sba/platform/reader";
import { errors } from "../errors.ts";
import { advanceIngestion } from "../jobs.ts";
import { commitSources } from "./commit.ts";
import { planRevision } from "./ingestion.state.ts";
import { indexHashOf, prepareSource, type PreparedSource, type PrepareOptions } from "./prepare.ts";

/** The work of the job `knowledge.ingestion.advance`. */

/** A transaction takes up to this many documents, and stops at this much text. */
const BATCH_DOCUMENTS = 25;
const BATCH_BYTES = 1024 * 1024;

export interface RunIngestionOptions {
  readonly signal: AbortSignal;
  /** Of the job, from 1. At the last one, what could be retried counts as failed. */
  readonly attempt?: number;
}

/**
 * Ingests what is pending, a batch a transaction. May be stopped anywhere and run again, also twice at once: what is
 * committed is not done again, what is not committed left no trace.
 */
export async function runIngestion(
  caller: Caller,
  { ingestionId }: { readonly ingestionId: string },
  { signal, attempt = 1 }: RunIngestionOptions,
): Promise<void> {
  const options = { signal, isLastAttempt: attempt >= advanceIngestion.attempts };
  for (;;) {
    signal.throwIfAborted();
    const sources = await readBatch(caller, ingestionId);
    if (sources.length === 0) return;
    const prepared: PreparedSource[] = [];
    for (const source of await withoutUnchanged(caller, sources, prepared))
      prepared.push(await prepareSource(source, options));
    await commitOrIsolate(caller, ingestionId, prepared, options);
  }
}

function readBatch(caller: Caller, ingestionId: string): Promise<Source[]> {
  return withTenant(
    caller,
    (tx) => tx.sql<Source>`
    SELECT * FROM knowledge.source WHERE ingestion_id = ${ingestionId} AND number IN (
      SELECT number FROM (
        SELECT number, sum(octet_length(text)) OVER (ORDER BY number) - octet_length(text) AS bytes_before
        FROM knowledge.source WHERE ingestion_id = ${ingestionId} AND status = 'PENDING' ORDER BY number LIMIT ${BATCH_DOCUMENTS}
      ) AS pending WHERE bytes_before < ${BATCH_BYTES})
    ORDER BY number`,
  );
}

/** Those that have to be indexed; the others need no preparing. Decided again under lock: this only saves the work. */
async function withoutUnchanged(
  caller: Caller,
  sources: readonly Source[],
  prepared: PreparedSource[],
): Promise<Source[]> {
  const rows = await reader(caller).document.findMany({
    where: { id: { in: sources.map(({ documentId }) => documentId) } },
    select: { id: true, indexedRevision: true, indexedHash: true },
  });
  const documents = new Map(rows.map((row) => [row.id, row]));
  return sources.filter((source) => {
    const document = documents.get(source.documentId);
    const isNeeded = document === undefined || planRevision(document, source.revision, indexHashOf(source)) === "INDEX";
    if (!isNeeded) prepared.push({ source });
    return isNeeded;
  });
}

/**
 * A batch with something in it that the database refuses is tried document by document, and only that document fails.
 * What may pass (the database is away, two deadlocked) is thrown, for the job to be tried again.
 */
async function commitOrIsolate(
  caller: Caller,
  ingestionId: string,
  prepared: readonly PreparedSource[],
  options: PrepareOptions,
): Promise<void> {
  try {
    await commitSources(caller, ingestionId, prepared);
  } catch (error) {
    if (!isRefusal(error, options)) throw error;
    const [only] = prepared;
    if (prepared.length > 1) {
      for (const item of prepared) await commitOrIsolate(caller, ingestionId, [item], options);
    } else if (only?.chunks) {
      const failure = errors.KNOWLEDGE_DOCUMENT_NOT_INDEXED({ cause: error });
      await commitSources(caller, ingestionId, [{ source: only.source, failure }]);
    } else throw error;
  }
}

// Classes 22 data exception, 23 integrity violation, 54 limit exceeded: https://www.postgresql.org/docs/18/errcodes-appendix.html
const REFUSED = /^(22|23|54)/;

/** True for what will be refused again. */
function isRefusal(error: unknown, { isLastAttempt }: PrepareOptions): boolean {
  if (error instanceof AppError) return false;
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return isLastAttempt || REFUSED.test(code);
}
