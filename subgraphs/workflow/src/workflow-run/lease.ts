import type { Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import type { WorkflowRun as WorkflowRunRow } from "@sba/platform/generated/prisma/client";
import { keepLease, LEASE_MS, type LeaseKeeper } from "@sba/platform/lease";
import { errors } from "../errors.ts";

/**
 * Who may move a workflow run. A lease lasts 4 s and is renewed each second while a step does something outside a
 * transaction; taking one raises the fencing number, and every commit asks for the number that it was begun with.
 */

/**
 * Takes the lease of a workflow run that is due and that nobody holds; undefined when there is nothing to do, or its tenant is
 * suspended.
 */
export async function takeLease(tx: Tx, workflowRunId: string): Promise<WorkflowRunRow | undefined> {
  const [run] = await tx.sql<WorkflowRunRow>`
    UPDATE workflow.workflow_run SET fence = fence + 1, leased_at = clock_timestamp(),
           lease_expires_at = clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000}),
           started_at = coalesce(started_at, clock_timestamp())
    WHERE id = ${workflowRunId} AND due_at <= clock_timestamp() AND (lease_expires_at IS NULL OR lease_expires_at <= clock_timestamp())
      AND NOT EXISTS (SELECT FROM platform.suspension WHERE suspension.tenant_id = workflow_run.tenant_id)
    RETURNING *`;
  return run;
}

/** The workflow run, locked, if the lease is still ours. @throws WORKFLOW_RUN_LEASE_LOST */
export async function lockLeased(tx: Tx, { id, fence }: Pick<WorkflowRunRow, "id" | "fence">): Promise<WorkflowRunRow> {
  const [run] =
    await tx.sql<WorkflowRunRow>`SELECT * FROM workflow.workflow_run WHERE id = ${id} AND fence = ${fence} FOR UPDATE`;
  if (!run) throw errors.WORKFLOW_RUN_LEASE_LOST();
  return run;
}

/**
 * Gives the lease back, and with it the right to renew it and to commit. The run is due again after `delayMs`, or at once
 * when somebody woke it while the lease was held: what they woke it for may be newer than what was looked at. Returns
 * whether it is due now.
 */
export async function endLease(tx: Tx, { id }: Pick<WorkflowRunRow, "id">, delayMs: number): Promise<boolean> {
  const [ended] = await tx.sql<{ due: boolean }>`
    UPDATE workflow.workflow_run SET lease_expires_at = NULL, fence = fence + 1,
           due_at = CASE WHEN due_at > leased_at THEN due_at ELSE clock_timestamp() + make_interval(secs => ${delayMs / 1000}) END
    WHERE id = ${id} RETURNING due_at <= clock_timestamp() AS due`;
  return ended?.due ?? false;
}

/** Keeps the lease until stopped; the step under way is aborted when it may no longer go on. */
export function keepWorkflowRunLease(caller: Caller, run: WorkflowRunRow, drain: AbortSignal): LeaseKeeper {
  return keepLease({ renew: () => renewLease(caller, run), drain, attributes: { "workflowRun.id": run.id } });
}

/** False when another worker took the run, or when it is being cancelled: either way the step under way is to stop. */
async function renewLease(caller: Caller, run: WorkflowRunRow): Promise<boolean> {
  const [held] = await withTenant(
    caller,
    (tx) => tx.sql<Pick<WorkflowRunRow, "status">>`
    UPDATE workflow.workflow_run SET lease_expires_at = clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000})
    WHERE id = ${run.id} AND fence = ${run.fence} RETURNING status`,
  );
  return held !== undefined && held.status !== "CANCELLING";
}
