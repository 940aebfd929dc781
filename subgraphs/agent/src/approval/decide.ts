import { readMemberRoles, readRolesOfMembers } from "@sba/identity/index";
import { amendToolCall } from "@sba/integrations/index";
import { recordAudit } from "@sba/platform/audit";
import { requirePermission, type Caller } from "@sba/platform/caller";
import { bigints, ints, texts, times, uuids } from "@sba/platform/columns";
import { isRequirementFailure, json, withTenant, type Tx } from "@sba/platform/db";
import { AppError } from "@sba/platform/errors";
import type { Approval, ApprovalDecision } from "@sba/platform/generated/prisma/client";
import type { NewEvent } from "@sba/platform/events";
import { openGroup } from "@sba/platform/group";
import { claimKey, claimNewKey, type IdempotentOperation } from "@sba/platform/idempotency";
import { encodeId, newId } from "@sba/platform/ids";
import { currentTraceId } from "@sba/platform/telemetry";
import { errors } from "../errors.ts";
import { beginApproved } from "../run/begin-approved.ts";
import { noticeChange, wakeRun } from "../run/wake.ts";
import { amendCall } from "../thread/message.ts";
import { findTool } from "../tool/index.ts";
import { auditOf, estimateToolCall, fingerprintOf } from "./approval.ts";
import { isOpen, lapseOf, objectionTo, statusAfter, type ApprovalDecisionKind } from "./approval.state.ts";
import { announceChange, type CountedDecision } from "./change.ts";
import { lockApproval, lockFreeApprovals, type FoundApproval, type LockedApproval } from "./lock.ts";

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
  if (!(await decideTogether(caller, input))) await decideAlone(caller, input);
  return input.approvalId;
}

function operationOf({ idempotencyKey, ...request }: DecideApprovalInput): IdempotentOperation {
  return { operation: "decideApproval", key: idempotencyKey, input: request };
}

interface Deciding {
  readonly caller: Caller;
  readonly input: DecideApprovalInput;
  readonly traceId: string | undefined;
}

/** What became of one of several decisions: why it is refused, or that it has to be made alone. */
type Verdict = "decided" | "alone" | AppError;

/**
 * Decides together with what else the tenant decides at this moment, in one transaction: each would wait for the inbox, whose events
 * are numbered, through the others' commits. False, and nothing is decided, when it has to be made alone.
 */
async function decideTogether(caller: Caller, input: DecideApprovalInput): Promise<boolean> {
  if (input.editedParams !== undefined) return false;
  const verdict = await decideAmong(caller, { caller, input, traceId: currentTraceId() }).catch((error: unknown) => {
    // The key was used before.
    if (isRequirementFailure(error)) return "alone";
    throw error;
  });
  if (verdict instanceof AppError) throw verdict;
  return verdict === "decided";
}

const decideAmong = openGroup<Deciding, Verdict>({
  keyOf: ({ input }) => input.approvalId,
  inTurns: true,
  work: async (tx, all) => {
    const approvalIds = all.map(({ input }) => input.approvalId);
    const principalIds = all.map(({ caller }) => caller.principalId);
    const [locked, roles] = await Promise.all([
      lockFreeApprovals(tx, approvalIds),
      readRolesOfMembers(tx, all[0]!.caller, principalIds),
    ]);
    // What one decision makes of a run, the next of the same run would have to read.
    const runIds = new Set<string>();
    const decideEach = (deciding: Deciding): Promise<Verdict> => {
      const { caller, input } = deciding;
      const found = locked.get(input.approvalId);
      const runId = found?.run?.id;
      if (!found || runId === undefined || runIds.has(runId)) return Promise.resolve("alone");
      runIds.add(runId);
      return decideLocked(tx, deciding, { ...found, roles: roles.get(caller.principalId) ?? [] });
    };
    return tx.finish(() => Promise.all(all.map(decideEach)));
  },
});

/** Issues every statement at once. */
async function decideLocked(
  tx: Tx,
  { caller, input, traceId }: Deciding,
  locked: LockedApproval & Standing,
): Promise<Verdict> {
  const refusal = refusalOf(caller, locked, input);
  // A repeat of what was decided is none to be refused.
  if (refusal) return input.idempotencyKey === undefined ? refusal : "alone";
  claimNewKey(tx, caller, operationOf(input), input.approvalId);
  const decided = countDecision(locked, locked.approval, giveDecision(caller, input, locked.now));
  await write(tx, caller, decided, { locked, traceId });
  return "decided";
}

/** Decides in a transaction of its own. */
async function decideAlone(caller: Caller, input: DecideApprovalInput): Promise<void> {
  const { approvalId } = input;
  const decideOnce = async (tx: Tx): Promise<void> => {
    // Sent together: one round trip.
    const [locked, roles, earlier] = await Promise.all([
      lockApproval(tx, approvalId),
      readMemberRoles(tx, caller, caller.principalId),
      claimKey(tx, caller, operationOf(input), approvalId),
    ]);
    if (!locked) throw errors.AGENT_APPROVAL_NOT_FOUND();
    if (earlier === undefined) await decide(tx, caller, { ...locked, roles }, input);
  };
  await withTenant(caller, decideOnce, { byKey: true });
}

/** What a decision is held against: the approval as it is now, and the caller's roles now. */
export interface Standing extends FoundApproval {
  readonly roles: readonly string[];
}

