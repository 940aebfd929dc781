import type { Caller } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import type { Thread } from "@sba/platform/generated/prisma/client";
import { newId } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import { errors } from "../errors.ts";

export interface OpenThreadInput {
  readonly threadId: string | undefined;
  readonly agentId: string;
}

/**
 * The thread that a new run belongs to: a new one, or the given one when no run of it is under way. The thread stays
 * locked until the commit, so that of two starts at once the second sees the first.
 * @throws AGENT_THREAD_NOT_FOUND, AGENT_THREAD_BUSY, AGENT_THREAD_OF_OTHER_AGENT
 */
export async function openThread(tx: Tx, caller: Caller, { threadId, agentId }: OpenThreadInput): Promise<string> {
  if (threadId === undefined) {
    const id = newId();
    await tx.sql`INSERT INTO agent.thread (tenant_id, id, agent_id) VALUES (${caller.tenantId}, ${id}, ${agentId})`;
    return id;
  }
  const [thread] = await tx.sql<Thread>`SELECT * FROM agent.thread WHERE id = ${threadId} FOR UPDATE`;
  if (!thread) throw errors.AGENT_THREAD_NOT_FOUND();
  if (thread.agentId !== agentId) throw errors.AGENT_THREAD_OF_OTHER_AGENT();
  const [busy] = await tx.sql<{ id: string }>`
    SELECT id FROM agent.run WHERE thread_id = ${threadId} AND status NOT IN ('COMPLETED', 'FAILED', 'CANCELLED') LIMIT 1`;
  if (busy) throw errors.AGENT_THREAD_BUSY();
  return threadId;
}

/** The threads with these UUIDs that the tenant has. */
export function findThreads(caller: Caller, ids: readonly string[]): Promise<Thread[]> {
  return reader(caller).thread.findMany({ where: { id: { in: [...ids] } } });
}
