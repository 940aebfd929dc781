import type { Tx } from "@sba/platform/db";
import { findPubSub } from "@sba/platform/pubsub";

/** The topic on which workers hear that runs may be due: which, as `DueRuns` in JSON, or that somebody has to look. */
export const RUNS_DUE = "agent.run.due";

/** Runs that a commit made due: a worker with room takes them from their rows, without looking for them. */
export interface DueRuns {
  readonly tenantId: string;
  /** Accepted just now, and nothing is known of them that would keep a worker from asking their model. */
  readonly accepted: readonly AcceptedRun[];
  readonly woken: readonly WokenRun[];
}

export interface AcceptedRun {
  /** UUID. */
  readonly id: string;
  /** Of the work that accepted it. */
  readonly traceId?: string | undefined;
}

export interface WokenRun {
  /** UUID. */
  readonly id: string;
  /** The tool call whose fate was decided, when that woke it: a hint what to read. */
  readonly callId?: string | undefined;
}

/**
 * Says, in the transaction of whoever changed a run other than the worker that holds its lease, that there is something
 * new: the run is due unless it is paused, and a worker that is at it looks again before it commits anything. Every such
 * change ends with this. Needs no answer.
 */
export function wakeRun(tx: Tx, runId: string, callId?: string): void {
  void tx.sql`
    UPDATE agent.run SET due_at = CASE WHEN status = 'PAUSED' THEN due_at ELSE clock_timestamp() END, revision = revision + 1
    WHERE id = ${runId} AND ended_at IS NULL`;
  nameDue(tx, { woken: { id: runId, callId } });
}

/**
 * As `wakeRun`, of a change by which the run is not due: a worker that is at it anyway looks again before it commits anything.
 * Needs no answer.
 */
export function noticeChange(tx: Tx, runId: string): void {
  void tx.sql`UPDATE agent.run SET revision = revision + 1 WHERE id = ${runId}`;
}

const named = new WeakMap<Tx, { readonly accepted: AcceptedRun[]; readonly woken: WokenRun[] }>();

/** Has a worker take this run once the transaction is committed, and the others that the transaction names. */
export function nameDue(tx: Tx, run: { readonly accepted: AcceptedRun } | { readonly woken: WokenRun }): void {
  const { tenantId } = tx;
  if (tenantId === null) {
    nudge(tx);
    return;
  }
  const earlier = named.get(tx);
  const due: { readonly accepted: AcceptedRun[]; readonly woken: WokenRun[] } = earlier ?? { accepted: [], woken: [] };
  if ("accepted" in run) due.accepted.push(run.accepted);
  else due.woken.push(run.woken);
  if (earlier) return;
  named.set(tx, due);
  tx.afterCommit(() => {
    announce({ tenantId, ...due });
  });
}

/** With all that is said of each, the message stays below what either backend carries. */
const MOST_IN_A_MESSAGE = 64;

function announce(due: DueRuns): void {
  if (due.accepted.length + due.woken.length > MOST_IN_A_MESSAGE) announceDue();
  else findPubSub()?.publish(RUNS_DUE, JSON.stringify(due));
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
