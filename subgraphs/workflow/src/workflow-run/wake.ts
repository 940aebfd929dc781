import type { Caller } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import { enqueue } from "@sba/platform/jobs";
import { advanceWorkflowRunJob } from "../jobs.ts";

/** Asks a worker to look at the workflow run once the transaction is committed. */
export function wakeWorkflowRun(tx: Tx, caller: Caller, workflowRunId: string, delayMs = 0): Promise<void> {
  return enqueue(tx, caller, advanceWorkflowRunJob, { workflowRunId }, { delayMs });
}
