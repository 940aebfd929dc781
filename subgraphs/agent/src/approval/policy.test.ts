import { createApiKey, setMemberStatus } from "@sba/identity/index";
import { givenMember, givenTenant, type GivenTenant } from "@sba/identity/testing";
import { withTenant } from "@sba/platform/db";
import { encodeId, newId } from "@sba/platform/ids";
import { aColleagueOf } from "@sba/testkit/fixtures";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { beforeAll, describe, expect, it } from "vitest";
import { createBuiltInAgents } from "../agent/agent.ts";
import { startRun } from "../run/run.ts";
import { schema } from "../schema.ts";
import { driveRun } from "../testing.ts";
import { estimateToolCall, findApprovalsOfRuns } from "./approval.ts";
import { listApprovalPolicies, readPolicies, rulesFor, setApprovalPolicy, type ApprovalPolicy } from "./policy.ts";
import { aRunThatAsks, decide, reread } from "./testing.ts";

const database = useDatabase();
useBlobs();

// As the contract has it.
const SET = `mutation SetApprovalPolicy($input: SetApprovalPolicyInput!) { setApprovalPolicy(input: $input) { tool quorum allowRequester expiresAfterSeconds } }`;
const REMOVE = `mutation ($input: RemoveApprovalPolicyInput!) { removeApprovalPolicy(input: $input) }`;
const LIST = `{ approvalPolicies { tool agentKey version quorum approvers { role { key } user { id } } allowRequester
  expiresAfterSeconds thresholdMicros setBy { id } setAt } }`;

let tenant: GivenTenant;
beforeAll(async () => {
  tenant = await givenTenant();
  await createBuiltInAgents(tenant.owner);
});

const aPolicy = { tool: "task.create", quorum: 1, allowRequester: false };

