import { findGrants, findRole, type Grants } from "@sba/identity/index";
import type { Tool } from "@sba/integrations/index";
import { recordAudit } from "@sba/platform/audit";
import { requirePermission, type Caller } from "@sba/platform/caller";
import { withTenant, withTenantOnce, type Tx } from "@sba/platform/db";
import type { ApprovalPolicyVersion } from "@sba/platform/generated/prisma/client";
import { hashInput } from "@sba/platform/idempotency";
import { encodeId, newId } from "@sba/platform/ids";
import { errors } from "../errors.ts";
import { findTool } from "../tool/index.ts";

/**
 * What a tenant wants before a tool is called: data, of every agent or of one, in versions that are kept. A tool that always
 * needs approval needs it whatever a policy says; a policy can make others need it, always or from a cost on.
 */
export interface ApprovalPolicy extends ApprovalPolicyVersion {
  readonly tool: string;
  /** Empty for every agent. */
  readonly agentKey: string;
}

/** What an approval is asked under; `policyId` and `policyVersion` are null where the tenant has no policy. */
export interface PinnedRules {
  readonly policyId: string | null;
  readonly policyVersion: number | null;
  readonly quorum: number;
  readonly approverRoles: readonly string[];
  readonly approverIds: readonly string[];
  readonly allowRequester: boolean;
  readonly expiresAfterSeconds: number | null;
}

/** Without a policy: one person who holds approval:decide and is not the one who asked, whenever they come to it. */
export const DEFAULT_RULES: PinnedRules = {
  policyId: null,
  policyVersion: null,
  quorum: 1,
  approverRoles: [],
  approverIds: [],
  allowRequester: false,
  expiresAfterSeconds: null,
};

const EVERY_AGENT = "";

/** The policies in force for calls of this agent, or of workflows when there is none. One statement. */
export function readPolicies(tx: Tx, agentKey: string | null): Promise<ApprovalPolicy[]> {
  return tx.sql<ApprovalPolicy>`
    SELECT v.*, p.tool, p.agent_key FROM agent.approval_policy p
    JOIN agent.approval_policy_version v ON v.tenant_id = p.tenant_id AND v.policy_id = p.id AND v.version = p.version
    WHERE p.agent_key = ANY(${[EVERY_AGENT, agentKey ?? EVERY_AGENT]}::text[]) AND p.removed_at IS NULL`;
}

/** The policies in force for calls of these runs' agents; what of it is for one of them, `policiesFor` tells. */
export function readPoliciesOfRuns(tx: Tx, runIds: readonly string[]): Promise<ApprovalPolicy[]> {
  return tx.sql<ApprovalPolicy>`
    SELECT v.*, p.tool, p.agent_key FROM agent.approval_policy p
    JOIN agent.approval_policy_version v ON v.tenant_id = p.tenant_id AND v.policy_id = p.id AND v.version = p.version
    WHERE p.removed_at IS NULL AND (p.agent_key = ${EVERY_AGENT}
      OR p.agent_key = ANY(ARRAY(SELECT agent_key FROM agent.run WHERE tenant_id = ${tx.tenantId} AND id = ANY(${runIds}::uuid[]))))`;
}

/** Those that hold for calls of this agent. */
export function policiesFor(policies: readonly ApprovalPolicy[], agentKey: string): ApprovalPolicy[] {
  return policies.filter((policy) => policy.agentKey === EVERY_AGENT || policy.agentKey === agentKey);
}

/**
 * The rules by which a person must agree to a call, or undefined when nobody has to. `policies` as `readPolicies` gave them;
 * an agent's own policy stands before that of every agent.
 */
export function rulesFor(
  tool: Pick<Tool, "name" | "approval">,
  policies: readonly ApprovalPolicy[],
  costMicros: bigint,
): PinnedRules | undefined {
  const ofTool = policies.filter((each) => each.tool === tool.name);
  const policy = ofTool.find(({ agentKey }) => agentKey !== EVERY_AGENT) ?? ofTool[0];
  if (tool.approval !== "ALWAYS" && !demands(policy, costMicros)) return undefined;
  return policy ? pin(policy) : DEFAULT_RULES;
}

function demands(policy: ApprovalPolicy | undefined, costMicros: bigint): boolean {
  return policy !== undefined && (policy.thresholdMicros === null || costMicros > policy.thresholdMicros);
}

function pin(policy: ApprovalPolicy): PinnedRules {
  const { policyId, version, quorum, approverRoles, approverIds, allowRequester, expiresAfterSeconds } = policy;
  return { policyId, policyVersion: version, quorum, approverRoles, approverIds, allowRequester, expiresAfterSeconds };
}

