import { readMemberRoles } from "@sba/identity/index";
import { amendToolCall } from "@sba/integrations/index";
import { recordAudit } from "@sba/platform/audit";
import { requirePermission, type Caller } from "@sba/platform/caller";
import { json, withTenant, type Tx } from "@sba/platform/db";
import { AppError } from "@sba/platform/errors";
import type { Approval, ApprovalDecision } from "@sba/platform/generated/prisma/client";
import type { NewEvent } from "@sba/platform/events";
import { claimKey } from "@sba/platform/idempotency";
import { encodeId, newId } from "@sba/platform/ids";
import { errors } from "../errors.ts";
import { beginApproved } from "../run/begin-approved.ts";
import { noticeChange, wakeRun } from "../run/wake.ts";
import { amendCall } from "../thread/message.ts";
import { findTool } from "../tool/index.ts";
import { auditOf, estimateToolCall, fingerprintOf } from "./approval.ts";
import { isOpen, lapseOf, objectionTo, statusAfter, type ApprovalDecisionKind } from "./approval.state.ts";
import { announceChange, type CountedDecision } from "./change.ts";
import { lockApproval, type LockedApproval } from "./lock.ts";

/** How an approval is decided: by approvers, each once, until enough have approved or one has denied. */

export interface DecideApprovalInput {
  /** UUID. */
  readonly approvalId: string;
  readonly decision: ApprovalDecisionKind;
  /** What the person saw: a decision about anything else is refused. */
  readonly fingerprint: string;
  readonly expectedVersion: number;
  readonly reason?: string | undefined;
  /**
   * Replaces the named params before the approval takes effect; only with APPROVED. Approvals that others gave before are
   * void then: they approved something else.
   */
  readonly editedParams?: Readonly<Record<string, unknown>> | undefined;
  readonly idempotencyKey?: string | undefined;
}

/**
 * Decides an approval, or counts one of several approvals, and wakes what waits when it is decided. Actor and time are the
 * caller's and the server's. Returns the approval's UUID. Idempotent by key.
 * @throws AGENT_APPROVAL_NOT_FOUND, PERMISSION_MISSING, AGENT_APPROVAL_NOT_APPROVER, AGENT_APPROVAL_BY_REQUESTER,
 * AGENT_APPROVAL_ALREADY_DECIDED, AGENT_APPROVAL_DECIDED_BY_CALLER, AGENT_APPROVAL_CHANGED (each with the state as it is now),
 * AGENT_APPROVAL_PARAMS_INVALID, IDEMPOTENCY_KEY_REUSED
 */
export async function decideApproval(caller: Caller, input: DecideApprovalInput): Promise<string> {
  requirePermission(caller, "approval:decide");
  const { idempotencyKey, ...request } = input;
  const { approvalId } = input;
  const decideOnce = async (tx: Tx): Promise<void> => {
    // Sent together: one round trip.
    const [locked, roles, earlier] = await Promise.all([
      lockApproval(tx, approvalId),
      readMemberRoles(tx, caller, caller.principalId),
      claimKey(tx, caller, { operation: "decideApproval", key: idempotencyKey, input: request }, approvalId),
    ]);
    if (!locked) throw errors.AGENT_APPROVAL_NOT_FOUND();
    if (earlier === undefined) await decide(tx, caller, { ...locked, roles }, input);
  };
  await withTenant(caller, decideOnce, { byKey: true });
  return approvalId;
}

/** What a decision is held against: the approval as it is now, and the caller's roles now. */
export type Standing = Pick<LockedApproval, "approval" | "decisions" | "now"> & { readonly roles: readonly string[] };

