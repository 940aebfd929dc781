import type { Caller } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import type { Thread } from "@sba/platform/generated/prisma/client";
import { newId } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import { errors } from "../errors.ts";

/** Makes a thread and returns its UUID. Needs no answer. */
export function insertThread(tx: Tx, caller: Caller, agentId: string): string {
  const id = newId();
  void tx.sql`INSERT INTO agent.thread (tenant_id, id, agent_id) VALUES (${caller.tenantId}, ${id}, ${agentId})`;
  return id;
}

/**
 * Refuses a thread that a run is under way in. It stays locked until the commit, so that of two starts at once the second sees
 * the first.
 * @throws AGENT_THREAD_NOT_FOUND, AGENT_THREAD_BUSY, AGENT_THREAD_OF_OTHER_AGENT
 */
export async function lockIdleThread(
  tx: Tx,
  { threadId, agentId }: { readonly threadId: string; readonly agentId: string },
): Promise<void> {
  const [thread] = await tx.sql<Thread>`SELECT * FROM agent.thread WHERE id = ${threadId} FOR UPDATE`;
  if (!thread) throw errors.AGENT_THREAD_NOT_FOUND();
  if (thread.agentId !== agentId) throw errors.AGENT_THREAD_OF_OTHER_AGENT();
  const [busy] = await tx.sql<{ id: string }>`
    SELECT id FROM agent.run WHERE thread_id = ${threadId} AND status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED') LIMIT 1`;
  if (busy) throw errors.AGENT_THREAD_BUSY();
}

/** The threads with these UUIDs that the tenant has. */
export function findThreads(caller: Caller, ids: readonly string[]): Promise<Thread[]> {
  return reader(caller).thread.findMany({ where: { id: { in: [...ids] } } });
}
