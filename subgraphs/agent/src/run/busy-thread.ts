import { queueRunSlot, readStartLimits } from "@sba/billing/index";
import { requirePermission, type Caller, type TenantScope } from "@sba/platform/caller";
import { systemTx, withTenant, type Tx } from "@sba/platform/db";
import { logger } from "@sba/platform/log";
import type { BusyThreadPolicy } from "../agent/agent.ts";
import { errors } from "../errors.ts";
import { lockThread, type LockedThread } from "../thread/thread.ts";
import { stopRun, type RunUnderWay } from "./cancel.ts";
import { nameDue } from "./wake.ts";

/**
 * New input for a thread in which a run is under way. It is refused, or its run waits: accepted, with its place in the thread, and
 * otherwise only a row, until the runs before it have ended. The rows alone say whose turn it is; whoever ends a run that is
 * followed looks at once, and a schedule finds what was missed.
 */

/** Runs of one thread that may be under way or wait, at the most. */
const MAX_UNDER_WAY = 100;

export interface JoinInput {
  readonly thread: LockedThread;
  /** UUID that the new run will have. */
  readonly runId: string;
  readonly policy: BusyThreadPolicy;
}

/**
 * Decides what becomes of a new run of this thread: false when it may begin, true when it waits. INTERRUPT and ROLLBACK stop all
 * that the thread has under way, those that wait included; ROLLBACK also has it forgotten, as if the new run had taken its place.
 * @throws AGENT_THREAD_BUSY, AGENT_THREAD_QUEUE_FULL, PERMISSION_MISSING
 */
export async function joinThread(tx: Tx, caller: Caller, { thread, runId, policy }: JoinInput): Promise<boolean> {
  const { underWay } = thread;
  if (underWay.length === 0) return false;
  if (policy === "REJECT") throw errors.AGENT_THREAD_BUSY();
  if (underWay.length >= MAX_UNDER_WAY) throw errors.AGENT_THREAD_QUEUE_FULL({ details: { limit: MAX_UNDER_WAY } });
  if (policy !== "ENQUEUE") requirePermission(caller, "run:cancel");
  // Whoever is at one of them finds out before it commits its end, and one that ended meanwhile is not among them any more.
  const before = await tx.sql<RunUnderWay>`
    WITH locked AS (
      SELECT id FROM agent.run WHERE id = ANY(${underWay.map(({ id }) => id)}::uuid[]) AND ended_at IS NULL ORDER BY id FOR UPDATE)
    UPDATE agent.run SET followed = true, revision = revision + 1 FROM locked WHERE run.id = locked.id RETURNING run.tenant_id, run.id, run.status, run.revision, run.child_count`;
  if (policy === "ENQUEUE") return before.length > 0;
  for (const run of before.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    await stopRun(tx, caller, run, "New input took its place.");
  }
  if (policy === "ROLLBACK") {
    await tx.sql`UPDATE agent.run SET replaced_by = ${runId} WHERE id = ANY(${before.map(({ id }) => id)}::uuid[])`;
  }
  return before.length > 0;
}

/** Lets the next run of a thread in once the transaction that ends one of it is committed. */
export function letNextInSoon(tx: Tx, { tenantId, threadId }: TenantScope & { readonly threadId: string }): void {
  tx.afterCommit(() => {
    letNextIn({ tenantId }, threadId).catch((error: unknown) => {
      logger.warn({ err: error, "tenant.id": tenantId }, "the next run of a thread could not be let in; tried again");
    });
  });
}

/**
 * Makes the first run of a thread that has not ended due, if it waits for the thread; true when it did. Safe at any time, by any
 * number of processes. Where the plan has quotas its slot is taken only now, and it may have to wait for that.
 */
async function letNextIn(scope: TenantScope, threadId: string): Promise<boolean> {
  return withTenant(scope, async (tx) => {
    const [head] = (await lockThread(tx, threadId)).underWay;
    // One that is being cancelled ends by itself.
    if (!head?.waitsForThread || head.status === "CANCELLING") return false;
    const [[next], { quotas }] = await Promise.all([
      tx.sql<{ id: string }>`
        UPDATE agent.run SET waits_for_thread = false, revision = revision + 1
        WHERE id = ${head.id} AND waits_for_thread AND ended_at IS NULL RETURNING id`,
      readStartLimits(tx, scope),
    ]);
    if (!next) return false;
    const slot = quotas ? ((await queueRunSlot(tx, scope, { runId: next.id, quotas })) ? "HELD" : "WAITING") : null;
    await tx.sql`
      UPDATE agent.run SET slot = ${slot}, due_at = CASE WHEN ${slot !== "WAITING"} AND status <> 'PAUSED' THEN clock_timestamp() END
      WHERE id = ${next.id}`;
    nameDue(tx, { woken: next });
    return true;
  });
}

/** Lets runs of all tenants in whose thread is free and that were missed; called by the schedules. Returns how many. */
export async function letRunsOfFreeThreadsIn(): Promise<number> {
  const threads = await systemTx(
    "find runs whose thread is free",
    (tx) => tx.sql<TenantScope & { threadId: string }>`
      SELECT DISTINCT r.tenant_id, r.thread_id FROM agent.run r WHERE r.waits_for_thread AND r.ended_at IS NULL
        AND NOT EXISTS (SELECT FROM agent.run e WHERE e.tenant_id = r.tenant_id AND e.thread_id = r.thread_id AND e.id < r.id AND e.ended_at IS NULL)`,
  );
  let found = 0;
  for (const { threadId, ...scope } of threads) found += Number(await letNextIn(scope, threadId));
  return found;
}