describe("an approval policy", () => {
  it("is set by tool and agent, each change as a version of its own, and listed as it is in force", async () => {
    const { owner } = await givenTenant();
    await createBuiltInAgents(owner);
    expect(await expectData(schema, owner, SET, { input: { tool: "task.create" } })).toEqual({
      setApprovalPolicy: { tool: "task.create", quorum: 1, allowRequester: false, expiresAfterSeconds: null },
    });
    await expectData(schema, owner, SET, {
      input: {
        ...{ tool: "task.create", quorum: 2, approverRoles: ["operator", "admin"], allowRequester: true },
        ...{ approverIds: [encodeId("Principal", owner.principalId)], expiresAfterSeconds: 60, thresholdMicros: "700" },
      },
    });
    await expectData(schema, owner, SET, { input: { tool: "task.create", agentKey: "assistant", quorum: 3 } });
    const { approvalPolicies } = await expectData(schema, owner, LIST);
    const role = (key: string) => ({ role: { key }, user: null });
    expect(approvalPolicies).toMatchObject([
      {
        ...{ tool: "task.create", agentKey: null, version: 2, quorum: 2, allowRequester: true, thresholdMicros: "700" },
        approvers: [
          role("admin"),
          role("operator"),
          { role: null, user: { id: encodeId("Principal", owner.principalId) } },
        ],
      },
      // Where nobody is named, everybody whose role may decide at all.
      { agentKey: "assistant", version: 1, approvers: [role("owner"), role("admin"), role("operator")] },
    ]);
    const { rows } = await database().owner.query(
      "SELECT version, quorum FROM agent.approval_policy_version WHERE tenant_id = $1 ORDER BY version, quorum",
      [owner.tenantId],
    );
    expect(rows).toEqual([
      { version: 1, quorum: 1 },
      { version: 1, quorum: 3 },
      { version: 2, quorum: 2 },
    ]);
  });

  it("is audited with what it says, and makes no version when it says nothing new", async () => {
    const { owner } = await givenTenant();
    const roles = ["admin", "owner"];
    await setApprovalPolicy(owner, { ...aPolicy, approverRoles: roles });
    expect(await setApprovalPolicy(owner, { ...aPolicy, approverRoles: roles.toReversed() })).toMatchObject({
      version: 1,
    });
    const { rows } = await database().owner.query(
      "SELECT principal_id, target, details FROM platform.audit_entry WHERE tenant_id = $1 AND action = 'agent.approvalPolicy.set'",
      [owner.tenantId],
    );
    expect(rows).toMatchObject([
      {
        principal_id: owner.principalId,
        target: "task.create",
        details: { version: 1, quorum: 1, approverRoles: roles },
      },
    ]);
  });

  it("is removed, is asked for no more, and goes on counting when it is set again; what waits keeps its rules", async () => {
    const { owner } = await givenTenant();
    await createBuiltInAgents(owner);
    await setApprovalPolicy(owner, { ...aPolicy, quorum: 2 });
    await setApprovalPolicy(owner, { ...aPolicy, agentKey: "assistant", quorum: 3 });
    const { approval } = await aRunThatAsks(owner);
    const remove = (input: object, caller = owner) => expectData(schema, caller, REMOVE, { input });
    expect(await remove({ tool: "task.create", agentKey: "assistant" })).toEqual({ removeApprovalPolicy: true });
    expect(await remove({ tool: "task.create", agentKey: "assistant" })).toEqual({ removeApprovalPolicy: false });
    expect(await remove({ tool: "task.create" }, (await givenTenant()).owner)).toEqual({ removeApprovalPolicy: false });
    expect(await listApprovalPolicies(owner)).toMatchObject([{ agentKey: "", quorum: 2 }]);
    expect(await withTenant(owner, (tx) => readPolicies(tx, "assistant"))).toMatchObject([{ quorum: 2 }]);
    expect(await reread(owner, approval.id)).toMatchObject({ status: "PENDING", quorum: 3, policyVersion: 1 });
    const { approval: next } = await aRunThatAsks(owner);
    expect(next).toMatchObject({ quorum: 2 });
    // The same rules as before: it is in force again only as a version of its own.
    const again = await setApprovalPolicy(owner, { ...aPolicy, agentKey: "assistant", quorum: 3 });
    expect(again).toMatchObject({ version: 2, quorum: 3 });
    const { rows } = await database().owner.query(
      "SELECT target, details FROM platform.audit_entry WHERE tenant_id = $1 AND action = 'agent.approvalPolicy.removed'",
      [owner.tenantId],
    );
    expect(rows).toEqual([{ target: "task.create/assistant", details: { version: 1 } }]);
    const { caller: operator } = await givenMember("operator", tenant);
    expect(await expectRefusal(schema, operator, REMOVE, { input: { tool: "task.create" } })).toMatchObject({
      code: "FORBIDDEN",
    });
  });

  it("keeps every version when two are set at once", async () => {
    const { owner } = await givenTenant();
    const quorums = Array.from({ length: 8 }, (_, index) => index + 1);
    const set = await Promise.all(quorums.map((quorum) => setApprovalPolicy(owner, { ...aPolicy, quorum })));
    expect(set.map(({ version }) => version).toSorted((a, b) => a - b)).toEqual(quorums);
    const last = set.find(({ version }) => version === quorums.length);
    expect(await listApprovalPolicies(owner)).toMatchObject([{ version: 8, quorum: last?.quorum }]);
  });

  it("is the business of who holds approval:manage: owners and admins", async () => {
    for (const role of ["operator", "viewer"] as const) {
      const { caller } = await givenMember(role, tenant);
      expect(await expectRefusal(schema, caller, SET, { input: aPolicy })).toMatchObject({ code: "FORBIDDEN" });
      await expect(setApprovalPolicy(caller, aPolicy)).rejects.toMatchObject({ code: "PERMISSION_MISSING" });
    }
    const { caller: admin } = await givenMember("admin", tenant);
    expect(await expectData(schema, admin, SET, { input: aPolicy })).toBeTruthy();
  });

  it.each([
    ["a tool that does not exist", { tool: "task.destroy" }],
    ["a quorum of nobody", { quorum: 0 }],
    ["more approvals than there are approvers", { quorum: 2, approverIds: ["owner"] }],
    ["the same approver twice", { quorum: 2, approverIds: ["owner", "owner"] }],
    ["nobody at all", { approverIds: [], approverRoles: [] }],
    ["a role that does not exist", { approverRoles: ["emperor"] }],
    ["a role that may not decide", { approverRoles: ["viewer"] }],
    ["a principal that does not exist", { approverIds: ["nobody"] }],
    ["a principal that may not decide", { approverIds: ["viewer"] }],
    ["a deadline that has passed", { expiresAfterSeconds: 0 }],
    ["a threshold below zero", { thresholdMicros: "-1" }],
  ])("that asks for %s is refused", async (_what, input: Record<string, unknown>) => {
    const { caller: viewer } = await givenMember("viewer", tenant);
    const ids: Record<string, string> = {
      owner: tenant.owner.principalId,
      viewer: viewer.principalId,
      nobody: newId(),
    };
    const approverIds = (input["approverIds"] as string[] | undefined)?.map((who) => encodeId("Principal", ids[who]!));
    const refused = await expectRefusal(schema, tenant.owner, SET, {
      input: { tool: "task.create", ...input, ...(approverIds && { approverIds }) },
    });
    expect(refused).toMatchObject({ code: "BAD_USER_INPUT" });
  });

  it("is reachable when roles are named beside the approvers, and may name an API key", async () => {
    const { id } = await createApiKey(tenant.owner, { name: "Robot", roles: ["operator"] });
    const policy = await setApprovalPolicy(tenant.owner, {
      ...{ ...aPolicy, quorum: 5, approverRoles: ["operator"], approverIds: [id] },
    });
    expect(policy).toMatchObject({ quorum: 5, approverIds: [id] });
  });

  it("names nobody who has left, and no agent that does not exist", async () => {
    const { caller: gone } = await givenMember("admin", tenant);
    await setMemberStatus(tenant.owner, gone.principalId, "SUSPENDED");
    await expect(
      setApprovalPolicy(tenant.owner, { ...aPolicy, approverIds: [gone.principalId] }),
    ).rejects.toMatchObject({
      code: "AGENT_APPROVAL_POLICY_INVALID",
    });
    await expect(setApprovalPolicy(tenant.owner, { ...aPolicy, agentKey: "nobody" })).rejects.toMatchObject({
      code: "AGENT_AGENT_NOT_FOUND",
    });
  });
});