export interface SetApprovalPolicyInput {
  readonly tool: string;
  /** Of every agent when absent. */
  readonly agentKey?: string | undefined;
  /** 1 to 100. */
  readonly quorum: number;
  /** Keys of roles. Whoever holds approval:decide when neither roles nor ids are given. */
  readonly approverRoles?: readonly string[] | undefined;
  /** UUIDs of principals. */
  readonly approverIds?: readonly string[] | undefined;
  readonly allowRequester: boolean;
  /** Nobody is waited for longer than twice this: more people are asked once, then the approval expires. */
  readonly expiresAfterSeconds?: number | undefined;
  /** A call that costs more needs approval, one that does not needs none; every call when absent. */
  readonly thresholdMicros?: bigint | undefined;
}

/** What one tenant's steps read each time. */
const MAX_POLICIES = 100;

/**
 * Sets the policy of a tool, as a new version; approvals that were asked for before keep theirs. Setting what is in force
 * already makes no version.
 * @throws PERMISSION_MISSING, AGENT_APPROVAL_POLICY_INVALID, AGENT_AGENT_NOT_FOUND
 */
export async function setApprovalPolicy(caller: Caller, input: SetApprovalPolicyInput): Promise<ApprovalPolicy> {
  requirePermission(caller, "approval:manage");
  requireReachable(input);
  await requireApprovers(caller, input.approverIds ?? []);
  return withTenant(caller, async (tx) => {
    await requireAgent(tx, input.agentKey);
    const before = await lockPolicy(tx, caller, input);
    const next = draftVersion(caller, before, input);
    const current = await findCurrent(tx, before.id);
    if (current && hashInput(rulesOf(current)) === hashInput(rulesOf(next))) return current;
    await writeVersion(tx, next);
    await recordAudit(tx, caller, {
      action: "agent.approvalPolicy.set",
      target: targetOf(next),
      details: { version: next.version, ...rulesOf(next) },
    });
    return next;
  });
}

export interface RemoveApprovalPolicyInput {
  readonly tool: string;
  /** The policy of this agent, or that of every agent when absent. */
  readonly agentKey?: string | undefined;
}

/**
 * Takes a policy out of force. Approvals that were asked for under it keep its rules, and its versions can be read for ever; a tool
 * that always needs approval goes on needing it, by the rules that hold without a policy. Idempotent: returns false when there was none.
 * @throws PERMISSION_MISSING
 */
export async function removeApprovalPolicy(caller: Caller, input: RemoveApprovalPolicyInput): Promise<boolean> {
  requirePermission(caller, "approval:manage");
  const { tool, agentKey = EVERY_AGENT } = input;
  return withTenant(caller, async (tx) => {
    const [removed] = await tx.sql<Pick<ApprovalPolicy, "version">>`
      UPDATE agent.approval_policy SET removed_at = clock_timestamp()
      WHERE tool = ${tool} AND agent_key = ${agentKey} AND removed_at IS NULL RETURNING version`;
    if (!removed) return false;
    await recordAudit(tx, caller, {
      action: "agent.approvalPolicy.removed",
      target: targetOf({ tool, agentKey }),
      details: { version: removed.version },
    });
    return true;
  });
}

/** What the audit log calls a policy. */
function targetOf({ tool, agentKey }: Pick<ApprovalPolicy, "tool" | "agentKey">): string {
  return agentKey === EVERY_AGENT ? tool : `${tool}/${agentKey}`;
}

function invalid(message: string, details: Readonly<Record<string, unknown>> = {}) {
  return errors.AGENT_APPROVAL_POLICY_INVALID({ message, details });
}

/** What can never be decided is refused when it is written, not when somebody waits for it. */
function requireReachable({ tool, quorum, approverRoles, approverIds }: SetApprovalPolicyInput): void {
  if (!findTool(tool)) throw invalid("There is no such tool.", { tool });
  const unable = (approverRoles ?? []).filter((key) => !canRoleDecide(key));
  if (unable.length > 0) throw invalid("These roles do not exist or may not decide.", { approverRoles: unable });
  if (approverRoles === undefined && approverIds === undefined) return;
  const named = new Set(approverIds).size;
  if ((approverRoles ?? []).length === 0 && quorum > named)
    throw invalid("More approvals are asked for than there are approvers.", { quorum, approvers: named });
}

function canRoleDecide(key: string): boolean {
  return findRole(key)?.permissions.includes("approval:decide") ?? false;
}

async function requireApprovers(caller: Caller, ids: readonly string[]): Promise<void> {
  const found = await Promise.all([...new Set(ids)].map(async (id) => ({ id, grants: await findGrants(caller, id) })));
  const unable = found.filter(({ grants }) => !canDecide(grants)).map(({ id }) => encodeId("Principal", id));
  if (unable.length > 0) throw invalid("These principals do not exist or may not decide.", { approverIds: unable });
}

