import { recordAudit } from "@sba/platform/audit";
import { requirePermission, type Caller } from "@sba/platform/caller";
import { json, withTenant, type Tx } from "@sba/platform/db";
import { appendEvents } from "@sba/platform/events";
import type { Approval, ApprovalDecision } from "@sba/platform/generated/prisma/client";
import { hashInput, once } from "@sba/platform/idempotency";
import { encodeId, newId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { reader } from "@sba/platform/reader";
import { amendToolCall, type Tool } from "@sba/integrations/index";
import type { Money } from "@sba/billing/index";
import { errors } from "../errors.ts";
import {
  approvalChanged,
  approvalDecided,
  approvalRequested,
  approvalStream,
  runStream,
  type ApprovalSnapshot,
} from "../events.ts";
import { wakeRun } from "../run/wake.ts";
import { findTool } from "../tool/index.ts";
import { canDecide, type ApprovalDecisionKind, type ApprovalStatus } from "./approval.state.ts";

/** What a person is asked: may this action run with these params? The fingerprint is of exactly what would run. */

export interface RequestApprovalInput {
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
}

type Fingerprinted = Pick<Approval, "action" | "params" | "definitionHash" | "costEstimateMicros" | "currency"> & {
  readonly target: string | null;
};

function fingerprintOf({
  action,
  params,
  definitionHash,
  costEstimateMicros,
  currency,
  target,
}: Fingerprinted): string {
  return hashInput({ action, params, definitionHash, costEstimateMicros, currency, target });
}

function targetOf(approval: Pick<Approval, "toolCallId" | "subject">): string | null {
  return approval.toolCallId ?? approval.subject;
}

/** Asks for a decision and returns the approval's UUID. */
export async function requestApproval(tx: Tx, caller: Caller, input: RequestApprovalInput): Promise<string> {
  const id = newId();
  const { amountMicros, currency } = input.costEstimate;
  const fingerprint = fingerprintOf({
    action: input.action,
    params: input.params as Approval["params"],
    definitionHash: input.definitionHash,
    costEstimateMicros: amountMicros,
    currency,
    target: input.toolCallId ?? input.subject ?? null,
  });
  const [approval] = await tx.sql<Approval>`
    INSERT INTO agent.approval (tenant_id, id, run_id, tool_call_id, subject, status, action, params, editable_params,
                                definition_hash, fingerprint, scope, requires, cost_estimate_micros, currency, requested_by)
    VALUES (${caller.tenantId}, ${id}, ${input.runId ?? null}, ${input.toolCallId ?? null}, ${input.subject ?? null}, 'PENDING',
            ${input.action}, ${json(input.params)}::jsonb, ${[...(input.editableParams ?? [])]}::text[], ${input.definitionHash},
            ${fingerprint}, ${[...input.scope]}::text[], ${[...input.requires]}::text[], ${amountMicros}, ${currency}, ${caller.principalId})
    RETURNING *`;
  await announce(tx, caller, approval!, "REQUESTED");
  return id;
}

export interface ToolApprovalInput {
  readonly tool: Tool;
  readonly call: { readonly id: string; readonly params: unknown };
  readonly runId: string;
  readonly costEstimate: Money;
}

/** Asks for a decision about one tool call of a run. Any of the call's params may be edited by who decides. */
export function requestToolApproval(
  tx: Tx,
  caller: Caller,
  { tool, call, runId, costEstimate }: ToolApprovalInput,
): Promise<string> {
  return requestApproval(tx, caller, {
    runId,
    toolCallId: call.id,
    action: tool.name,
    params: call.params,
    editableParams: Object.keys(call.params ?? {}),
    definitionHash: tool.definitionHash,
    scope: [encodeId("Run", runId)],
    requires: tool.requires,
    costEstimate,
  });
}

export interface DecideApprovalInput {
  readonly approvalId: string;
  readonly decision: ApprovalDecisionKind;
  /** What the person saw: a decision about anything else is refused. */
  readonly fingerprint: string;
  readonly expectedVersion: number;
  readonly reason?: string | undefined;
  /** Replaces the named params before the approval takes effect; only with APPROVED. */
  readonly editedParams?: Readonly<Record<string, unknown>> | undefined;
  readonly idempotencyKey?: string | undefined;
}

/**
 * Decides an approval once, and wakes what waits for it. Actor and time are the caller's and the server's.
 * @throws AGENT_APPROVAL_NOT_FOUND, AGENT_APPROVAL_ALREADY_DECIDED, AGENT_APPROVAL_CHANGED, AGENT_APPROVAL_PARAMS_INVALID,
 * PERMISSION_MISSING
 */
export async function decideApproval(caller: Caller, input: DecideApprovalInput): Promise<string> {
  requirePermission(caller, "approval:decide");
  const { idempotencyKey, ...request } = input;
  return withTenant(caller, async (tx) => {
    const approval = await lockApproval(tx, input.approvalId);
    const operation = { operation: "decideApproval", key: idempotencyKey, input: request };
    return once(tx, caller, operation, approval.id, () => decide(tx, caller, approval, input));
  });
}

/** Locks the run first, as the loop does, so that the two never wait for each other. */
async function lockApproval(tx: Tx, id: string): Promise<Approval> {
  const [found] = await tx.sql<Pick<Approval, "runId">>`SELECT run_id FROM agent.approval WHERE id = ${id}`;
  if (!found) throw errors.AGENT_APPROVAL_NOT_FOUND();
  if (found.runId !== null) await tx.sql`SELECT 1 FROM agent.run WHERE id = ${found.runId} FOR UPDATE`;
  const [approval] = await tx.sql<Approval>`SELECT * FROM agent.approval WHERE id = ${id} FOR UPDATE`;
  return approval!;
}

async function decide(tx: Tx, caller: Caller, approval: Approval, input: DecideApprovalInput): Promise<void> {
  const current = { status: approval.status, version: approval.version };
  if (!canDecide(approval.status)) throw errors.AGENT_APPROVAL_ALREADY_DECIDED({ details: current });
  if (approval.version !== input.expectedVersion || approval.fingerprint !== input.fingerprint) {
    throw errors.AGENT_APPROVAL_CHANGED({ details: current });
  }
  const params = await editParams(tx, caller, approval, input);
  const fingerprint = fingerprintOf({ ...approval, params, target: targetOf(approval) });
  const [decided] = await tx.sql<Approval>`
    UPDATE agent.approval SET status = ${input.decision}, version = version + 1, params = ${json(params)}::jsonb,
           fingerprint = ${fingerprint} WHERE id = ${approval.id} RETURNING *`;
  await tx.sql`
    INSERT INTO agent.approval_decision (tenant_id, id, approval_id, decision, decided_by, reason)
    VALUES (${caller.tenantId}, ${newId()}, ${approval.id}, ${input.decision}, ${caller.principalId}, ${input.reason ?? null})`;
  await recordAudit(tx, caller, {
    action: "agent.approval.decided",
    target: encodeId("Approval", approval.id),
    details: { decision: input.decision, fingerprint, previousFingerprint: approval.fingerprint },
  });
  await announce(tx, caller, decided!, "DECIDED", input.reason);
  if (approval.runId !== null) {
    wakeRun(tx, approval.runId);
  }
}

async function editParams(
  tx: Tx,
  caller: Caller,
  approval: Approval,
  { editedParams, decision }: DecideApprovalInput,
): Promise<Approval["params"]> {
  if (editedParams === undefined) return approval.params;
  if (decision !== "APPROVED") {
    throw errors.AGENT_APPROVAL_PARAMS_INVALID({ message: "Only what is approved can be edited." });
  }
  const fixed = Object.keys(editedParams).filter((name) => !approval.editableParams.includes(name));
  if (fixed.length > 0) throw errors.AGENT_APPROVAL_PARAMS_INVALID({ details: { notEditable: fixed } });
  const edited = { ...(approval.params as object), ...editedParams };
  const tool = findTool(approval.action);
  if (!tool || approval.toolCallId === null)
    throw errors.AGENT_APPROVAL_PARAMS_INVALID({ details: { notEditable: Object.keys(editedParams) } });
  const parsed = tool.params.safeParse(edited);
  if (!parsed.success) {
    const issues = parsed.error.issues.map((issue) => ({ path: issue.path.join("."), message: issue.message }));
    throw errors.AGENT_APPROVAL_PARAMS_INVALID({ details: { issues } });
  }
  const call = await amendToolCall(tx, caller, { id: approval.toolCallId, tool, params: edited });
  return call.params as Approval["params"];
}

/** Cancels what a run still waits for; called when the run is cancelled or ends. */
export async function cancelApprovalsOfRun(tx: Tx, caller: Caller, runId: string): Promise<void> {
  const cancelled = await tx.sql<Approval>`
    UPDATE agent.approval SET status = 'CANCELLED', version = version + 1 WHERE run_id = ${runId} AND status = 'PENDING' RETURNING *`;
  for (const approval of cancelled) await announce(tx, caller, approval, "CANCELLED");
}

/** Cancels what a subject of a higher domain still waits for. */
export async function cancelApprovalsOfSubject(tx: Tx, caller: Caller, subject: string): Promise<void> {
  const cancelled = await tx.sql<Approval>`
    UPDATE agent.approval SET status = 'CANCELLED', version = version + 1 WHERE subject = ${subject} AND status = 'PENDING' RETURNING *`;
  for (const approval of cancelled) await announce(tx, caller, approval, "CANCELLED");
}

/** Tells the inbox, and the run's own stream. Streams are locked in the order of their names: approvals before run. */
async function announce(
  tx: Tx,
  caller: Caller,
  approval: Approval,
  change: "REQUESTED" | "DECIDED" | "CANCELLED",
  reason?: string,
): Promise<void> {
  const snapshot = approvalSnapshot(approval);
  const decision = { decidedBy: change === "DECIDED" ? caller.principalId : null, reason: reason ?? null };
  await appendEvents(tx, caller, approvalStream(caller.tenantId), [
    approvalChanged({ change, approval: snapshot, subject: approval.subject, ...decision }),
  ]);
  if (approval.runId === null || change === "CANCELLED") return;
  await appendEvents(tx, caller, runStream(approval.runId), [
    change === "REQUESTED"
      ? approvalRequested({ approval: snapshot })
      : approvalDecided({ approval: snapshot, ...decision }),
  ]);
}

function approvalSnapshot(approval: Approval): ApprovalSnapshot {
  const { id, runId, status, action, params, editableParams, fingerprint, version, scope, requires } = approval;
  return {
    ...{ id, runId, status, action, params, editableParams, fingerprint, version, scope, requires },
    costEstimate: { amountMicros: String(approval.costEstimateMicros), currency: approval.currency },
    expiresAt: approval.expiresAt?.toISOString() ?? null,
    createdAt: approval.createdAt.toISOString(),
  };
}

/** Whether what was approved is still what would run. */
export function isAsApproved(approval: Approval, tool: Tool, params: unknown): boolean {
  const now = {
    ...approval,
    action: tool.name,
    params: params as Approval["params"],
    definitionHash: tool.definitionHash,
  };
  return fingerprintOf({ ...now, target: targetOf(approval) }) === approval.fingerprint;
}

/** The approvals of these tool calls, in the transaction of the run's step. */
export function approvalsOfCalls(tx: Tx, callIds: readonly string[]): Promise<Approval[]> {
  if (callIds.length === 0) return Promise.resolve([]);
  return tx.sql<Approval>`SELECT * FROM agent.approval WHERE tool_call_id = ANY(${[...callIds]}::uuid[]) AND status <> 'SUPERSEDED'`;
}

export interface ApprovalFilter {
  readonly status?: readonly ApprovalStatus[] | undefined;
  readonly runId?: string | undefined;
}

/** The tenant's approvals, newest first. */
export async function listApprovals(
  caller: Caller,
  page: PageRequest,
  filter: ApprovalFilter = {},
): Promise<Page<Approval>> {
  const before = decodeIdCursor(page.after);
  const rows = await reader(caller).approval.findMany({
    where: {
      ...(before === undefined ? {} : { id: { lt: before } }),
      ...(filter.status === undefined ? {} : { status: { in: [...filter.status] } }),
      ...(filter.runId === undefined ? {} : { runId: filter.runId }),
    },
    orderBy: { id: "desc" },
    take: page.first + 1,
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

/** The decisions about these approvals, oldest first. */
export function findDecisions(caller: Caller, approvalIds: readonly string[]): Promise<ApprovalDecision[]> {
  return reader(caller).approvalDecision.findMany({
    where: { approvalId: { in: [...approvalIds] } },
    orderBy: { id: "asc" },
  });
}
