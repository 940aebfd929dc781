import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { logger } from "@sba/platform/log";
import { advanceRun } from "./run/advance.ts";
import type { Run } from "./run/read.ts";
import { getRun } from "./run/run.ts";

/** For tests of this and higher domains: does what a worker does with the wake-ups of one run, until it waits or ends. */
export async function driveRun(
  caller: Caller,
  runId: string,
  signal: AbortSignal = new AbortController().signal,
): Promise<Run> {
  const context = { signal, attempt: 1, log: logger };
  for (;;) {
    const before = await getRun(caller, runId);
    await advanceRun(caller, { runId }, context);
    const after = await getRun(caller, runId);
    if (after.lastSeq === before.lastSeq) return after;
  }
}

/** The journal of a run, as rows. */
export async function journalOf(
  caller: Caller,
  runId: string,
): Promise<{ seq: number; type: string; payload: Record<string, unknown> }[]> {
  return withTenant(
    caller,
    (tx) => tx.sql<{ seq: number; type: string; payload: Record<string, unknown> }>`
    SELECT seq, type, payload FROM platform.event WHERE stream = ${`run:${runId}`} ORDER BY seq`,
  );
}
