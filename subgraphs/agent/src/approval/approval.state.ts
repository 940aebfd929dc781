/** How an approval moves. Pure. */

export const APPROVAL_STATUSES = ["PENDING", "APPROVED", "DENIED", "EXPIRED", "CANCELLED", "SUPERSEDED"] as const;
export type ApprovalStatus = (typeof APPROVAL_STATUSES)[number];

export const APPROVAL_DECISIONS = ["APPROVED", "DENIED"] as const;
export type ApprovalDecisionKind = (typeof APPROVAL_DECISIONS)[number];

/** Only what is pending can be decided, expire, be cancelled or superseded; every other status is final. */
export function canDecide(status: string): boolean {
  return status === "PENDING";
}
