import { recordAudit } from "@sba/platform/audit";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import type { Task } from "@sba/platform/generated/prisma/client";
import { encodeId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { reader } from "@sba/platform/reader";

/** Something for a person to do, written down by a run. */
export type { Task };

export interface CreateTaskInput {
  /** UUID; the id of the tool call that asks for it, so that a repeat of the call finds it. */
  readonly id: string;
  readonly runId?: string | undefined;
  readonly title: string;
  readonly description?: string | undefined;
  readonly dueAt?: Date | undefined;
}

/** Writes a task down. Idempotent by id: a repeat changes nothing. */
export async function createTask(
  caller: Caller,
  { id, runId, title, description, dueAt }: CreateTaskInput,
): Promise<void> {
  await withTenant(caller, async (tx) => {
    const created = await tx.sql<Pick<Task, "id">>`
      INSERT INTO agent.task (tenant_id, id, run_id, title, description, due_at, created_by)
      VALUES (${caller.tenantId}, ${id}, ${runId ?? null}, ${title}, ${description ?? null}, ${dueAt ?? null}, ${caller.principalId})
      ON CONFLICT (tenant_id, id) DO NOTHING RETURNING id`;
    if (created.length === 0) return;
    const audited = { action: "agent.task.created", target: encodeId("Task", id) };
    await tx.finish(() => recordAudit(tx, caller, audited));
  });
}

/** The task, if the tenant has it. */
export async function findTask(caller: Caller, id: string): Promise<Task | undefined> {
  return (await findTasks(caller, [id]))[0];
}

/** The tasks with these UUIDs that the tenant has. */
export function findTasks(caller: Caller, ids: readonly string[]): Promise<Task[]> {
  return reader(caller).task.findMany({ where: { tenantId: caller.tenantId, id: { in: [...ids] } } });
}

/** The tenant's tasks, newest first. */
export async function listTasks(caller: Caller, { first, after }: PageRequest): Promise<Page<Task>> {
  const before = decodeIdCursor(after) ?? null;
  const rows = await withTenant(
    caller,
    (tx) => tx.sql<Task>`
    SELECT * FROM agent.task
    WHERE tenant_id = ${caller.tenantId} AND (${before}::uuid IS NULL OR id < ${before}::uuid)
    ORDER BY id DESC LIMIT ${first + 1}`,
  );
  return toPage(rows, first);
}
