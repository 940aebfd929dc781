import type { Caller } from "@sba/platform/caller";
import { uuids } from "@sba/platform/columns";
import type { Tx } from "@sba/platform/db";
import type { Run as RunRow, Thread } from "@sba/platform/generated/prisma/client";
import { newId, newIdAfter } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import { errors } from "../errors.ts";

/** Makes a thread and returns its UUID. Needs no answer. */
export function insertThread(tx: Tx, agentId: string): string {
  const id = newId();
  tx.gather(insertThreads, [{ id, agentId }]);
  return id;
}

function insertThreads(tx: Tx, threads: readonly Pick<Thread, "id" | "agentId">[]): Promise<unknown> {
  return tx.sql`
    INSERT INTO agent.thread (tenant_id, id, agent_id)
    SELECT ${tx.tenantId}, (${uuids(threads, ({ id }) => id)}::uuid[])[i], (${uuids(threads, ({ agentId }) => agentId)}::uuid[])[i]
    FROM generate_series(1, ${threads.length}::int) AS i`;
}

/** A thread that stays as it is until the commit: no run is added to it by anybody else. */
export interface LockedThread extends Thread {
  /** UUID of its newest run. */
  readonly lastRunId: string | undefined;
  /** Its runs that have not ended, in their order: of those before the lock, or sooner by now. */
  readonly underWay: readonly RunOfThread[];
}

export type RunOfThread = Pick<RunRow, "id" | "status" | "waitsForThread">;

/**
 * Locks a thread until the transaction ends, so that of two starts at once the second sees the first. One round trip.
 * @throws AGENT_THREAD_NOT_FOUND
 */
export async function lockThread(tx: Tx, threadId: string): Promise<LockedThread> {
  // Statements of their own after the lock: what they read is as new as whoever held it before.
  const [[thread], [last], underWay] = await Promise.all([
    tx.sql<Thread>`SELECT * FROM agent.thread WHERE id = ${threadId} FOR UPDATE`,
    tx.sql<{ id: string }>`SELECT id FROM agent.run WHERE thread_id = ${threadId} ORDER BY id DESC LIMIT 1`,
    tx.sql<RunOfThread>`
      SELECT id, status, waits_for_thread FROM agent.run WHERE thread_id = ${threadId} AND ended_at IS NULL ORDER BY id`,
  ]);
  if (!thread) throw errors.AGENT_THREAD_NOT_FOUND();
  return { ...thread, lastRunId: last?.id, underWay };
}

/** The UUID of the thread's next run: the runs of a thread are ordered by their ids, whichever process made them. */
export function nextRunId({ lastRunId }: LockedThread): string {
  return lastRunId === undefined ? newId() : newIdAfter(lastRunId);
}

/** @throws AGENT_THREAD_OF_OTHER_AGENT */
export function requireThreadOf({ agentId: owner }: LockedThread, agentId: string): void {
  if (owner !== agentId) throw errors.AGENT_THREAD_OF_OTHER_AGENT();
}

/** Refuses a thread that a run is under way in. @throws AGENT_THREAD_BUSY, AGENT_THREAD_OF_OTHER_AGENT */
export function requireIdleThread(thread: LockedThread, agentId: string): void {
  requireThreadOf(thread, agentId);
  if (thread.underWay.length > 0) throw errors.AGENT_THREAD_BUSY();
}

/** The threads with these UUIDs that the tenant has. */
export function findThreads(caller: Caller, ids: readonly string[]): Promise<Thread[]> {
  return reader(caller).thread.findMany({ where: { id: { in: [...ids] } } });
}
