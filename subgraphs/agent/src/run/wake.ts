import type { Caller } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import { enqueue } from "@sba/platform/jobs";
import { advanceRunJob } from "../jobs.ts";

/** Asks a worker to look at the run once the transaction is committed. */
export function wakeRun(tx: Tx, caller: Caller, runId: string, delayMs = 0): Promise<void> {
  return enqueue(tx, caller, advanceRunJob, { runId }, { delayMs });
}
