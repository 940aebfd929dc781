import { recordAudit } from "@sba/platform/audit";
import { callerOfStarter, type Caller } from "@sba/platform/caller";
import { systemTx, withTenant, type Tx } from "@sba/platform/db";
import type { Approval } from "@sba/platform/generated/prisma/client";
import { noticeChange, wakeRun } from "../run/wake.ts";
import { auditOf, deadlineAfter } from "./approval.ts";
import { escalatedRoles, isOpen, lapseOf } from "./approval.state.ts";
import { announceChange } from "./change.ts";
import { lockApproval, type LockedApproval } from "./lock.ts";

/**
 * What becomes of approvals that nobody decides: at their deadline owners and admins are asked as well, with a fresh one, and
 * at that they expire. The deadline is in the row: no job and no memory is held while an approval waits.
 */

const AT_A_TIME = 200;

/** Escalates or ends the approvals of all tenants whose time is up, and returns how many it found. Harmless when several do it at once. */
export async function lapseApprovals(): Promise<number> {
  const due = await systemTx(
    "lapse approvals",
    (tx) => tx.sql<Pick<Approval, "tenantId" | "id">>`
      SELECT tenant_id, id FROM agent.approval WHERE status = 'PENDING' AND expires_at <= clock_timestamp()
      ORDER BY expires_at LIMIT ${AT_A_TIME}`,
  );
  const failures: unknown[] = [];
  for (const { tenantId, id } of due) {
    // One that fails is tried again at the next round and holds up no other.
    await withTenant({ tenantId }, (tx) => lapse(tx, id)).catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
  return due.length;
}

/** Looks again under the lock: whoever decided, or another process, may have been there meanwhile. */
async function lapse(tx: Tx, id: string): Promise<void> {
  const locked = await lockApproval(tx, id);
  if (!locked || !isOpen(locked.approval.status)) return;
  const lapsed = lapseOf(locked.approval, locked.now);
  if (lapsed === "escalate") await escalate(tx, locked);
  if (lapsed === "expire") await expire(tx, locked);
}

async function escalate(tx: Tx, { approval: before, decisions, now }: LockedApproval): Promise<void> {
  const caller = callerOfRequester(before);
  const approverRoles = [...escalatedRoles(before)];
  const expiresAt = deadlineAfter(before.expiresAfterSeconds, now);
  const approval = { ...before, approverRoles, expiresAt, escalatedAt: now };
  if (approval.runId !== null) noticeChange(tx, approval.runId);
  await Promise.all([
    tx.sql`
      UPDATE agent.approval SET approver_roles = ${approverRoles}::text[], expires_at = ${expiresAt}, escalated_at = ${now}
      WHERE id = ${before.id}`,
    recordAudit(tx, caller, { action: "agent.approval.escalated", ...auditOf(approval, { approverRoles }) }),
    announceChange(tx, caller, { change: "ESCALATED", approval, decisions }),
  ]);
}

async function expire(tx: Tx, { approval: before, decisions }: LockedApproval): Promise<void> {
  const caller = callerOfRequester(before);
  const approval = { ...before, status: "EXPIRED", version: before.version + 1 };
  if (approval.runId !== null) wakeRun(tx, approval.runId);
  await Promise.all([
    tx.sql`UPDATE agent.approval SET status = ${approval.status}, version = ${approval.version} WHERE id = ${before.id}`,
    recordAudit(tx, caller, { action: "agent.approval.expired", ...auditOf(approval) }),
    announceChange(tx, caller, { change: "EXPIRED", approval, decisions, reason: "expired" }),
  ]);
}

/** Nobody acts here but the clock: it is written down under who asked, and may do nothing in their name. */
function callerOfRequester({ tenantId, requestedBy, requestedByKind }: Approval): Caller {
  return callerOfStarter({
    ...{ tenantId, startedBy: requestedBy, startedByKind: requestedByKind },
    ...{ permissions: [], requestId: "agent.lapseApprovals" },
  });
}
