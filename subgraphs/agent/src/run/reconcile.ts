import { callerOfStarter } from "@sba/platform/caller";
import { systemTx } from "@sba/platform/db";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { wakeRun } from "./wake.ts";

/** A wake-up is normally taken within milliseconds; one this old was lost, with its queue or its worker. */
const OVERDUE_SECONDS = 2;
const WAKE_AGAIN_SECONDS = 10;
const AT_A_TIME = 500;

/**
 * Finds the runs of all tenants that are due and that no live worker holds, and asks for a worker again. The queue may
 * be emptied at any time: this is the guarantee, the queue only the fast path. Returns how many were found.
 */
export function reconcileRuns(): Promise<number> {
  return systemTx("reconcile runs", async (tx) => {
    const runs = await tx.sql<RunRow>`
      UPDATE agent.run SET woken_at = clock_timestamp() WHERE (tenant_id, id) IN (
        SELECT tenant_id, id FROM agent.run
        WHERE due_at < clock_timestamp() - make_interval(secs => ${OVERDUE_SECONDS})
          AND (lease_expires_at IS NULL OR lease_expires_at < clock_timestamp())
          AND (woken_at IS NULL OR woken_at < clock_timestamp() - make_interval(secs => ${WAKE_AGAIN_SECONDS}))
        ORDER BY due_at LIMIT ${AT_A_TIME} FOR UPDATE SKIP LOCKED)
      RETURNING *`;
    for (const run of runs) await wakeRun(tx, callerOfStarter(run), run.id);
    return runs.length;
  });
}
