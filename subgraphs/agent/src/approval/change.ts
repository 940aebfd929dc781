import type { Caller } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import { appendEvents, gatherEvents, quietly, type NewEvent } from "@sba/platform/events";
import type { Approval, ApprovalDecision } from "@sba/platform/generated/prisma/client";
import {
  approvalChanged,
  approvalDecided,
  approvalRequested,
  approvalStream,
  runStream,
  type ApprovalChangeKind,
  type ApprovalSnapshot,
} from "../events.ts";

/** How changes of approvals are told: to the tenant's inbox, and to readers of the run that waits. */

/** What of a decision is told. */
export interface CountedDecision extends Pick<ApprovalDecision, "decision" | "decidedBy" | "reason"> {
  readonly decidedAt: Date | string;
}

export interface ApprovalChange {
  readonly change: ApprovalChangeKind;
  readonly approval: Approval;
  /** Those that count: of the approval's round. */
  readonly decisions: readonly CountedDecision[];
  /** Why it ended, when nobody decided. */
  readonly reason?: string;
}

/** What is told beside the change. */
interface Telling {
  /** What the run is told after it. */
  readonly following?: readonly NewEvent[];
  /** Of the work that makes the change, when another's commit does so. */
  readonly traceId?: string | undefined;
}

/** Tells the inbox and the run, in that order: streams are locked in the order of their names. Of a run's nobody need wait for the answer. */
export async function announceChange(
  tx: Tx,
  caller: Caller,
  change: ApprovalChange,
  { following = [], traceId }: Telling = {},
): Promise<void> {
  const { runId } = change.approval;
  const event = inboxEvent(change);
  if (runId === null) {
    await appendEvents(tx, caller, approvalStream(caller.tenantId), [event]);
    return;
  }
  const entries = [...runEvents(change), ...following].map((runEvent) => ({
    stream: runStream(runId),
    event: runEvent,
  }));
  const all = [{ stream: approvalStream(caller.tenantId), event }, ...entries];
  gatherEvents(
    tx,
    all.map((entry) => ({ ...entry, traceId })),
  );
}

/** The inbox's event. Reactions hear of it only when something of a higher domain waits: a run is woken by its own row. */
export function inboxEvent({ change, approval, decisions, reason }: ApprovalChange): NewEvent {
  const snapshot = approvalSnapshot(approval, decisions);
  const event = approvalChanged({
    change,
    approval: snapshot,
    subject: approval.subject,
    ...endingOf(approval, decisions, reason),
  });
  return approval.subject === null ? quietly(event) : event;
}

/** What readers of the run are told: that it is asked, and how that ended. What lies between is the inbox's. */
export function runEvents({ change, approval, decisions, reason }: ApprovalChange): NewEvent[] {
  const snapshot = approvalSnapshot(approval, decisions);
  if (change === "REQUESTED") return [approvalRequested({ approval: snapshot })];
  if (approval.status === "PENDING") return [];
  return [approvalDecided({ approval: snapshot, ...endingOf(approval, decisions, reason) })];
}

function endingOf({ status }: Approval, decisions: readonly CountedDecision[], reason: string | undefined) {
  const last = status === "APPROVED" || status === "DENIED" ? decisions.at(-1) : undefined;
  return { decidedBy: last?.decidedBy ?? null, reason: last?.reason ?? reason ?? null };
}

function approvalSnapshot(approval: Approval, decisions: readonly CountedDecision[]): ApprovalSnapshot {
  const { id, runId, status, action, params, editableParams, fingerprint, version, scope, requires } = approval;
  const { quorum, approverRoles, approverIds, allowRequester, requestedBy, supersededBy } = approval;
  return {
    ...{ id, runId, status, action, params, editableParams, fingerprint, version, scope, requires },
    costEstimate: { amountMicros: String(approval.costEstimateMicros), currency: approval.currency },
    expiresAt: approval.expiresAt?.toISOString() ?? null,
    createdAt: approval.createdAt.toISOString(),
    ...{ requestedBy, supersededBy },
    policy: { version: approval.policyVersion, quorum, approverRoles, approverIds, allowRequester },
    decisions: decisions.map(({ decision, decidedBy, decidedAt, reason }) => ({
      ...{ decision, decidedBy, reason },
      decidedAt: new Date(decidedAt).toISOString(),
    })),
    escalatedAt: approval.escalatedAt?.toISOString() ?? null,
  };
}
