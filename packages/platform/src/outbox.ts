import { setTimeout as delay } from "node:timers/promises";
import { systemTx, type Tx } from "./db.ts";
import { onOutboxCommitted, type OutboxRow } from "./jobs.ts";
import { logger } from "./log.ts";
import type { Queue } from "./queue.ts";

/**
 * The relay from the outbox to the queue. Whoever commits a row hands it over at once; whatever that way misses (the
 * process died, the queue was away) a sweep finds. A row is deleted only when the queue has its job.
 */

export interface Relay {
  /** Hands over what this process has committed, and stops sweeping. */
  close(): Promise<void>;
}

const SWEEP_EVERY_MS = 1_000;
/** Younger rows are on their way already. */
const SWEEP_AFTER = "2 seconds";
const BATCH_SIZE = 500;
/** Rows kept in memory while the queue is slow; those beyond are left to the sweep. */
const MAX_PENDING = 5_000;

/** Starts the relay of this process. There may be one in every process: rows are locked while they are handed over. */
export function startRelay(queue: Queue): Relay {
  const stopping = new AbortController();
  const delivered = openBatcher<string>(deleteRows);
  const committed = openBatcher<OutboxRow>(async (rows) => {
    await queue.add(rows);
    for (const { id } of rows) delivered.push(id);
  });
  onOutboxCommitted(committed.push);
  const sweeping = sweepUntil(stopping.signal, queue);
  return {
    async close() {
      onOutboxCommitted(undefined);
      stopping.abort();
      await committed.idle();
      await Promise.all([delivered.idle(), sweeping]);
    },
  };
}

async function deleteRows(ids: readonly string[]): Promise<void> {
  await systemTx("outbox: delete what the queue has", (tx) => deleteDelivered(tx, ids));
}

async function deleteDelivered(tx: Tx, ids: readonly string[]): Promise<void> {
  // Losing the deletion in a crash means handing over once more, which the job's id makes harmless.
  void tx.sql`SET LOCAL synchronous_commit = off`;
  await tx.sql`DELETE FROM platform.outbox WHERE id = ANY(${ids}::uuid[])`;
}

async function sweepUntil(signal: AbortSignal, queue: Queue): Promise<void> {
  let isFailing = false;
  while (!signal.aborted) {
    try {
      while ((await sweep(queue)) === BATCH_SIZE && !signal.aborted);
      if (isFailing) logger.info("outbox is handed over again");
      isFailing = false;
    } catch (error) {
      if (!isFailing) logger.warn({ err: error }, "outbox cannot be handed over; it is kept and tried again");
      isFailing = true;
    }
    await delay(SWEEP_EVERY_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** Hands over the oldest rows that nobody else is handing over, and returns how many. */
async function sweep(queue: Queue): Promise<number> {
  return systemTx("outbox: sweep", async (tx) => {
    const rows = await tx.sql<OutboxRow>`
      SELECT id, queue, name, envelope, attempts, backoff_ms, run_at FROM platform.outbox
      WHERE created_at < now() - ${SWEEP_AFTER}::interval ORDER BY created_at LIMIT ${BATCH_SIZE} FOR UPDATE SKIP LOCKED`;
    if (rows.length === 0) return 0;
    await queue.add(rows);
    await deleteDelivered(
      tx,
      rows.map(({ id }) => id),
    );
    return rows.length;
  });
}

interface Batcher<T> {
  readonly push: (item: T) => void;
  /** Resolves when nothing is waiting or under way. */
  idle(): Promise<void>;
}

/** Collects what is pushed in one turn of the event loop, or while a batch is under way, into the next batch. What fails is left to the sweep. */
function openBatcher<T>(run: (items: readonly T[]) => Promise<void>): Batcher<T> {
  const pending: T[] = [];
  let running: Promise<void> | undefined;

  async function runBatches(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (pending.length > 0) {
      await run(pending.splice(0, BATCH_SIZE)).catch((error: unknown) => {
        logger.debug({ err: error }, "outbox rows are left to the sweep");
      });
    }
    running = undefined;
  }

  return {
    push: (item) => {
      if (pending.length >= MAX_PENDING) return;
      pending.push(item);
      running ??= runBatches();
    },
    idle: async () => {
      while (running) await running;
    },
  };
}
