import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { AppError } from "@sba/platform/errors";
import type { Source } from "@sba/platform/generated/prisma/client";
import { reader } from "@sba/platform/reader";
import { errors } from "../errors.ts";
import { commitSources } from "./commit.ts";
import { MAX_ATTEMPTS, planRevision } from "./ingestion.state.ts";
import { giveBack, keepIngestionLease, takeLease, type Leased } from "./lease.ts";
import { indexHashOf, prepareSource, type PreparedSource, type PrepareOptions } from "./prepare.ts";

/** The work of the job `knowledge.ingestion.advance`. */

/** A transaction takes up to this many documents, and stops at this much text. */
const BATCH_DOCUMENTS = 25;
const BATCH_BYTES = 1024 * 1024;
/** Workers that still die at it take its documents one by one, and give up the one at which two more died. */
const MAX_ATTEMPTS_ALONE = 2;

export interface RunIngestionOptions {
  /** Aborted when the worker drains. */
  readonly signal: AbortSignal;
}

/**
 * Ingests what is pending, a batch a transaction. May be stopped anywhere and run again, also by several at once: one of them
 * has the lease, what is committed is not done again, what is not committed left no trace.
 * @throws what went wrong and may pass; the ingestion is then due again at once
 */
export async function runIngestion(
  caller: Caller,
  { ingestionId }: { readonly ingestionId: string },
  { signal }: RunIngestionOptions,
): Promise<void> {
  signal.throwIfAborted();
  const leased = await takeLease(caller, ingestionId);
  if (!leased) return;
  const keeper = keepIngestionLease(caller, leased, signal);
  try {
    await ingestPending(caller, leased, keeper.signal);
  } catch (error) {
    // Another worker has the ingestion: nothing of what this one was doing was committed.
    if (error instanceof AppError && error.code === "KNOWLEDGE_INGESTION_LEASE_LOST") return;
    // Neither a worker that drains nor a tenant that was suspended has tried it.
    await giveBack(caller, leased, !keeper.signal.aborted).catch(() => undefined); // the lease ends by itself
    if (keeper.signal.aborted && !signal.aborted) return;
    throw error;
  } finally {
    keeper.stop();
  }
}

async function ingestPending(caller: Caller, leased: Leased, signal: AbortSignal): Promise<void> {
  const { attempt } = leased;
  const isAlone = attempt > MAX_ATTEMPTS;
  let isLastAttempt = attempt >= MAX_ATTEMPTS;
  if (attempt > MAX_ATTEMPTS + MAX_ATTEMPTS_ALONE) await giveUpFirst(caller, leased);
  for (;;) {
    signal.throwIfAborted();
    const sources = await readBatch(caller, leased.id, isAlone ? 1 : BATCH_DOCUMENTS);
    if (sources.length === 0) return;
    const options = { signal, isLastAttempt };
    const prepared: PreparedSource[] = [];
    for (const source of await withoutUnchanged(caller, sources, prepared))
      prepared.push(await prepareSource(caller, source, options));
    await commitOrIsolate(caller, leased, prepared, options);
    isLastAttempt = isAlone;
  }
}

/** The document at which workers die without a word. */
async function giveUpFirst(caller: Caller, leased: Leased): Promise<void> {
  const [source] = await readBatch(caller, leased.id, 1);
  if (source) await commitSources(caller, leased, [{ source, failure: errors.KNOWLEDGE_DOCUMENT_NOT_INDEXED() }]);
}

function readBatch(caller: Caller, ingestionId: string, most: number): Promise<Source[]> {
  return withTenant(
    caller,
    (tx) => tx.sql<Source>`
    SELECT * FROM knowledge.source WHERE ingestion_id = ${ingestionId} AND number IN (
      SELECT number FROM (
        SELECT number, sum(bytes) OVER (ORDER BY number) - bytes AS bytes_before
        FROM knowledge.source LEFT JOIN knowledge.upload ON upload.tenant_id = source.tenant_id AND upload.id = upload_id,
             LATERAL (SELECT coalesce(octet_length(text), size_bytes, 0) AS bytes) AS content
        WHERE ingestion_id = ${ingestionId} AND status = 'PENDING' ORDER BY number LIMIT ${most}
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
  leased: Leased,
  prepared: readonly PreparedSource[],
  options: PrepareOptions,
): Promise<void> {
  try {
    await commitSources(caller, leased, prepared);
  } catch (error) {
    if (!isRefusal(error, options)) throw error;
    const [only] = prepared;
    if (prepared.length > 1) {
      for (const item of prepared) await commitOrIsolate(caller, leased, [item], options);
    } else if (only?.chunks) {
      const failure = errors.KNOWLEDGE_DOCUMENT_NOT_INDEXED({ cause: error });
      await commitSources(caller, leased, [{ source: only.source, failure }]);
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
