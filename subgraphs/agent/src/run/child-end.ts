import { refuseCall, type ToolOutcome } from "@sba/integrations/index";
import type { Tx } from "@sba/platform/db";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { encodeId } from "@sba/platform/ids";
import { errors } from "../errors.ts";
import type { RunOptions } from "./run.ts";
import { nameDue } from "./wake.ts";

/** How the end of a delegated run reaches the run that waits for it. */

/** What its parent knows of a run. */
export type ChildRun = Pick<RunRow, "id" | "status" | "output" | "errorCode" | "errorMessage">;

/** The runs that these calls delegated. */
export function readChildren(tx: Tx, callIds: readonly string[]): Promise<ChildRun[]> {
  return tx.sql<ChildRun>`
    SELECT id, status, output, error_code, error_message FROM agent.run WHERE id = ANY(${[...callIds]}::uuid[]) AND parent_run_id IS NOT NULL`;
}

/** The end of a delegated run as its parent's model is shown it. */
export function outcomeOfChild({ id, status, output, errorCode, errorMessage }: ChildRun): ToolOutcome {
  if (status === "COMPLETED") return { ok: true, result: { runId: encodeId("Run", id), output }, durationMs: 0 };
  if (status === "CANCELLED") return refuseCall(errors.AGENT_CHILD_RUN_CANCELLED());
  const { code, message } = errors.AGENT_CHILD_RUN_FAILED();
  return {
    ok: false,
    error: { code: errorCode ?? code, message: `${message} ${errorMessage ?? ""}`.trim(), retryable: false },
    durationMs: 0,
  };
}

/** Wakes the run that waits for this one, which ends with this transaction; what it did not spend is its parent's again. Needs no answer. */
export function tellParent(tx: Tx, run: RunRow): void {
  if (run.parentRunId === null) return;
  const returned = BigInt((run.options as RunOptions).budgetMicros ?? "0") - run.spentMicros - run.childrenMicros;
  void tx.sql`
    UPDATE agent.run SET children_micros = children_micros - ${returned}, revision = revision + 1,
           due_at = CASE WHEN ended_at IS NOT NULL OR status = 'PAUSED' THEN due_at ELSE clock_timestamp() END
    WHERE id = ${run.parentRunId}`;
  nameDue(tx, { woken: { id: run.parentRunId, callId: run.id } });
}
