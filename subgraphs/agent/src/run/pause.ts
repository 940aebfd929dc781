import { returnSlice } from "@sba/billing/index";
import { recordAudit } from "@sba/platform/audit";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { appendEvents } from "@sba/platform/events";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { encodeId } from "@sba/platform/ids";
import { errors } from "../errors.ts";
import { runStatusChanged, runStream } from "../events.ts";
import { announceInterrupt } from "./interrupt-signal.ts";
import { assertMove, isEnded, isRunStatus } from "./run.state.ts";
import { lockRun } from "./lock.ts";
import { wakeRun } from "./wake.ts";

/**
 * A run that stands still for as long as a person wants. A step under way that can be done again is cut off and begun again
 * afterwards; a tool that must not be called twice is waited for and its outcome kept. What the run waited for (a decision, an
 * answer) it still waits for, and what is decided meanwhile is kept until it goes on.
 */

/**
 * Pauses a run. It does nothing more until `resumeRun`, and holds neither lease nor worker once its step has stopped. Pausing a
 * paused run changes nothing.
 * @throws AGENT_RUN_NOT_FOUND, AGENT_RUN_ENDED, AGENT_RUN_CANCELLING
 */
export async function pauseRun(caller: Caller, runId: string): Promise<void> {
  await withTenant(caller, async (tx) => {
    const run = await lockRun(tx, runId);
    requireUnderWay(run);
    if (run.status === "PAUSED") return;
    assertMove(run.status, "PAUSED");
    // Whoever holds the lease gives it back when its step has stopped; if it dies before, or has, the run is due for another to do that.
    await tx.sql`
      UPDATE agent.run SET status = 'PAUSED', paused_from = status,
             due_at = CASE WHEN lease_expires_at IS NOT NULL THEN due_at END
      WHERE id = ${runId}`;
    await recordAudit(tx, caller, { action: "agent.run.paused", target: encodeId("Run", runId) });
    await appendEvents(tx, caller, runStream(runId), [runStatusChanged({ from: run.status, to: "PAUSED" })]);
    wakeRun(tx, runId);
    // What it has left is not kept from others meanwhile. While a step is under way, its worker gives it back.
    if (run.budgeted && run.leaseExpiresAt === null) returnSlice(tx, caller, runId);
    tx.afterCommit(() => {
      announceInterrupt(run, "pause");
    });
  });
}

/**
 * Lets a paused run go on with what it did or waited for. Resuming a run that is not paused changes nothing.
 * @throws AGENT_RUN_NOT_FOUND, AGENT_RUN_ENDED, AGENT_RUN_CANCELLING
 */
export async function resumeRun(caller: Caller, runId: string): Promise<void> {
  await withTenant(caller, async (tx) => {
    const run = await lockRun(tx, runId);
    requireUnderWay(run);
    const to = run.pausedFrom;
    if (run.status !== "PAUSED" || to === null || !isRunStatus(to)) return;
    assertMove("PAUSED", to);
    await tx.sql`UPDATE agent.run SET status = ${to}, paused_from = NULL WHERE id = ${runId}`;
    await recordAudit(tx, caller, { action: "agent.run.resumed", target: encodeId("Run", runId) });
    await appendEvents(tx, caller, runStream(runId), [runStatusChanged({ from: "PAUSED", to })]);
    wakeRun(tx, runId);
  });
}

/** @throws AGENT_RUN_ENDED, AGENT_RUN_CANCELLING */
function requireUnderWay({ status }: RunRow): void {
  if (isEnded(status)) throw errors.AGENT_RUN_ENDED({ details: { status } });
  if (status === "CANCELLING") throw errors.AGENT_RUN_CANCELLING();
}
