import { withTenant, type Tx } from "@sba/platform/db";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { keepLease, LEASE_MS, type LeaseKeeper } from "@sba/platform/lease";
import { abortOnInterrupt } from "./interrupt-signal.ts";

/**
 * Who may move a run. A lease lasts 4 s and is renewed each second by the worker that holds it; taking one raises the
 * fencing number, and every commit of a step asks for the number it was begun with. A worker that was paused and
 * wakes up late finds another number and can commit nothing.
 */

/** Takes the lease of a run that is due and that nobody holds; undefined when there is nothing to do, or its tenant is suspended. */
export async function takeLease(tx: Tx, runId: string): Promise<RunRow | undefined> {
  const [run] = await tx.sql<RunRow>`
    UPDATE agent.run SET fence = fence + 1, takeovers = takeovers + 1, lease_expires_at = clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000}),
           started_at = coalesce(started_at, clock_timestamp())
    WHERE id = ${runId} AND ended_at IS NULL AND due_at <= clock_timestamp() AND (lease_expires_at IS NULL OR lease_expires_at <= clock_timestamp())
      AND NOT EXISTS (SELECT FROM platform.suspension WHERE suspension.tenant_id = run.tenant_id)
    RETURNING *`;
  return run;
}

export interface RunLeaseKeeper extends LeaseKeeper {
  /** Aborted when the run is paused or its tenant suspended: what can be done again stops, what must not be done twice goes on to its end. */
  readonly pause: AbortSignal;
}

/** Keeps the lease until stopped; the step under way is aborted when it may no longer go on. */
export function keepRunLease(run: RunRow, drain: AbortSignal): RunLeaseKeeper {
  const controllers = { cancel: new AbortController(), pause: new AbortController() };
  const forget = abortOnInterrupt(run, controllers);
  const renew = async (): Promise<boolean> => {
    const held = await renewLease(run);
    if (held?.status === "PAUSED" || held?.isSuspended) controllers.pause.abort();
    return held !== undefined && held.status !== "CANCELLING";
  };
  const keeper = keepLease({ renew, drain, controller: controllers.cancel, attributes: { "run.id": run.id } });
  return {
    signal: keeper.signal,
    hold: keeper.hold,
    pause: controllers.pause.signal,
    stop: () => {
      keeper.stop();
      forget();
    },
  };
}

interface Held extends Pick<RunRow, "status"> {
  readonly isSuspended: boolean;
}

/** How the run stands; undefined when another worker took it. */
async function renewLease(run: RunRow): Promise<Held | undefined> {
  const [held] = await withTenant(
    run,
    (tx) => tx.sql<Held>`
    UPDATE agent.run SET lease_expires_at = clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000})
    WHERE id = ${run.id} AND fence = ${run.fence}
    RETURNING status, EXISTS (SELECT FROM platform.suspension WHERE suspension.tenant_id = run.tenant_id) AS is_suspended`,
  );
  return held;
}
