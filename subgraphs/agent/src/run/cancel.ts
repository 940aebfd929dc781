import { recordAudit } from "@sba/platform/audit";
import { callerOfStarter, type Caller, type TenantScope } from "@sba/platform/caller";
import { systemTx, withTenant, withTenantOnce, type Tx } from "@sba/platform/db";
import { AppError } from "@sba/platform/errors";
import { appendEvents } from "@sba/platform/events";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { encodeId } from "@sba/platform/ids";
import { logger } from "@sba/platform/log";
import { cancelApprovalsOfRun } from "../approval/approval.ts";
import { errors } from "../errors.ts";
import { runStatusChanged, runStream } from "../events.ts";
import { announceInterrupt } from "./interrupt-signal.ts";
import { lockRun } from "./lock.ts";
import { assertMove, isEnded } from "./run.state.ts";
import { wakeRun } from "./wake.ts";

export interface CancelRunInput {
  readonly runId: string;
  readonly reason?: string | undefined;
}

/**
 * Asks a run to end: it passes CANCELLING, what runs is aborted, what it has done is kept. Repeating it changes nothing.
 * @throws AGENT_RUN_NOT_FOUND, AGENT_RUN_ENDED
 */
export async function cancelRun(caller: Caller, input: CancelRunInput): Promise<void> {
  await cancel(caller, input, stopRun);
}

/**
 * The same for a run that ends with the work that it is part of. Nobody asked for it by itself: of the work it is audited.
 * @throws AGENT_RUN_NOT_FOUND, AGENT_RUN_ENDED
 */
export async function cancelPart(caller: Caller, input: CancelRunInput): Promise<void> {
  await cancel(caller, input, beginCancelling);
}

async function cancel(caller: Caller, { runId, reason }: CancelRunInput, stop: typeof stopRun): Promise<void> {
  await withTenant(caller, async (tx) => {
    const run = await lockRun(tx, runId);
    if (isEnded(run.status)) throw errors.AGENT_RUN_ENDED({ details: { status: run.status } });
    await stop(tx, caller, run, reason);
  });
}

export type RunUnderWay = Pick<RunRow, "tenantId" | "id" | "status" | "revision" | "childCount">;

/** As `cancelRun`, for a run that is locked and has not ended, in the transaction of whoever stops it. */
export async function stopRun(tx: Tx, caller: Caller, run: RunUnderWay, reason?: string): Promise<void> {
  if (run.status === "CANCELLING") return;
  await beginCancelling(tx, caller, run, reason);
  await recordAudit(tx, caller, {
    action: "agent.run.cancelled",
    target: encodeId("Run", run.id),
    details: reason === undefined ? {} : { reason },
  });
}

async function beginCancelling(tx: Tx, caller: Caller, run: RunUnderWay, reason?: string): Promise<void> {
  const { id: runId, status } = run;
  if (status === "CANCELLING") return;
  assertMove(status, "CANCELLING");
  await tx.sql`
    UPDATE agent.run SET status = 'CANCELLING', cancel_reason = ${reason ?? null} WHERE id = ${runId}`;
  await cancelApprovalsOfRun(tx, caller, runId);
  await appendEvents(tx, caller, runStream(runId), [runStatusChanged({ from: status, to: "CANCELLING" })]);
  wakeRun(tx, runId);
  tx.afterCommit(() => {
    announceInterrupt(run, "cancel");
  });
  if (run.childCount > 0) cancelChildrenSoon(tx, run);
}

/** Cancels what a run delegated once it is committed that the run ends before. */
export function cancelChildrenSoon(tx: Tx, { tenantId, id }: Pick<RunRow, "tenantId" | "id">): void {
  tx.afterCommit(() => {
    cancelChildren({ tenantId }, id).catch((error: unknown) => {
      logger.warn({ err: error, "run.id": id }, "delegated runs could not be cancelled; tried again");
    });
  });
}

/** Cancels the delegated runs of one that ends, each of which passes it on; returns how many. */
async function cancelChildren(scope: TenantScope, parentRunId: string): Promise<number> {
  const children = await withTenantOnce(
    scope,
    (tx) => tx.sql<RunRow>`
      SELECT * FROM agent.run WHERE parent_run_id = ${parentRunId} AND ended_at IS NULL AND status <> 'CANCELLING'`,
  );
  for (const child of children) {
    await cancelPart(callerOfStarter(child), { runId: child.id, reason: "Its parent run ended." }).catch(ignoreEnded);
  }
  return children.length;
}

function ignoreEnded(error: unknown): void {
  if (!(error instanceof AppError && error.code === "AGENT_RUN_ENDED")) throw error;
}

/** Cancels delegated runs of all tenants whose parent has ended or is being cancelled and that were missed; called by the schedules. */
export async function cancelOrphans(): Promise<number> {
  const parents = await systemTx(
    "find runs whose parent has ended",
    (tx) => tx.sql<TenantScope & { parentRunId: string }>`
      SELECT DISTINCT c.tenant_id, c.parent_run_id FROM agent.run c JOIN agent.run p ON p.tenant_id = c.tenant_id AND p.id = c.parent_run_id
      WHERE c.parent_run_id IS NOT NULL AND c.ended_at IS NULL AND c.status <> 'CANCELLING' AND (p.ended_at IS NOT NULL OR p.status = 'CANCELLING')`,
  );
  let found = 0;
  for (const { parentRunId, ...scope } of parents) found += await cancelChildren(scope, parentRunId);
  return found;
}