async function decide(
  tx: Tx,
  caller: Caller,
  locked: LockedApproval & Standing,
  input: DecideApprovalInput,
): Promise<void> {
  const refusal = refusalOf(caller, locked, input);
  if (refusal) throw refusal;
  const edited = await editParams(tx, caller, locked, input);
  const decided = countDecision(locked, edited, giveDecision(caller, input, locked.now));
  const writeIt = (): Promise<void> => write(tx, caller, decided, { locked });
  // For a run nothing waits for an answer: all of it travels with the commit.
  await (locked.approval.runId === null ? writeIt() : tx.finish(writeIt));
}

function giveDecision({ principalId }: Caller, input: DecideApprovalInput, decidedAt: Date): GivenDecision {
  const { decision, reason = null } = input;
  return { id: newId(), decision, decidedBy: principalId, decidedAt, reason };
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

interface Writing {
  readonly locked: LockedApproval;
  /** Of the work that decides, when another's commit does so. */
  readonly traceId?: string | undefined;
}

/** Every statement is issued at once. */
async function write(tx: Tx, caller: Caller, decided: Decided, { locked, ...trace }: Writing): Promise<void> {
  const { before, approval, decision, decisions, isEdited } = decided;
  const change = isOpen(approval.status) ? (isEdited ? "EDITED" : "VOTED") : "DECIDED";
  const following = resumeRun(tx, approval, locked, isEdited);
  tx.gather(writeDecisions, [decided]);
  await Promise.all([
    recordAudit(tx, caller, {
      action: "agent.approval.decided",
      ...auditOf(approval, { decision: decision.decision, previousFingerprint: before.fingerprint }),
    }),
    announceChange(tx, caller, { change, approval, decisions }, { following, ...trace }),
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

/** Why it is not decided, in the order of what `decideApproval` throws: whether it can be decided, by whom, and about what. */
function refusalOf(
  caller: Caller,
  standing: Standing,
  { fingerprint, expectedVersion }: DecideApprovalInput,
): AppError | undefined {
  const refusal = refusalFor(caller, standing);
  if (refusal) return refusal;
  const { approval, decisions } = standing;
  const isSame = approval.version === expectedVersion && approval.fingerprint === fingerprint;
  return isSame ? undefined : errors.AGENT_APPROVAL_CHANGED({ details: stateOf(approval, decisions) });
}

/** Why the caller may not decide it now, or undefined when they may. */
export function refusalFor(caller: Caller, { approval, decisions, run, roles, now }: Standing): AppError | undefined {
  const hasLapsed = lapseOf(approval, now) === "expire";
  const details = stateOf(approval, decisions, hasLapsed);
  if (!isOpen(approval.status) || hasLapsed) return errors.AGENT_APPROVAL_ALREADY_DECIDED({ details });
  const { principalId, principalKind } = caller;
  const rules = { ...approval, toldBy: run?.toldBy ?? [] };
  const objection = objectionTo(rules, { principalId, principalKind, roles });
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

/** Approvals as they are now, and the decisions that made them so. */
function writeDecisions(tx: Tx, all: readonly Decided[]): Promise<unknown> {
  const ids = uuids(all, ({ approval }) => approval.id);
  const rounds = ints(all, ({ approval }) => approval.round);
  const fingerprints = texts(all, ({ approval }) => approval.fingerprint);
  return tx.sql`
    WITH decided AS (
      UPDATE agent.approval SET status = given.status, version = given.version, round = given.round, params = given.params::jsonb,
             fingerprint = given.fingerprint, cost_estimate_micros = given.cost_estimate_micros, currency = given.currency
      FROM (
        SELECT (${ids}::uuid[])[i] AS id, (${texts(all, ({ approval }) => approval.status)}::text[])[i] AS status,
               (${ints(all, ({ approval }) => approval.version)}::int[])[i] AS version, (${rounds}::int[])[i] AS round,
               (${texts(all, ({ approval }) => json(approval.params))}::text[])[i] AS params, (${fingerprints}::text[])[i] AS fingerprint,
               (${bigints(all, ({ approval }) => approval.costEstimateMicros)}::bigint[])[i] AS cost_estimate_micros,
               (${texts(all, ({ approval }) => approval.currency)}::text[])[i] AS currency
        FROM generate_series(1, ${all.length}::int) AS i) AS given
      WHERE approval.tenant_id = ${tx.tenantId} AND approval.id = ANY(${ids}::uuid[]) AND approval.id = given.id)
    INSERT INTO agent.approval_decision (tenant_id, id, approval_id, round, decision, fingerprint, decided_by, decided_at, reason)
    SELECT ${tx.tenantId}, (${uuids(all, ({ decision }) => decision.id)}::uuid[])[i], (${ids}::uuid[])[i], (${rounds}::int[])[i],
           (${texts(all, ({ decision }) => decision.decision)}::text[])[i], (${fingerprints}::text[])[i],
           (${uuids(all, ({ decision }) => decision.decidedBy)}::uuid[])[i], (${times(all, ({ decision }) => decision.decidedAt)}::timestamptz[])[i],
           (${texts(all, ({ decision }) => decision.reason)}::text[])[i]
    FROM generate_series(1, ${all.length}::int) AS i`;
}
