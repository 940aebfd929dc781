/** How an approval moves and who may move it. Pure: no database, no clock. */

export const APPROVAL_STATUSES = ["PENDING", "APPROVED", "DENIED", "EXPIRED", "CANCELLED", "SUPERSEDED"] as const;
export type ApprovalStatus = (typeof APPROVAL_STATUSES)[number];

export const APPROVAL_DECISIONS = ["APPROVED", "DENIED"] as const;
export type ApprovalDecisionKind = (typeof APPROVAL_DECISIONS)[number];

/** Only what is pending can be decided, expire, be cancelled or superseded; every other status is final. */
export function isOpen(status: string): boolean {
  return status === "PENDING";
}

/** What an approval was asked under. */
export interface ApprovalRules {
  /** How many approvers must approve, 1 or more. */
  readonly quorum: number;
  /** Neither roles nor ids: whoever holds approval:decide. */
  readonly approverRoles: readonly string[];
  /** UUIDs of principals. */
  readonly approverIds: readonly string[];
  /** Whether who asked may decide, if they are an approver. */
  readonly allowRequester: boolean;
  /** UUID. */
  readonly requestedBy: string;
  /** UUIDs of who had told the run that asks what to do: they asked as well. */
  readonly toldBy: readonly string[];
}

/** Who wants to decide. */
export interface Decider {
  readonly principalId: string;
  readonly principalKind: string;
  /** The roles that they have now. */
  readonly roles: readonly string[];
}

/**
 * Why somebody may not decide, or undefined when they may. Roles mean people: a program decides only where the policy names
 * it, or whoever may create API keys could make up a quorum alone.
 */
export function objectionTo(rules: ApprovalRules, decider: Decider): "requester" | "notApprover" | undefined {
  const { approverRoles, approverIds, requestedBy, toldBy } = rules;
  const hasAsked = decider.principalId === requestedBy || toldBy.includes(decider.principalId);
  if (hasAsked && !rules.allowRequester) return "requester";
  if (approverIds.includes(decider.principalId)) return undefined;
  if (decider.principalKind !== "USER") return "notApprover";
  const isForAnybody = approverRoles.length === 0 && approverIds.length === 0;
  return isForAnybody || approverRoles.some((role) => decider.roles.includes(role)) ? undefined : "notApprover";
}

/** Where an approval stands after a decision; `approvals` counts those of its round, this one included. One denial denies. */
export function statusAfter(
  decision: ApprovalDecisionKind,
  { approvals, quorum }: { readonly approvals: number; readonly quorum: number },
): "PENDING" | "APPROVED" | "DENIED" {
  if (decision === "DENIED") return "DENIED";
  return approvals >= quorum ? "APPROVED" : "PENDING";
}

/** The roles that are asked as well when nobody decided in time. */
export const ESCALATION_ROLES = ["owner", "admin"] as const;

/** What is to happen to a pending approval: more people are asked once, then it ends. */
export function lapseOf(
  { expiresAt, escalatedAt }: { readonly expiresAt: Date | null; readonly escalatedAt: Date | null },
  now: Date,
): "escalate" | "expire" | undefined {
  if (expiresAt === null || expiresAt > now) return undefined;
  return escalatedAt === null ? "escalate" : "expire";
}

/** The approvers after an escalation. Where anybody may decide, there is nobody to add. */
export function escalatedRoles({
  approverRoles,
  approverIds,
}: Pick<ApprovalRules, "approverRoles" | "approverIds">): readonly string[] {
  if (approverRoles.length === 0 && approverIds.length === 0) return [];
  return [...new Set([...approverRoles, ...ESCALATION_ROLES])];
}