describe("what a call needs", () => {
  const { amountMicros: cost } = estimateToolCall();
  const always = { name: "task.create", approval: "ALWAYS" } as const;
  const never = { name: "document.render", approval: "NEVER" } as const;
  const policy = (tool: string, more: Partial<ApprovalPolicy> = {}): ApprovalPolicy => ({
    ...{ tenantId: newId(), policyId: newId(), version: 7, tool, agentKey: "", quorum: 2, approverRoles: ["admin"] },
    ...{ approverIds: [], allowRequester: false, expiresAfterSeconds: 60, thresholdMicros: null, setBy: newId() },
    ...{ setAt: new Date(), ...more },
  });

  it("is nobody, or one who did not ask, when the tenant has no policy", () => {
    expect(rulesFor(never, [], cost)).toBeUndefined();
    expect(rulesFor(always, [], cost)).toMatchObject({ policyId: null, quorum: 1, allowRequester: false });
  });

  it("is what the policy says for a tool that needs nobody by itself, from its threshold on", () => {
    expect(rulesFor(never, [policy(never.name)], cost)).toMatchObject({ quorum: 2, policyVersion: 7 });
    const above = policy(never.name, { thresholdMicros: cost - 1n });
    const atMost = policy(never.name, { thresholdMicros: cost });
    expect(rulesFor(never, [above], cost)).toMatchObject({ policyId: above.policyId });
    expect(rulesFor(never, [atMost], cost)).toBeUndefined();
    expect(rulesFor(never, [policy("task.create")], cost)).toBeUndefined();
  });

  it("is never less for a tool that always needs somebody: no threshold weakens it", () => {
    const atMost = policy(always.name, { thresholdMicros: cost + 1_000n });
    expect(rulesFor(always, [atMost], cost)).toMatchObject({ policyId: atMost.policyId, quorum: 2 });
  });

  it("is what the agent's own policy says before that of every agent", () => {
    const [general, own] = [policy(never.name), policy(never.name, { agentKey: "assistant", quorum: 3 })];
    for (const policies of [
      [general, own],
      [own, general],
    ])
      expect(rulesFor(never, policies, cost)?.quorum).toBe(3);
  });

  it("is read for the agent that calls, and no other", async () => {
    const { owner } = await givenTenant();
    await createBuiltInAgents(owner);
    await setApprovalPolicy(owner, { ...aPolicy, quorum: 2 });
    await setApprovalPolicy(owner, { ...aPolicy, quorum: 3, agentKey: "assistant" });
    const read = async (agentKey: string | null) =>
      (await withTenant(owner, (tx) => readPolicies(tx, agentKey))).map(({ quorum }) => quorum).toSorted();
    expect(await read("assistant")).toEqual([2, 3]);
    expect(await read("handbook")).toEqual([2]);
    expect(await read(null)).toEqual([2]);
  });
});

