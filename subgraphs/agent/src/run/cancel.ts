import type { Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { appendEvents } from "@sba/platform/events";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
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
export async function cancelRun(caller: Caller, { runId, reason }: CancelRunInput): Promise<void> {
  await withTenant(caller, async (tx) => {
    const run = await lockRun(tx, runId);
    if (isEnded(run.status)) throw errors.AGENT_RUN_ENDED({ details: { status: run.status } });
    await stopRun(tx, caller, run, reason);
  });
}

/** The same for a run that is locked and has not ended, in the transaction of whoever stops it. */
export async function stopRun(
  tx: Tx,
  caller: Caller,
  { id: runId, status }: Pick<RunRow, "id" | "status">,
  reason?: string,
): Promise<void> {
  if (status === "CANCELLING") return;
  assertMove(status, "CANCELLING");
  await tx.sql`
    UPDATE agent.run SET status = 'CANCELLING', cancel_reason = ${reason ?? null} WHERE id = ${runId}`;
  await cancelApprovalsOfRun(tx, caller, runId);
  await appendEvents(tx, caller, runStream(runId), [runStatusChanged({ from: status, to: "CANCELLING" })]);
  wakeRun(tx, runId);
  tx.afterCommit(() => {
    announceInterrupt(runId, "cancel");
  });
}