async function decide(
  tx: Tx,
  caller: Caller,
  locked: LockedApproval & Standing,
  input: DecideApprovalInput,
): Promise<void> {
  requireDecidable(caller, locked, input);
  const { approval: before, now } = locked;
  const edited = await editParams(tx, caller, locked, input);
  const { decision: kind, reason = null } = input;
  const given = { id: newId(), decision: kind, decidedBy: caller.principalId, decidedAt: now, reason };
  const decided = countDecision(locked, edited, given);
  const writeIt = (): Promise<void> => write(tx, caller, decided, locked);
  // For a run nothing waits for an answer: all of it travels with the commit.
  await (before.runId === null ? writeIt() : tx.finish(writeIt));
}

/** A decision as it is given; its kind is one that callers can give. */
export type GivenDecision = Pick<ApprovalDecision, "id" | "decidedBy" | "decidedAt" | "reason"> & {
  readonly decision: ApprovalDecisionKind;
};

export interface Decided {
  readonly before: Approval;
  readonly approval: Approval;
  readonly decision: ApprovalDecision;
  /** Those that count now, this one included. */
  readonly decisions: readonly CountedDecision[];
  readonly isEdited: boolean;
}

/** What one more decision makes of an approval, whose params and fingerprint are in `edited` as this decision has them. Pure. */
export function countDecision(
  {
    approval: before,
    decisions: earlier,
  }: { readonly approval: Approval; readonly decisions: readonly CountedDecision[] },
  edited: Approval,
  given: GivenDecision,
): Decided {
  const isEdited = edited.fingerprint !== before.fingerprint;
  const round = before.round + (isEdited ? 1 : 0);
  const { tenantId, id: approvalId, quorum } = before;
  const decision = { ...given, tenantId, approvalId, round, fingerprint: edited.fingerprint };
  const decisions = [...(isEdited ? [] : earlier), decision];
  const status = statusAfter(given.decision, { approvals: decisions.length, quorum });
  const version = before.version + (isEdited || !isOpen(status) ? 1 : 0);
  return { before, approval: { ...edited, round, status, version }, decision, decisions, isEdited };
}

/** Every statement is issued at once. */
async function write(tx: Tx, caller: Caller, decided: Decided, locked: LockedApproval): Promise<void> {
  const { before, approval, decision, decisions, isEdited } = decided;
  const change = isOpen(approval.status) ? (isEdited ? "EDITED" : "VOTED") : "DECIDED";
  const begun = resumeRun(tx, approval, locked, isEdited);
  await Promise.all([
    writeDecision(tx, approval, decision),
    recordAudit(tx, caller, {
      action: "agent.approval.decided",
      ...auditOf(approval, { decision: decision.decision, previousFingerprint: before.fingerprint }),
    }),
    announceChange(tx, caller, { change, approval, decisions }, begun),
  ]);
}

/** Returns what the run's readers are told of it. */
function resumeRun(tx: Tx, approval: Approval, { run, now }: LockedApproval, isEdited: boolean): readonly NewEvent[] {
  const { runId, toolCallId, params, status } = approval;
  if (!run || runId === null) return [];
  // What the agent reports is what ran.
  if (isEdited && toolCallId !== null) amendCall(tx, runId, { id: toolCallId, params });
  const begun = status === "APPROVED" ? beginApproved(tx, run, approval, now) : undefined;
  if (isOpen(status)) noticeChange(tx, runId);
  else if (!begun) wakeRun(tx, runId, toolCallId ?? undefined);
  return begun ?? [];
}

/** @throws what `decideApproval` says, in this order: whether it can be decided, by whom, and about what */
function requireDecidable(
  caller: Caller,
  standing: Standing,
  { fingerprint, expectedVersion }: DecideApprovalInput,
): void {
  const refusal = refusalFor(caller, standing);
  if (refusal) throw refusal;
  const { approval, decisions } = standing;
  if (approval.version !== expectedVersion || approval.fingerprint !== fingerprint)
    throw errors.AGENT_APPROVAL_CHANGED({ details: stateOf(approval, decisions) });
}

