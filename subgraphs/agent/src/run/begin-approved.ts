import { ints, texts, uuids } from "@sba/platform/columns";
import type { Tx } from "@sba/platform/db";
import type { NewEvent } from "@sba/platform/events";
import type { Approval, Run as RunRow } from "@sba/platform/generated/prisma/client";
import { estimateToolCall } from "../approval/approval.ts";
import { beginStep, type Beginning } from "../step/step.ts";
import { findTool } from "../tool/index.ts";
import { coversToolCall } from "./budget.ts";
import { remainingMs } from "./deadline.ts";
import { moveTo } from "./plan-next.ts";
import { DEFAULT_MAX_STEPS, type RunOptions } from "./run.ts";
import { nameDue } from "./wake.ts";

/**
 * What follows from an approval is committed with it, as what follows from a step is committed with that: the run that waited for
 * nothing but this decision has its next step begun by it, for whichever worker takes the run up. It holds what it begins against
 * what was approved once more before anything runs.
 */

/**
 * Begins the step of the call that was approved, in the transaction that decides it and has the run locked. Returns what readers of
 * the run are told after the decision; undefined, and nothing is written, when the run is to look for itself what comes next.
 */
export function beginApproved(tx: Tx, run: RunRow, approval: Approval, now: Date): readonly NewEvent[] | undefined {
  const { toolCallId } = approval;
  if (toolCallId === null || !waitsOnly(run, now) || !mayBegin(run, now) || hasDrifted(run, approval)) return undefined;
  const begun: Beginning = { run, now, writes: [], journal: [] };
  moveTo(begun, "WAITING_TOOL");
  beginStep(begun, "TOOL", toolCallId);
  tx.gather(updateBegun, [begun.run]);
  for (const send of begun.writes) send(tx);
  nameDue(tx, { woken: { id: run.id, callId: toolCallId } });
  return begun.journal;
}

/** Nobody holds the run, and nothing that happened to it meanwhile is still to be looked at, or looked at again (`putBack`). */
function waitsOnly({ status, leaseExpiresAt, dueAt, takeovers }: RunRow, now: Date): boolean {
  const isAtRest = leaseExpiresAt === null && takeovers === 0 && (dueAt === null || dueAt > now);
  return status === "AWAITING_APPROVAL" && isAtRest;
}

/** What the loop would refuse a step for is left to it: it knows how such a run ends. */
function mayBegin(run: RunRow, now: Date): boolean {
  const { maxSteps = DEFAULT_MAX_STEPS } = run.options as RunOptions;
  return run.stepNumber < maxSteps && remainingMs(run, now) !== 0 && coversToolCall({ run });
}

/** Of what was approved only the params are the call's own: they are held against the fingerprint when it is to run. */
function hasDrifted({ priceListVersion }: RunRow, { action, definitionHash, ...asked }: Approval): boolean {
  const { amountMicros, currency } = estimateToolCall(priceListVersion);
  return (
    findTool(action)?.definitionHash !== definitionHash ||
    amountMicros !== asked.costEstimateMicros ||
    currency !== asked.currency
  );
}

/** No attempt of the step is under way yet: the first is that of whoever takes the run up. */
function updateBegun(tx: Tx, runs: readonly RunRow[]): Promise<unknown> {
  const ids = uuids(runs, ({ id }) => id);
  return tx.sql`
    UPDATE agent.run SET status = begun.status, step_number = begun.step_number, step_attempt = 0, error_code = NULL,
           due_at = clock_timestamp(), revision = revision + 1
    FROM (
      SELECT (${ids}::uuid[])[i] AS id, (${texts(runs, ({ status }) => status)}::text[])[i] AS status,
             (${ints(runs, ({ stepNumber }) => stepNumber)}::int[])[i] AS step_number
      FROM generate_series(1, ${runs.length}::int) AS i) AS begun
    WHERE run.tenant_id = ${tx.tenantId} AND run.id = ANY(${ids}::uuid[]) AND run.id = begun.id`;
}
