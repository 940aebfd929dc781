import { callerOfStarter } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import type { AppError } from "@sba/platform/errors";
import { appendEvents, type NewEvent } from "@sba/platform/events";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { logger } from "@sba/platform/log";
import { cancelApprovalsOfRun } from "../approval/approval.ts";
import { errors } from "../errors.ts";
import { runFailed, runStatusChanged, runStream } from "../events.ts";
import { giveBack } from "./admission.ts";
import { letNextInSoon } from "./busy-thread.ts";
import { recordDeadLetter } from "./dead-letter.ts";

/** A run at which workers fail before they can begin a step: it must neither be tried for ever nor harm another run. */

const BACKOFF_MS = 500;
const LONGEST_BACKOFF_MS = 30_000;

/** Gives the lease of such a run back; it is due again after a pause that doubles. */
export async function putBack(run: RunRow, { code }: AppError): Promise<void> {
  const dueInMs = Math.min(LONGEST_BACKOFF_MS, BACKOFF_MS * 2 ** (run.takeovers - 1));
  await withTenant(
    run,
    (tx) => tx.sql`
    UPDATE agent.run SET error_code = ${code}, fence = fence + 1, lease_expires_at = NULL,
           due_at = clock_timestamp() + make_interval(secs => ${dueInMs / 1000})
    WHERE id = ${run.id} AND fence = ${run.fence} AND ended_at IS NULL`,
  );
}

/** What readers are told of a run that was given up from its row alone. */
export function poisonedEvents({ id: runId, status, output }: RunRow, endedAt: Date): NewEvent[] {
  const { code, message } = errors.AGENT_RUN_ATTEMPTS_EXHAUSTED();
  const end = { runId, status: "FAILED", output, endedAt: endedAt.toISOString(), error: { code, message } };
  return [runStatusChanged({ from: status, to: "FAILED" }), runFailed(end)];
}

/** Ends it FAILED from its row alone: nothing else of it is read, since that is what may be broken. Never throws. */
export async function giveUpPoison(run: RunRow): Promise<void> {
  const caller = callerOfStarter(run);
  const { code, message } = errors.AGENT_RUN_ATTEMPTS_EXHAUSTED();
  await withTenant(caller, async (tx) => {
    const [ended] = await tx.sql<{ endedAt: Date; followed: boolean }>`
      UPDATE agent.run SET status = 'FAILED', error_code = ${code}, error_message = ${message}, ended_at = clock_timestamp(),
             due_at = NULL, lease_expires_at = NULL, fence = fence + 1
      WHERE id = ${run.id} AND fence = ${run.fence} AND ended_at IS NULL RETURNING ended_at, followed`;
    if (!ended) return;
    recordDeadLetter(tx, run, {
      reason: run.errorCode ?? "WORKER_LOST",
      attempts: run.takeovers - 1,
      failedAt: ended.endedAt,
    });
    await cancelApprovalsOfRun(tx, caller, run.id);
    await appendEvents(tx, caller, runStream(run.id), poisonedEvents(run, ended.endedAt));
    giveBack(tx, caller, run);
    if (ended.followed) letNextInSoon(tx, run);
  }).catch((error: unknown) => {
    logger.error({ err: error, "run.id": run.id }, "a run could not be given up; tried again when its lease ends");
  });
}