describe("a policy in force", () => {
  it("is pinned in the approval: a later one changes what comes later", async () => {
    const { owner } = await givenTenant();
    await setApprovalPolicy(owner, { ...aPolicy, quorum: 2 });
    const { approval } = await aRunThatAsks(owner);
    await setApprovalPolicy(owner, { ...aPolicy, quorum: 1, approverRoles: ["admin"] });
    const { approval: later } = await aRunThatAsks(owner);
    expect([approval, later]).toMatchObject([
      { policyVersion: 1, quorum: 2, approverRoles: [] },
      { policyVersion: 2, quorum: 1, approverRoles: ["admin"], policyId: approval.policyId },
    ]);
    await decide(aColleagueOf(owner), approval, "APPROVED");
    const [first, second] = await Promise.all([approval, later].map(({ id }) => show(owner, id)));
    expect(first).toEqual({
      status: "PENDING",
      policy: { version: 1, quorum: 2, allowRequester: false, approvers: 3 },
    });
    expect(second).toEqual({
      status: "PENDING",
      policy: { version: 2, quorum: 1, allowRequester: false, approvers: 1 },
    });
  });

  async function show(caller: GivenTenant["owner"], id: string) {
    const source = `query ($id: ID!) { approval(id: $id) { status policy { version quorum allowRequester approvers { role { key } } } } }`;
    const { approval } = await expectData(schema, caller, source, { id: encodeId("Approval", id) });
    return { ...approval, policy: { ...approval.policy, approvers: approval.policy.approvers.length } };
  }

  it("makes a run ask for a tool that needs nobody by itself, from its threshold on", async () => {
    const { owner } = await givenTenant();
    await createBuiltInAgents(owner);
    const { amountMicros: cost } = estimateToolCall();
    const ask = async (thresholdMicros: bigint) => {
      await setApprovalPolicy(owner, { ...aPolicy, tool: "knowledge.search", thresholdMicros });
      const runId = await startRun(owner, { agentKey: "handbook", prompt: "How many days of leave are there?" });
      return { runId, ...(await driveRun(owner, runId)) };
    };
    expect(await ask(cost)).toMatchObject({ status: "COMPLETED" });
    const { runId, status } = await ask(cost - 1n);
    expect(status).toBe("AWAITING_APPROVAL");
    const [approval] = await findApprovalsOfRuns(owner, [runId]);
    expect(approval).toMatchObject({ action: "knowledge.search", costEstimateMicros: cost });
    await decide(aColleagueOf(owner), approval!, "APPROVED");
    expect(await driveRun(owner, runId)).toMatchObject({ status: "COMPLETED" });
  });
});
