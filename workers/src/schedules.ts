import { setTimeout as delay } from "node:timers/promises";
import {
  cancelOrphans,
  forgetExpiredAnswers,
  forgetExpiredNotes,
  lapseApprovals,
  letRunsOfFreeThreadsIn,
  letWaitingRunsIn,
} from "@sba/agent/index";
import { announceBudgetAlerts } from "@sba/billing/index";
import { forgetUploads, purgeRemoved, resumeIngestions } from "@sba/knowledge/index";
import { forgetUnusedConsumers } from "@sba/platform/consumers";
import { forgetOldKeys } from "@sba/platform/idempotency";
import { logger } from "@sba/platform/log";
import { reconcileWorkflowRuns } from "@sba/workflow/index";

/**
 * Recurring system work. Every worker process does all of it by its own clock: nothing of it is kept in the queue, which
 * may be emptied at any time, and there is no leader that could be missing. What runs here therefore has to be harmless
 * when several processes do it at once (rows taken with SKIP LOCKED, deletions).
 */
export const schedules: readonly Schedule[] = [
  { name: "agent.lapseApprovals", everyMs: 2_000, run: lapseApprovals },
  { name: "billing.announceBudgetAlerts", everyMs: 2_000, run: announceBudgetAlerts },
  { name: "agent.letWaitingRunsIn", everyMs: 2_000, run: letWaitingRunsIn },
  { name: "agent.letRunsOfFreeThreadsIn", everyMs: 2_000, run: letRunsOfFreeThreadsIn },
  { name: "agent.cancelOrphans", everyMs: 2_000, run: cancelOrphans },
  { name: "workflow.reconcileWorkflowRuns", everyMs: 2_000, run: reconcileWorkflowRuns },
  { name: "knowledge.resumeIngestions", everyMs: 2_000, run: resumeIngestions },
  { name: "knowledge.purgeRemoved", everyMs: 10_000, run: purgeRemoved },
  { name: "knowledge.forgetUploads", everyMs: 30_000, run: forgetUploads },
  { name: "agent.forgetExpiredNotes", everyMs: 600_000, run: forgetExpiredNotes },
  { name: "agent.forgetExpiredAnswers", everyMs: 600_000, run: forgetExpiredAnswers },
  { name: "platform.forgetOldKeys", everyMs: 3_600_000, run: forgetOldKeys },
  { name: "platform.forgetUnusedConsumers", everyMs: 3_600_000, run: forgetUnusedConsumers },
];

export interface Schedule {
  readonly name: string;
  /** The pause between the end of one run and the beginning of the next. */
  readonly everyMs: number;
  /** Returns how many things it found to do. */
  readonly run: (signal: AbortSignal) => Promise<number>;
}

/** Processes that start together do not all ask at the same moment. */
const SPREAD = 0.2;

/** Starts every schedule, the first time at once. Returns how to stop, which waits for what is under way. */
export function startSchedules(list: readonly Schedule[]): () => Promise<void> {
  const stopping = new AbortController();
  const loops = list.map((schedule) => repeat(schedule, stopping.signal));
  return async () => {
    stopping.abort();
    await Promise.all(loops);
  };
}

async function repeat({ name, everyMs, run }: Schedule, signal: AbortSignal): Promise<void> {
  let isFailing = false;
  while (!signal.aborted) {
    try {
      const found = await run(signal);
      if (found > 0) logger.info({ schedule: name, found }, "schedule found work");
      isFailing = false;
    } catch (error) {
      // Said once for each outage, not every two seconds of it.
      if (!isFailing) logger.error({ schedule: name, err: error }, "schedule failed and will be tried again");
      isFailing = true;
    }
    await delay(everyMs * (1 - SPREAD * Math.random()), undefined, { signal }).catch(() => undefined);
  }
}
