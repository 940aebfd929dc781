import { readStartLimits } from "@sba/billing/index";
import { recordAudit } from "@sba/platform/audit";
import { narrowCaller, requirePermission, type Caller } from "@sba/platform/caller";
import { withTenant, withTenantOnce, type Tx } from "@sba/platform/db";
import type { DeadLetter as DeadLetterRow, Run as RunRow } from "@sba/platform/generated/prisma/client";
import { once } from "@sba/platform/idempotency";
import { encodeId, newId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { getAgentVersion } from "../agent/version.ts";
import { errors } from "../errors.ts";
import { lockThread, nextRunId, requireIdleThread, type LockedThread } from "../thread/thread.ts";
import { admitRun } from "./admission.ts";
import { requireStartBudget } from "./budget.ts";
import { failRun } from "./end.ts";
import { insertRun } from "./accept.ts";
import type { RunOptions } from "./run.ts";
import type { Draft } from "./session.ts";

/**
 * Runs that were given up after bounded attempts, for an operator: each is listed with why, and can be replayed once. The failed
 * run stays as it ended; its replay is another run, of the same input and version, that takes its place in the thread.
 */
export interface DeadLetter extends DeadLetterRow {
  /** UUID of the run that replays it. */
  readonly replacedBy: string | null;
}

export interface GivenUp {
  /** The code of what went wrong the last time. */
  readonly reason: string;
  readonly attempts: number;
  readonly failedAt: Date;
}

/** Ends a run whose attempts are used up, and lists it for operators. */
export function giveUpRun(draft: Draft, reason: string): undefined {
  failRun(draft, errors.AGENT_RUN_ATTEMPTS_EXHAUSTED());
  const { run } = draft;
  draft.writes.push((tx) => {
    recordDeadLetter(tx, run, { reason, attempts: run.stepAttempt, failedAt: run.endedAt! });
  });
  return undefined;
}

/** Lists a run that ends with this transaction. Needs no answer. */
export function recordDeadLetter(tx: Tx, run: RunRow, { reason, attempts, failedAt }: GivenUp): void {
  void tx.sql`
    INSERT INTO agent.dead_letter (tenant_id, id, run_id, reason, attempts, failed_at)
    VALUES (${run.tenantId}, ${newId()}, ${run.id}, ${reason}, ${attempts}, ${failedAt})`;
}

export interface DeadLetterFilter {
  readonly isReplayed?: boolean | undefined;
}

/** The tenant's runs that were given up, newest first. @throws PERMISSION_MISSING, CURSOR_INVALID */
export async function listDeadLetters(
  caller: Caller,
  page: PageRequest,
  { isReplayed }: DeadLetterFilter = {},
): Promise<Page<DeadLetter>> {
  requirePermission(caller, "run:operate");
  const before = decodeIdCursor(page.after) ?? null;
  const rows = await withTenantOnce(
    caller,
    (tx) => tx.sql<DeadLetter>`
    SELECT d.*, r.replaced_by FROM agent.dead_letter d JOIN agent.run r ON r.id = d.run_id
    WHERE (${before}::uuid IS NULL OR d.id < ${before}::uuid)
      AND (${isReplayed ?? null}::boolean IS NULL OR (d.replayed_at IS NOT NULL) = ${isReplayed ?? null}::boolean)
    ORDER BY d.id DESC LIMIT ${page.first + 1}`,
  );
  return toPage(rows, page.first);
}

export interface ReplayDeadLetterInput {
  /** UUID of the run that was given up. */
  readonly runId: string;
  readonly idempotencyKey?: string | undefined;
}

/**
 * Starts a run that was given up once more, as a new run: the same prompt, options and version of the agent, in the same thread,
 * where it takes the failed one's place. It acts for who replays it, with no permission that the failed one did not have.
 * Returns its UUID; once, idempotent by key.
 * @throws AGENT_DEAD_LETTER_NOT_FOUND, AGENT_DEAD_LETTER_REPLAYED, AGENT_THREAD_BUSY, BILLING_BUDGET_EXHAUSTED,
 * BILLING_QUOTA_EXCEEDED, IDEMPOTENCY_KEY_REUSED, PERMISSION_MISSING
 */
export async function replayDeadLetter(
  caller: Caller,
  { runId, idempotencyKey }: ReplayDeadLetterInput,
): Promise<string> {
  requirePermission(caller, "run:operate");
  return withTenant(caller, async (tx) => {
    const run = await lockDeadRun(tx, runId);
    const operation = { operation: "replayDeadLetter", key: idempotencyKey, input: { runId } };
    const thread = await lockThread(tx, run.threadId);
    return once(tx, caller, operation, nextRunId(thread), (id) => replay(tx, caller, { run, thread }, id));
  });
}

/** Of two replays at once the second waits for the first, and finds it done. */
async function lockDeadRun(tx: Tx, runId: string): Promise<RunRow> {
  const [run] = await tx.sql<RunRow>`
    SELECT r.* FROM agent.dead_letter d JOIN agent.run r ON r.id = d.run_id WHERE d.run_id = ${runId} FOR UPDATE`;
  if (!run) throw errors.AGENT_DEAD_LETTER_NOT_FOUND();
  return run;
}

interface Replayed {
  readonly run: RunRow;
  readonly thread: LockedThread;
}

async function replay(tx: Tx, caller: Caller, { run, thread }: Replayed, id: string): Promise<void> {
  const { agentId, agentKey, threadId, prompt, replacedBy } = run;
  if (replacedBy !== null) {
    throw errors.AGENT_DEAD_LETTER_REPLAYED({ details: { replayedAs: encodeId("Run", replacedBy) } });
  }
  const options = run.options as RunOptions;
  requireStartBudget(options);
  requireIdleThread(thread, agentId);
  const version = await getAgentVersion(tx, run.agentVersionId);
  const agent = { id: agentId, key: agentKey, version };
  const start = { id, input: { prompt, options }, agent, threadId };
  const admission = await admitRun(tx, caller, start, await readStartLimits(tx, caller));
  void insertRun(tx, narrowCaller(caller, run.permissions), start, { admission, announcesEnd: false });
  await Promise.all([
    tx.sql`UPDATE agent.run SET replaced_by = ${id} WHERE id = ${run.id}`,
    tx.sql`
      UPDATE agent.dead_letter SET replayed_by = ${caller.principalId}, replayed_at = clock_timestamp() WHERE run_id = ${run.id}`,
    recordAudit(tx, caller, {
      action: "agent.deadLetter.replayed",
      target: encodeId("Run", run.id),
      details: { replayedAs: encodeId("Run", id) },
    }),
  ]);
}
