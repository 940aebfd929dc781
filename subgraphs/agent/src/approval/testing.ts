import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { aCaller } from "@sba/testkit/fixtures";
import type pg from "pg";
import { createBuiltInAgents } from "../agent/agent.ts";
import { startRun } from "../run/run.ts";
import { driveRun } from "../testing.ts";
import { estimateToolCall, findApprovals, findApprovalsOfRuns, requestApproval, type Approval } from "./approval.ts";
import { decideApproval, type DecideApprovalInput } from "./decide.ts";
import type { PinnedRules } from "./policy.ts";

/** For tests of approvals. */

export const TASK = "Create a task to renew the lease of the office";

export interface WaitingRun {
  readonly runId: string;
  readonly approval: Approval;
}

const withAgents = new Set<string>();

/** A run of the assistant that was driven until it waits for a person. */
export async function aRunThatAsks(caller: Caller, prompt = TASK): Promise<WaitingRun> {
  // Of a tenant that has asked before they are there.
  if (!withAgents.has(caller.tenantId)) await createBuiltInAgents(caller);
  withAgents.add(caller.tenantId);
  const runId = await startRun(caller, { agentKey: "assistant", prompt });
  const run = await driveRun(caller, runId);
  if (run.status !== "AWAITING_APPROVAL") throw new Error(`the run is ${run.status}`);
  const [approval] = await findApprovalsOfRuns(caller, [runId]);
  return { runId, approval: approval! };
}

/** An approval that no run waits for, as a higher domain asks for one. */
export async function anApproval(caller: Caller = aCaller(), rules?: Partial<PinnedRules>): Promise<Approval> {
  const id = await withTenant(caller, (tx) =>
    requestApproval(tx, caller, {
      subject: `workflowRun:${newId()}:consent`,
      action: "Send the offer",
      params: { offer: "12 fans" },
      definitionHash: "as published",
      ...{ scope: [], requires: [], costEstimate: estimateToolCall() },
      rules: rules && { ...NO_POLICY, ...rules },
    }),
  );
  return reread(caller, id);
}

const NO_POLICY: PinnedRules = {
  ...{ policyId: null, policyVersion: null, quorum: 1, approverRoles: [], approverIds: [] },
  ...{ allowRequester: false, expiresAfterSeconds: null },
};

export async function reread(caller: Caller, id: string): Promise<Approval> {
  const [approval] = await findApprovals(caller, [id]);
  return approval!;
}

/** Decides what `approval` says. */
export function decide(
  caller: Caller,
  { id, fingerprint, version }: Pick<Approval, "id" | "fingerprint" | "version">,
  decision: DecideApprovalInput["decision"],
  more: Partial<DecideApprovalInput> = {},
): Promise<string> {
  return decideApproval(caller, { approvalId: id, fingerprint, expectedVersion: version, decision, ...more });
}

/** What the audit log says about an approval, oldest first, as the tables' owner reads it. */
export async function auditOfApproval(owner: pg.Client, publicId: string) {
  const { rows } = await owner.query<{ action: string; principal_id: string; details: Record<string, unknown> }>(
    "SELECT action, principal_id, details FROM platform.audit_entry WHERE target = $1 ORDER BY id",
    [publicId],
  );
  return rows;
}

/** The changes of an approval that the inbox was told, oldest first. */
export async function changesOf(owner: pg.Client, approval: Pick<Approval, "id" | "tenantId">): Promise<string[]> {
  const { rows } = await owner.query<{ change: string }>(
    `SELECT payload->>'change' AS change FROM platform.event
     WHERE stream = $1 AND payload->'approval'->>'id' = $2 ORDER BY seq`,
    [`approvals:${approval.tenantId}`, approval.id],
  );
  return rows.map(({ change }) => change);
}

/** Moves the deadline of an approval that waits into the past. */
export async function letTimePass(owner: pg.Client, { id }: Pick<Approval, "id">): Promise<void> {
  await owner.query("UPDATE agent.approval SET expires_at = clock_timestamp() - interval '1 second' WHERE id = $1", [
    id,
  ]);
}
