import { createApiKey, findGrants, setMemberRoles, setMemberStatus } from "@sba/identity/index";
import { givenMember, givenTenant, type GivenTenant } from "@sba/identity/testing";
import { getToolCall } from "@sba/integrations/index";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { encodeId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { describe, expect, it } from "vitest";
import { driveRun, journalOf } from "../testing.ts";
import { findDecisions } from "./approval.ts";
import { setApprovalPolicy, type SetApprovalPolicyInput } from "./policy.ts";
import { anApproval, aRunThatAsks, auditOfApproval, changesOf, decide, reread } from "./testing.ts";

const database = useDatabase();

async function aTenantWith(policy: Partial<SetApprovalPolicyInput>): Promise<GivenTenant> {
  const tenant = await givenTenant();
  await setApprovalPolicy(tenant.owner, { tool: "task.create", quorum: 1, allowRequester: false, ...policy });
  return tenant;
}

const audit = (id: string) => auditOfApproval(database().owner, encodeId("Approval", id));

describe("a decision", () => {
  it("is audited with who decided, what, and under which policy", async () => {
    const tenant = await aTenantWith({ approverRoles: ["admin"] });
    const { caller: admin } = await givenMember("admin", tenant);
    const { approval } = await aRunThatAsks(tenant.owner);
    await decide(admin, approval, "APPROVED", { reason: "needed" });
    expect(await audit(approval.id)).toMatchObject([
      {
        action: "agent.approval.decided",
        principal_id: admin.principalId,
        details: {
          ...{ decision: "APPROVED", status: "APPROVED", policyId: approval.policyId, policyVersion: 1 },
          ...{ fingerprint: approval.fingerprint, previousFingerprint: approval.fingerprint },
        },
      },
    ]);
    expect(await findDecisions(admin, [approval.id])).toMatchObject([
      { decision: "APPROVED", decidedBy: admin.principalId, reason: "needed", fingerprint: approval.fingerprint },
    ]);
  });

  it("takes approval:decide, of the same tenant", async () => {
    const approval = await anApproval();
    const viewer = aCaller({ tenantId: approval.tenantId, permissions: ["approval:read"] });
    await expect(decide(viewer, approval, "APPROVED")).rejects.toMatchObject({ code: "PERMISSION_MISSING" });
    await expect(decide(aCaller(), approval, "APPROVED")).rejects.toMatchObject({ code: "AGENT_APPROVAL_NOT_FOUND" });
  });

  it("is refused to who asked, unless the policy allows it", async () => {
    const tenant = await aTenantWith({});
    const { approval } = await aRunThatAsks(tenant.owner);
    await expect(decide(tenant.owner, approval, "APPROVED")).rejects.toMatchObject({
      code: "AGENT_APPROVAL_BY_REQUESTER",
      kind: "permission_denied",
    });
    // Not even to deny: then it is the run that is to be cancelled.
    await expect(decide(tenant.owner, approval, "DENIED")).rejects.toMatchObject({ kind: "permission_denied" });
    await setApprovalPolicy(tenant.owner, { tool: "task.create", quorum: 1, allowRequester: true });
    const { approval: allowed } = await aRunThatAsks(tenant.owner);
    await decide(tenant.owner, allowed, "APPROVED");
    expect(await reread(tenant.owner, allowed.id)).toMatchObject({ status: "APPROVED" });
  });

  it("is refused to whoever is no approver, by the roles they have now", async () => {
    const tenant = await aTenantWith({ approverRoles: ["admin"] });
    const { approval } = await aRunThatAsks(tenant.owner);
    const { caller: operator } = await givenMember("operator", tenant);
    await expect(decide(operator, approval, "APPROVED")).rejects.toMatchObject({
      code: "AGENT_APPROVAL_NOT_APPROVER",
      kind: "permission_denied",
    });
    // What was an admin's a moment ago is of no use.
    const { caller: admin } = await givenMember("admin", tenant);
    await setMemberRoles(tenant.owner, { userId: admin.principalId, roles: ["operator"] });
    await expect(decide(admin, approval, "APPROVED")).rejects.toMatchObject({ code: "AGENT_APPROVAL_NOT_APPROVER" });
    await setMemberRoles(tenant.owner, { userId: operator.principalId, roles: ["admin"] });
    await setMemberStatus(tenant.owner, operator.principalId, "SUSPENDED");
    await expect(decide(operator, approval, "APPROVED")).rejects.toMatchObject({ code: "AGENT_APPROVAL_NOT_APPROVER" });
    await setMemberStatus(tenant.owner, operator.principalId, "ACTIVE");
    await decide(operator, approval, "APPROVED");
  });

  it("is a program's only where the policy names it", async () => {
    const tenant = await givenTenant();
    const { id } = await createApiKey(tenant.owner, { name: "Robot", roles: ["operator"] });
    const grants = await findGrants(tenant.owner, id);
    const robot: Caller = {
      ...tenant.owner,
      principalId: id,
      principalKind: "API_KEY",
      permissions: grants!.permissions,
    };
    const { approval } = await aRunThatAsks(tenant.owner);
    await expect(decide(robot, approval, "APPROVED")).rejects.toMatchObject({ code: "AGENT_APPROVAL_NOT_APPROVER" });
    await setApprovalPolicy(tenant.owner, { tool: "task.create", quorum: 1, allowRequester: false, approverIds: [id] });
    const { approval: itsOwn } = await aRunThatAsks(tenant.owner);
    await decide(robot, itsOwn, "APPROVED");
  });

  it("is about what was read: another fingerprint or version is a conflict that tells the state of now", async () => {
    const approval = await anApproval();
    const approver = aCaller({ tenantId: approval.tenantId });
    const details = { status: "PENDING", version: 1, fingerprint: approval.fingerprint };
    for (const other of [{ fingerprint: "x" }, { expectedVersion: 7 }]) {
      await expect(decide(approver, approval, "APPROVED", other)).rejects.toMatchObject({
        ...{ code: "AGENT_APPROVAL_CHANGED", kind: "conflict", details },
      });
    }
  });

  it("that comes late is a conflict that tells who decided, and what", async () => {
    const approval = await anApproval();
    const [first, late] = [aCaller({ tenantId: approval.tenantId }), aCaller({ tenantId: approval.tenantId })];
    await decide(first, approval, "DENIED");
    await expect(decide(late, approval, "APPROVED")).rejects.toMatchObject({
      code: "AGENT_APPROVAL_ALREADY_DECIDED",
      kind: "conflict",
      details: { status: "DENIED", version: 2, decidedBy: encodeId("Principal", first.principalId) },
    });
    expect(await changesOf(database().owner, approval)).toEqual(["REQUESTED", "DECIDED"]);
  });

  it("is made once for an idempotency key, and is another's for another input", async () => {
    const approval = await anApproval();
    const approver = aCaller({ tenantId: approval.tenantId });
    for (let repeat = 0; repeat < 3; repeat++)
      expect(await decide(approver, approval, "APPROVED", { idempotencyKey: "d1" })).toBe(approval.id);
    await expect(decide(approver, approval, "DENIED", { idempotencyKey: "d1" })).rejects.toMatchObject({
      code: "IDEMPOTENCY_KEY_REUSED",
    });
    expect(await audit(approval.id)).toHaveLength(1);
    expect(await changesOf(database().owner, approval)).toEqual(["REQUESTED", "DECIDED"]);
  });

  it("is written in two round trips, whoever decides", async () => {
    const caller = aCaller();
    const { approval } = await aRunThatAsks(caller);
    const { statements } = await countStatements(() => decide(aColleagueOf(caller), approval, "APPROVED"));
    // run, approval, decisions, roles; then run, step, approval with decision, audit, events.
    expect(statements).toHaveLength(9);
  });
});

describe("a quorum", () => {
  it("approves when that many different approvers did, and not before", async () => {
    const tenant = await aTenantWith({ quorum: 2 });
    const { runId, approval } = await aRunThatAsks(tenant.owner);
    const [first, second] = [aColleagueOf(tenant.owner), aColleagueOf(tenant.owner)];
    await decide(first, approval, "APPROVED");
    expect(await reread(first, approval.id)).toMatchObject({ status: "PENDING", version: 1 });
    await expect(decide(first, approval, "APPROVED")).rejects.toMatchObject({
      code: "AGENT_APPROVAL_DECIDED_BY_CALLER",
      kind: "conflict",
      details: { status: "PENDING" },
    });
    await expect(decide(first, approval, "DENIED")).rejects.toMatchObject({ kind: "conflict" });
    expect(await driveRun(tenant.owner, runId)).toMatchObject({ status: "AWAITING_APPROVAL" });
    // What the second read before the first decided is still what there is to decide.
    await decide(second, approval, "APPROVED");
    expect(await reread(first, approval.id)).toMatchObject({ status: "APPROVED", version: 2 });
    expect(await driveRun(tenant.owner, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await changesOf(database().owner, approval)).toEqual(["REQUESTED", "VOTED", "DECIDED"]);
    const types = (await journalOf(tenant.owner, runId)).map(({ type }) => type);
    expect(types.filter((type) => type === "agent.run.approvalDecided")).toHaveLength(1);
    expect((await audit(approval.id)).map(({ details }) => details["status"])).toEqual(["PENDING", "APPROVED"]);
  });

  it("is denied by one", async () => {
    const tenant = await aTenantWith({ quorum: 3 });
    const { approval } = await aRunThatAsks(tenant.owner);
    await decide(aColleagueOf(tenant.owner), approval, "APPROVED");
    await decide(aColleagueOf(tenant.owner), approval, "DENIED");
    expect(await reread(tenant.owner, approval.id)).toMatchObject({ status: "DENIED" });
  });
});

describe("edited params", () => {
  const paramsOf = async (caller: Caller, callId: string) =>
    (await withTenant(caller, (tx) => getToolCall(tx, caller, callId))).params;

  it("are what runs, as the tool's schema takes them, under a fingerprint of their own", async () => {
    const caller = aCaller();
    const { runId, approval } = await aRunThatAsks(caller);
    const approver = aColleagueOf(caller);
    for (const [editedParams, decision] of [
      [{ title: 7 }, "APPROVED"],
      [{ title: " " }, "APPROVED"],
      [{ owner: "me" }, "APPROVED"],
      [{ title: "x" }, "DENIED"],
    ] as const) {
      await expect(decide(approver, approval, decision, { editedParams })).rejects.toMatchObject({
        code: "AGENT_APPROVAL_PARAMS_INVALID",
        kind: "invalid_input",
      });
    }
    expect(await paramsOf(caller, approval.toolCallId!)).toEqual(approval.params);
    await decide(approver, approval, "APPROVED", { editedParams: { title: "  Renew it by June  " } });
    const edited = await reread(caller, approval.id);
    expect(edited).toMatchObject({ status: "APPROVED", version: 2, params: { title: "Renew it by June" } });
    expect(edited.fingerprint).not.toBe(approval.fingerprint);
    const run = await driveRun(caller, runId);
    expect(run).toMatchObject({ status: "COMPLETED" });
    // The agent reports what ran, not what it had asked for.
    expect(run.output).toContain("Renew it by June");
    expect(run.output).not.toContain("renew the lease of the office");
    const { rows } = await database().owner.query("SELECT title FROM agent.task WHERE tenant_id = $1", [
      caller.tenantId,
    ]);
    expect(rows).toEqual([{ title: "Renew it by June" }]);
    expect(await audit(approval.id)).toMatchObject([
      { details: { fingerprint: edited.fingerprint, previousFingerprint: approval.fingerprint } },
    ]);
  });

  it("are costed again, by the prices that the run is pinned to", async () => {
    const caller = aCaller();
    const { approval } = await aRunThatAsks(caller);
    await database().owner.query("UPDATE agent.approval SET cost_estimate_micros = 1 WHERE id = $1", [approval.id]);
    await decide(aColleagueOf(caller), approval, "APPROVED", { editedParams: { title: "Other" } });
    expect(await reread(caller, approval.id)).toMatchObject({ costEstimateMicros: approval.costEstimateMicros });
  });

  it("void what others approved before: they approved something else", async () => {
    const tenant = await aTenantWith({ quorum: 2 });
    const { runId, approval } = await aRunThatAsks(tenant.owner);
    const [first, second, third] = [1, 2, 3].map(() => aColleagueOf(tenant.owner));
    await decide(first!, approval, "APPROVED");
    await decide(second!, approval, "APPROVED", { editedParams: { title: "Something else" } });
    const edited = await reread(tenant.owner, approval.id);
    expect(edited).toMatchObject({ status: "PENDING", version: 2, params: { title: "Something else" } });
    expect(await findDecisions(tenant.owner, [approval.id])).toMatchObject([{ decidedBy: second!.principalId }]);
    await expect(decide(third!, approval, "APPROVED")).rejects.toMatchObject({ code: "AGENT_APPROVAL_CHANGED" });
    await expect(decide(second!, edited, "APPROVED")).rejects.toMatchObject({
      code: "AGENT_APPROVAL_DECIDED_BY_CALLER",
    });
    // Who approved what it was before has not decided about what it is now.
    await decide(first!, edited, "APPROVED");
    expect(await reread(tenant.owner, approval.id)).toMatchObject({ status: "APPROVED", version: 3 });
    expect(await driveRun(tenant.owner, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await changesOf(database().owner, approval)).toEqual(["REQUESTED", "VOTED", "EDITED", "DECIDED"]);
  });

  it("that change nothing are no edit", async () => {
    const tenant = await aTenantWith({ quorum: 2 });
    const { approval } = await aRunThatAsks(tenant.owner);
    await decide(aColleagueOf(tenant.owner), approval, "APPROVED");
    const { params } = approval;
    await decide(aColleagueOf(tenant.owner), approval, "APPROVED", { editedParams: params as Record<string, unknown> });
    expect(await reread(tenant.owner, approval.id)).toMatchObject({
      status: "APPROVED",
      fingerprint: approval.fingerprint,
    });
  });

  it("are for calls of tools only", async () => {
    const approval = await anApproval();
    const approver = aCaller({ tenantId: approval.tenantId });
    await expect(decide(approver, approval, "APPROVED", { editedParams: { offer: "x" } })).rejects.toMatchObject({
      code: "AGENT_APPROVAL_PARAMS_INVALID",
    });
  });
});
