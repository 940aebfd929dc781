import type { Caller } from "@sba/platform/caller";
import { json, type Tx } from "@sba/platform/db";
import { appendEvents, type NewEvent } from "@sba/platform/events";
import type { WorkflowRun as WorkflowRunRow } from "@sba/platform/generated/prisma/client";
import { workflowRunFailed, workflowRunFinished, workflowRunStatusChanged, workflowRunStream } from "../events.ts";
import type { StepError } from "../step-kind/step-kind.ts";
import { canMove, isWorkflowRunStatus, type WorkflowRunStatus } from "./workflow-run.state.ts";

/** How a workflow run changes its status, and how it ends: once, with one terminal event that is its last. */

/** Moves the run and returns the event; none when it is there already, or when it is to end whatever its step does. */
export async function moveTo(
  tx: Tx,
  run: WorkflowRunRow,
  to: "RUNNING" | "WAITING",
): Promise<{ run: WorkflowRunRow; events: NewEvent[] }> {
  if (run.status === to || run.status === "CANCELLING") return { run, events: [] };
  checkMove(run, to);
  await tx.sql`UPDATE workflow.workflow_run SET status = ${to} WHERE id = ${run.id}`;
  return { run: { ...run, status: to }, events: [workflowRunStatusChanged({ from: run.status, to })] };
}

function checkMove({ status }: WorkflowRunRow, to: WorkflowRunStatus): void {
  if (!isWorkflowRunStatus(status) || !canMove(status, to))
    throw new Error(`a workflow run cannot go from ${status} to ${to}`);
}

export type Ending =
  | { readonly status: "COMPLETED"; readonly output: unknown }
  | { readonly status: "CANCELLED" }
  | { readonly status: "FAILED"; readonly error: StepError };

/** Ends the run; `closing` are the events that come with its end, before the terminal one. */
export async function endRun(
  tx: Tx,
  caller: Caller,
  run: WorkflowRunRow,
  ending: Ending,
  closing: readonly NewEvent[] = [],
): Promise<void> {
  checkMove(run, ending.status);
  const output = ending.status === "COMPLETED" ? (ending.output ?? null) : null;
  const error = ending.status === "FAILED" ? ending.error : undefined;
  const [ended] = await tx.sql<{ endedAt: Date }>`
    UPDATE workflow.workflow_run SET status = ${ending.status}, output = ${json(output)}::jsonb, error_code = ${error?.code ?? null},
           error_message = ${error?.message ?? null}, ended_at = clock_timestamp(), due_at = NULL, lease_expires_at = NULL, fence = fence + 1
    WHERE id = ${run.id} RETURNING ended_at`;
  const facts = { workflowRunId: run.id, status: ending.status, output, endedAt: ended!.endedAt.toISOString() };
  await appendEvents(tx, caller, workflowRunStream(run.id), [
    ...closing,
    workflowRunStatusChanged({ from: run.status, to: ending.status }),
    error === undefined ? workflowRunFinished(facts) : workflowRunFailed({ ...facts, error }),
  ]);
}
