import type { Tx } from "@sba/platform/db";
import { findPubSub } from "@sba/platform/pubsub";

/** The topic on which workers hear that a run may be due. */
export const RUNS_DUE = "agent.run.due";

/**
 * Says, in the transaction of whoever changed a run other than the worker that holds its lease, that there is something
 * new: the run is due unless it is paused, and a worker that is at it looks again before it commits anything. Every such
 * change ends with this. Needs no answer.
 */
export function wakeRun(tx: Tx, runId: string): void {
  void tx.sql`
    UPDATE agent.run SET due_at = CASE WHEN status = 'PAUSED' THEN due_at ELSE clock_timestamp() END, revision = revision + 1
    WHERE id = ${runId}`;
  nudge(tx);
}

/**
 * As `wakeRun`, of a change by which the run is not due: a worker that is at it anyway looks again before it commits anything.
 * Needs no answer.
 */
export function noticeChange(tx: Tx, runId: string): void {
  void tx.sql`UPDATE agent.run SET revision = revision + 1 WHERE id = ${runId}`;
}

const nudged = new WeakSet<Tx>();

/** Makes workers look for due runs once the transaction is committed, or so much later. */
export function nudge(tx: Tx, delayMs = 0): void {
  if (delayMs > 0)
    tx.afterCommit(() => {
      setTimeout(announceDue, delayMs).unref();
    });
  // One look finds all that a transaction made due.
  if (delayMs > 0 || nudged.has(tx)) return;
  nudged.add(tx);
  tx.afterCommit(announceDue);
}

/** A delayed one may come when this process has closed everything: somebody else's clock finds the run. */
function announceDue(): void {
  findPubSub()?.publish(RUNS_DUE);
}
