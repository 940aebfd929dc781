import type { Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { keepLease, LEASE_MS, type LeaseKeeper } from "@sba/platform/lease";
import { abortOnCancel } from "./cancel-signal.ts";

/**
 * Who may move a run. A lease lasts 4 s and is renewed each second by the worker that holds it; taking one raises the
 * fencing number, and every commit of a step asks for the number it was begun with. A worker that was paused and
 * wakes up late finds another number and can commit nothing.
 */

/** Takes the lease of a run that is due and that nobody holds; undefined when there is nothing to do. */
export async function takeLease(tx: Tx, runId: string): Promise<RunRow | undefined> {
  const [run] = await tx.sql<RunRow>`
    UPDATE agent.run SET fence = fence + 1, takeovers = takeovers + 1, lease_expires_at = clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000}),
           started_at = coalesce(started_at, clock_timestamp())
    WHERE id = ${runId} AND due_at <= clock_timestamp() AND (lease_expires_at IS NULL OR lease_expires_at <= clock_timestamp())
    RETURNING *`;
  return run;
}

/** Keeps the lease until stopped; the step under way is aborted when it may no longer go on. */
export function keepRunLease(caller: Caller, run: RunRow, drain: AbortSignal): LeaseKeeper {
  const controller = new AbortController();
  const forget = abortOnCancel(run.id, controller);
  const keeper = keepLease({
    renew: () => renewLease(caller, run),
    drain,
    controller,
    attributes: { "run.id": run.id },
  });
  return {
    signal: keeper.signal,
    stop: () => {
      keeper.stop();
      forget();
    },
  };
}

/** False when another worker took the run, or when it is being cancelled: either way the step under way is to stop. */
async function renewLease(caller: Caller, run: RunRow): Promise<boolean> {
  const [held] = await withTenant(
    caller,
    (tx) => tx.sql<Pick<RunRow, "status">>`
    UPDATE agent.run SET lease_expires_at = clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000})
    WHERE id = ${run.id} AND fence = ${run.fence} RETURNING status`,
  );
  return held !== undefined && held.status !== "CANCELLING";
}
