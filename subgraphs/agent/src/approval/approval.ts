import { estimateCost, type Money } from "@sba/billing/index";
import { readMemberRoles } from "@sba/identity/index";
import type { Tool } from "@sba/integrations/index";
import { recordAudit } from "@sba/platform/audit";
import { hasPermission, type Caller } from "@sba/platform/caller";
import { json, withTenant, withTenantOnce, type Tx } from "@sba/platform/db";
import { encodeCursor, lastSeq } from "@sba/platform/events";
import type { Approval, ApprovalDecision } from "@sba/platform/generated/prisma/client";
import { hashInput } from "@sba/platform/idempotency";
import { encodeId, newId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { reader } from "@sba/platform/reader";
import { approvalStream } from "../events.ts";
import { TOOL_CALL_USAGE } from "../run/budget.ts";
import type { ApprovalStatus } from "./approval.state.ts";
import { announceChange } from "./change.ts";
import { DEFAULT_RULES, type PinnedRules } from "./policy.ts";

/**
 * What a person is asked: may this action run with these params? The fingerprint is of exactly what would run; the rules are
 * those of the moment it was asked. All of it is in the row, so that it waits as long as it takes and for no process.
 */

export type { Approval };

export interface RequestApprovalInput {
  /** UUID; a new one when absent. */
  readonly id?: string;
  /** When it is asked; now when absent. */
  readonly at?: Date;
  /** The run and tool call that wait, or a subject of a higher domain, `workflowRun:<uuid>:<step>`. */
  readonly runId?: string;
  readonly toolCallId?: string;
  readonly subject?: string;
  readonly action: string;
  readonly params: unknown;
  readonly editableParams?: readonly string[];
  /** Of the tool as it is now; of a subject's own definition otherwise. */
  readonly definitionHash: string;
  readonly scope: readonly string[];
  readonly requires: readonly string[];
  readonly costEstimate: Money;
  /** As `rulesFor` gives them; without, one person who did not ask decides. */
  readonly rules?: PinnedRules | undefined;
}

type Fingerprinted = Pick<
  Approval,
  "action" | "params" | "definitionHash" | "costEstimateMicros" | "currency" | "toolCallId" | "subject"
>;

/** Of what would run: the action and its params, how the tool is defined, what it would cost, and what waits for it. */
export function fingerprintOf(what: Fingerprinted): string {
  const { action, params, definitionHash, costEstimateMicros, currency, toolCallId, subject } = what;
  return hashInput({ action, params, definitionHash, costEstimateMicros, currency, target: toolCallId ?? subject });
}

/** What a tool call is expected to cost, by the price list that its run is pinned to; by that in force without. */
export function estimateToolCall(priceListVersion?: number): Money {
  return estimateCost(TOOL_CALL_USAGE, priceListVersion);
}

/** A new approval as `insertApproval` stores it. */
export function makeApproval(caller: Caller, input: RequestApprovalInput): Approval {
  const { expiresAfterSeconds, ...rules } = input.rules ?? DEFAULT_RULES;
  const { id = newId(), at: createdAt = new Date() } = input;
  const what = {
    toolCallId: input.toolCallId ?? null,
    subject: input.subject ?? null,
    action: input.action,
    params: input.params as Approval["params"],
    definitionHash: input.definitionHash,
    costEstimateMicros: input.costEstimate.amountMicros,
    currency: input.costEstimate.currency,
  };
  return {
    ...what,
    ...{ tenantId: caller.tenantId, id, runId: input.runId ?? null, status: "PENDING" },
    ...{ version: 1, round: 1, fingerprint: fingerprintOf(what) },
    editableParams: [...(input.editableParams ?? [])],
    scope: [...input.scope],
    requires: [...input.requires],
    ...{ requestedBy: caller.principalId, requestedByKind: caller.principalKind },
    ...rules,
    approverRoles: [...rules.approverRoles],
    approverIds: [...rules.approverIds],
    ...{ expiresAfterSeconds, expiresAt: deadlineAfter(expiresAfterSeconds, createdAt) },
    ...{ escalatedAt: null, supersededBy: null, createdAt },
  };
}

/** When an approval that is asked for at `from` lapses. */
export function deadlineAfter(seconds: number | null, from: Date): Date | null {
  return seconds === null ? null : new Date(from.getTime() + seconds * 1_000);
}

/** Stores a new approval. Nothing of it needs an answer. */
export function insertApproval(tx: Tx, approval: Approval): Promise<object[]> {
  const a = approval;
  return tx.sql`
    INSERT INTO agent.approval (tenant_id, id, run_id, tool_call_id, subject, status, action, params, editable_params,
                                definition_hash, fingerprint, scope, requires, cost_estimate_micros, currency,
                                requested_by, requested_by_kind, policy_id, policy_version, quorum, approver_roles, approver_ids,
                                allow_requester, expires_after_seconds, expires_at, created_at)
    VALUES (${a.tenantId}, ${a.id}, ${a.runId}, ${a.toolCallId}, ${a.subject}, ${a.status}, ${a.action}, ${json(a.params)}::jsonb,
            ${a.editableParams}::text[], ${a.definitionHash}, ${a.fingerprint}, ${a.scope}::text[], ${a.requires}::text[],
            ${a.costEstimateMicros}, ${a.currency}, ${a.requestedBy}, ${a.requestedByKind}, ${a.policyId}, ${a.policyVersion},
            ${a.quorum}, ${a.approverRoles}::text[], ${a.approverIds}::uuid[], ${a.allowRequester}, ${a.expiresAfterSeconds},
            ${a.expiresAt}, ${a.createdAt})`;
}

/** Asks for a decision and returns the approval's UUID. */
export async function requestApproval(tx: Tx, caller: Caller, input: RequestApprovalInput): Promise<string> {
  const approval = makeApproval(caller, input);
  await Promise.all([
    insertApproval(tx, approval),
    announceChange(tx, caller, { change: "REQUESTED", approval, decisions: [] }),
  ]);
  return approval.id;
}

/** What would run now, to be held against what was approved. */
export interface PlannedCall {
  readonly tool: Pick<Tool, "name" | "definitionHash">;
  readonly params: unknown;
  readonly costEstimate: Money;
}

/** Whether what was approved is still what would run. */
export function isAsApproved(approval: Approval, { tool, params, costEstimate }: PlannedCall): boolean {
  const now = fingerprintOf({
    ...approval,
    action: tool.name,
    params: params as Approval["params"],
    definitionHash: tool.definitionHash,
    costEstimateMicros: costEstimate.amountMicros,
    currency: costEstimate.currency,
  });
  return approval.status === "APPROVED" && now === approval.fingerprint;
}

/** Cancels what a run still waits for; called when the run is cancelled or ends. */
export async function cancelApprovalsOfRun(tx: Tx, caller: Caller, runId: string): Promise<void> {
  const cancelled = await tx.sql<Approval>`
    UPDATE agent.approval SET status = 'CANCELLED', version = version + 1 WHERE run_id = ${runId} AND status = 'PENDING' RETURNING *`;
  await announceCancelled(tx, caller, cancelled);
}

/** Cancels what a subject of a higher domain still waits for. */
export async function cancelApprovalsOfSubject(tx: Tx, caller: Caller, subject: string): Promise<void> {
  const cancelled = await tx.sql<Approval>`
    UPDATE agent.approval SET status = 'CANCELLED', version = version + 1 WHERE subject = ${subject} AND status = 'PENDING' RETURNING *`;
  await announceCancelled(tx, caller, cancelled);
}

async function announceCancelled(tx: Tx, caller: Caller, cancelled: readonly Approval[]): Promise<void> {
  if (cancelled.length === 0) return;
  const decisions = await readDecisions(
    tx,
    cancelled.map(({ id }) => id),
  );
  for (const approval of cancelled) {
    const counted = countedOf(approval, decisions);
    await Promise.all([
      recordAudit(tx, caller, { action: "agent.approval.cancelled", ...auditOf(approval) }),
      announceChange(tx, caller, { change: "CANCELLED", approval, decisions: counted, reason: "cancelled" }),
    ]);
  }
}

/** What a reviewer needs to know of an approval, whatever happened to it. */
export function auditOf(approval: Approval, more: Readonly<Record<string, unknown>> = {}) {
  const { id, fingerprint, policyVersion, policyId, status } = approval;
  return { target: encodeId("Approval", id), details: { status, fingerprint, policyId, policyVersion, ...more } };
}

/** The decisions that count for an approval, of those given. */
export function countedOf<Decision extends Pick<ApprovalDecision, "approvalId" | "round">>(
  { id, round }: Pick<Approval, "id" | "round">,
  decisions: readonly Decision[],
): Decision[] {
  return decisions.filter((decision) => decision.approvalId === id && decision.round === round);
}

/** The decisions about these approvals, of every round, oldest first. */
export function readDecisions(tx: Tx, approvalIds: readonly string[]): Promise<ApprovalDecision[]> {
  return tx.sql<ApprovalDecision>`
    SELECT * FROM agent.approval_decision WHERE approval_id = ANY(${[...approvalIds]}::uuid[]) ORDER BY decided_at, id`;
}

export interface ApprovalFilter {
  readonly status?: readonly ApprovalStatus[] | undefined;
  readonly runId?: string | undefined;
  /** Only what the caller may decide now: the rules of `objectionTo`, in SQL. */
  readonly mayDecide?: boolean | undefined;
}

/** Where the tenant's inbox stands: after its last committed event. */
export async function readInboxCursor(caller: Caller): Promise<string> {
  const stream = approvalStream(caller.tenantId);
  return encodeCursor(stream, await withTenantOnce(caller, (tx) => lastSeq(tx, stream)));
}

/** The tenant's approvals, newest first. */
export async function listApprovals(
  caller: Caller,
  page: PageRequest,
  filter: ApprovalFilter = {},
): Promise<Page<Approval>> {
  const before = decodeIdCursor(page.after) ?? null;
  const status = filter.status ? [...filter.status] : null;
  const runId = filter.runId ?? null;
  const { principalId } = caller;
  const isPerson = caller.principalKind === "USER";
  if (filter.mayDecide === true && !hasPermission(caller, "approval:decide")) return { items: [], hasNextPage: false };
  const rows = await withTenant(caller, async (tx) => {
    const roles = filter.mayDecide === true ? [...(await readMemberRoles(tx, caller, principalId))] : [];
    return tx.finish(
      () => tx.sql<Approval>`
        SELECT * FROM agent.approval a
        WHERE (${before}::uuid IS NULL OR id < ${before}::uuid)
          AND (${status}::text[] IS NULL OR status = ANY(${status}::text[]))
          AND (${runId}::uuid IS NULL OR run_id = ${runId}::uuid)
          AND (NOT ${filter.mayDecide ?? false} OR (
            status = 'PENDING' AND (allow_requester OR (requested_by <> ${principalId} AND NOT EXISTS (
              SELECT FROM agent.run r WHERE r.tenant_id = a.tenant_id AND r.id = a.run_id AND ${principalId} = ANY(r.told_by))))
            AND (${principalId} = ANY(approver_ids) OR (${isPerson} AND (
              approver_roles && ${roles}::text[] OR (cardinality(approver_roles) = 0 AND cardinality(approver_ids) = 0))))
            AND NOT EXISTS (SELECT FROM agent.approval_decision d
                            WHERE d.tenant_id = a.tenant_id AND d.approval_id = a.id AND d.round = a.round AND d.decided_by = ${principalId})))
        ORDER BY id DESC LIMIT ${page.first + 1}`,
    );
  });
  return toPage(rows, page.first);
}

/** The approvals with these UUIDs that the tenant has. */
export function findApprovals(caller: Caller, ids: readonly string[]): Promise<Approval[]> {
  return reader(caller).approval.findMany({ where: { id: { in: [...ids] } } });
}

/** The approvals of these runs, oldest first. */
export function findApprovalsOfRuns(caller: Caller, runIds: readonly string[]): Promise<Approval[]> {
  return reader(caller).approval.findMany({ where: { runId: { in: [...runIds] } }, orderBy: { id: "asc" } });
}

/** The decisions that count about these approvals, oldest first. */
export function findDecisions(caller: Caller, approvalIds: readonly string[]): Promise<ApprovalDecision[]> {
  return withTenantOnce(
    caller,
    (tx) => tx.sql<ApprovalDecision>`
      SELECT d.* FROM agent.approval_decision d
      JOIN agent.approval a ON a.tenant_id = d.tenant_id AND a.id = d.approval_id AND a.round = d.round
      WHERE d.approval_id = ANY(${[...approvalIds]}::uuid[]) ORDER BY d.decided_at, d.id`,
  );
}