function canDecide(grants: Grants | undefined): boolean {
  return grants?.permissions.has("approval:decide") ?? false;
}

async function requireAgent(tx: Tx, agentKey: string | undefined): Promise<void> {
  if (agentKey === undefined) return;
  const [agent] = await tx.sql`SELECT id FROM agent.agent WHERE key = ${agentKey}`;
  if (!agent) throw errors.AGENT_AGENT_NOT_FOUND({ details: { agentKey } });
}

interface PolicyHead {
  readonly id: string;
  /** 0 until its first version is written. */
  readonly version: number;
}

/** The policy's row, made when it is not there yet; whoever else sets it waits. */
async function lockPolicy(tx: Tx, caller: Caller, { tool, agentKey }: SetApprovalPolicyInput): Promise<PolicyHead> {
  const [[head], [count]] = await Promise.all([
    tx.sql<PolicyHead>`
      INSERT INTO agent.approval_policy AS p (tenant_id, id, tool, agent_key, version)
      VALUES (${caller.tenantId}, ${newId()}, ${tool}, ${agentKey ?? EVERY_AGENT}, 0)
      ON CONFLICT (tenant_id, tool, agent_key) DO UPDATE SET version = p.version RETURNING id, version`,
    tx.sql<{ policies: number }>`SELECT count(*)::int AS policies FROM agent.approval_policy WHERE removed_at IS NULL`,
  ]);
  if (count!.policies > MAX_POLICIES) throw invalid(`A tenant has at most ${MAX_POLICIES} policies.`);
  return head!;
}

function draftVersion(caller: Caller, before: PolicyHead, input: SetApprovalPolicyInput): ApprovalPolicy {
  return {
    tenantId: caller.tenantId,
    policyId: before.id,
    version: before.version + 1,
    tool: input.tool,
    agentKey: input.agentKey ?? EVERY_AGENT,
    quorum: input.quorum,
    approverRoles: [...new Set(input.approverRoles)].toSorted(),
    approverIds: [...new Set(input.approverIds)].toSorted(),
    allowRequester: input.allowRequester,
    expiresAfterSeconds: input.expiresAfterSeconds ?? null,
    thresholdMicros: input.thresholdMicros ?? null,
    setBy: caller.principalId,
    setAt: new Date(),
  };
}

async function findCurrent(tx: Tx, policyId: string): Promise<ApprovalPolicy | undefined> {
  const [current] = await tx.sql<ApprovalPolicy>`
    SELECT v.*, p.tool, p.agent_key FROM agent.approval_policy p
    JOIN agent.approval_policy_version v ON v.tenant_id = p.tenant_id AND v.policy_id = p.id AND v.version = p.version
    WHERE p.id = ${policyId} AND p.removed_at IS NULL`;
  return current;
}

async function writeVersion(tx: Tx, next: ApprovalPolicy): Promise<void> {
  await Promise.all([
    tx.sql`
      INSERT INTO agent.approval_policy_version (tenant_id, policy_id, version, quorum, approver_roles, approver_ids,
                                                 allow_requester, expires_after_seconds, threshold_micros, set_by, set_at)
      VALUES (${next.tenantId}, ${next.policyId}, ${next.version}, ${next.quorum}, ${next.approverRoles}::text[],
              ${next.approverIds}::uuid[], ${next.allowRequester}, ${next.expiresAfterSeconds}, ${next.thresholdMicros},
              ${next.setBy}, ${next.setAt})`,
    tx.sql`UPDATE agent.approval_policy SET version = ${next.version}, removed_at = NULL WHERE id = ${next.policyId}`,
  ]);
}

/** What a version says, as people read it. */
function rulesOf(policy: ApprovalPolicy): Readonly<Record<string, unknown>> {
  const { quorum, approverRoles, approverIds, allowRequester, expiresAfterSeconds, thresholdMicros } = policy;
  const approvers = { approverRoles, approverIds: approverIds.map((id) => encodeId("Principal", id)) };
  const threshold = { thresholdMicros: thresholdMicros === null ? null : String(thresholdMicros) };
  return { quorum, ...approvers, allowRequester, expiresAfterSeconds, ...threshold };
}

/** The policies in force, by tool; that of every agent first. */
export function listApprovalPolicies(caller: Caller): Promise<ApprovalPolicy[]> {
  return withTenantOnce(
    caller,
    (tx) => tx.sql<ApprovalPolicy>`
      SELECT v.*, p.tool, p.agent_key FROM agent.approval_policy p
      JOIN agent.approval_policy_version v ON v.tenant_id = p.tenant_id AND v.policy_id = p.id AND v.version = p.version
      WHERE p.removed_at IS NULL ORDER BY p.tool, p.agent_key`,
  );
}