/** Why the caller may not decide it now, or undefined when they may. */
export function refusalFor(caller: Caller, { approval, decisions, roles, now }: Standing): AppError | undefined {
  const hasLapsed = lapseOf(approval, now) === "expire";
  const details = stateOf(approval, decisions, hasLapsed);
  if (!isOpen(approval.status) || hasLapsed) return errors.AGENT_APPROVAL_ALREADY_DECIDED({ details });
  const { principalId, principalKind } = caller;
  const objection = objectionTo(approval, { principalId, principalKind, roles });
  if (objection === "requester") return errors.AGENT_APPROVAL_BY_REQUESTER();
  if (objection === "notApprover") return errors.AGENT_APPROVAL_NOT_APPROVER();
  const decided = decisions.some(({ decidedBy }) => decidedBy === principalId);
  return decided ? errors.AGENT_APPROVAL_DECIDED_BY_CALLER({ details }) : undefined;
}

/** What whoever comes late is told. */
function stateOf(approval: Approval, decisions: readonly ApprovalDecision[], hasLapsed = false) {
  const { status, version, fingerprint, supersededBy } = approval;
  const last = isOpen(status) ? undefined : decisions.at(-1);
  return {
    ...{ status: hasLapsed && isOpen(status) ? "EXPIRED" : status, version, fingerprint },
    ...(supersededBy === null ? {} : { supersededBy: encodeId("Approval", supersededBy) }),
    ...(last && { decidedBy: encodeId("Principal", last.decidedBy), decidedAt: last.decidedAt.toISOString() }),
  };
}

/**
 * The approval with the caller's params, if they gave any: as the tool's schema takes them, with what that would cost.
 * @throws AGENT_APPROVAL_PARAMS_INVALID
 */
async function editParams(
  tx: Tx,
  caller: Caller,
  { approval, run }: LockedApproval,
  { editedParams, decision }: DecideApprovalInput,
): Promise<Approval> {
  if (editedParams === undefined) return approval;
  if (decision !== "APPROVED")
    throw errors.AGENT_APPROVAL_PARAMS_INVALID({ message: "Only what is approved can be edited." });
  const tool = findTool(approval.action);
  const notEditable = Object.keys(editedParams).filter((name) => !approval.editableParams.includes(name));
  if (!tool || approval.toolCallId === null || notEditable.length > 0)
    throw errors.AGENT_APPROVAL_PARAMS_INVALID({ details: { notEditable } });
  const params = { ...(approval.params as object), ...editedParams };
  const call = await amendToolCall(tx, caller, { id: approval.toolCallId, tool, params }).catch(refuseParams);
  const { amountMicros, currency } = estimateToolCall(run?.priceListVersion);
  const edited = {
    ...approval,
    params: call.params as Approval["params"],
    costEstimateMicros: amountMicros,
    currency,
  };
  return { ...edited, fingerprint: fingerprintOf(edited) };
}

function refuseParams(error: unknown): never {
  if (!(error instanceof AppError) || error.kind !== "invalid_input") throw error;
  throw errors.AGENT_APPROVAL_PARAMS_INVALID({ message: error.message, details: error.details, cause: error });
}

/** The approval as it is now, and the decision that made it so. */
function writeDecision(tx: Tx, approval: Approval, decision: ApprovalDecision): Promise<object[]> {
  const { id, status, version, params, fingerprint, costEstimateMicros, currency } = approval;
  const { tenantId, approvalId, round, decidedBy, decidedAt, reason } = decision;
  return tx.sql`
    WITH decided AS (
      UPDATE agent.approval SET status = ${status}, version = ${version}, round = ${round}, params = ${json(params)}::jsonb,
             fingerprint = ${fingerprint}, cost_estimate_micros = ${costEstimateMicros}, currency = ${currency}
      WHERE id = ${id})
    INSERT INTO agent.approval_decision (tenant_id, id, approval_id, round, decision, fingerprint, decided_by, decided_at, reason)
    VALUES (${tenantId}, ${decision.id}, ${approvalId}, ${round}, ${decision.decision}, ${decision.fingerprint}, ${decidedBy}, ${decidedAt}, ${reason})`;
}
