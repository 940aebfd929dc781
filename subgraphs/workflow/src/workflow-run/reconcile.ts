import { callerOfStarter } from "@sba/platform/caller";
import { systemTx } from "@sba/platform/db";
import type { WorkflowRun as WorkflowRunRow } from "@sba/platform/generated/prisma/client";
import { wakeWorkflowRun } from "./wake.ts";

/** A wake-up is normally taken within milliseconds; one this old was lost, or a step wants to look again. */
const OVERDUE_SECONDS = 2;
const WAKE_AGAIN_SECONDS = 10;
const AT_A_TIME = 500;

/**
 * Finds the workflow runs of all tenants that are due and that no live worker holds, and asks for a worker again: the
 * queue may be emptied at any time, and a reaction may be lost with it. Those of a suspended tenant are found when it is
 * resumed. Returns how many were found.
 */
export function reconcileWorkflowRuns(): Promise<number> {
  return systemTx("reconcile workflow runs", async (tx) => {
    const runs = await tx.sql<WorkflowRunRow>`
      UPDATE workflow.workflow_run SET woken_at = clock_timestamp() WHERE (tenant_id, id) IN (
        SELECT tenant_id, id FROM workflow.workflow_run
        WHERE due_at < clock_timestamp() - make_interval(secs => ${OVERDUE_SECONDS})
          AND (lease_expires_at IS NULL OR lease_expires_at < clock_timestamp())
          AND (woken_at IS NULL OR woken_at < clock_timestamp() - make_interval(secs => ${WAKE_AGAIN_SECONDS}))
          AND tenant_id NOT IN (SELECT tenant_id FROM platform.suspension)
        ORDER BY due_at LIMIT ${AT_A_TIME} FOR UPDATE SKIP LOCKED)
      RETURNING *`;
    for (const run of runs) await wakeWorkflowRun(tx, callerOfStarter(run), run.id);
    return runs.length;
  });
}
