import {
  ApprovalsDocument,
  CreateAgentDocument,
  DecideApprovalDocument,
  MeDocument,
  RunDocument,
  SetApprovalPolicyDocument,
  StartRunDocument,
} from "@sba/client";
import { describe, expect, it } from "vitest";
import { collectEvents, pendingApproval, useSystem } from "../story.ts";

const story = useSystem();

/** An agent of the story's own, so that its policy is nobody else's. */
async function anAgentWith(policy: { quorum: number; allowRequester: boolean }): Promise<string> {
  const owner = story().client("owner");
  const agentKey = `careful-${crypto.randomUUID().slice(0, 8)}`;
  await owner.mutate(CreateAgentDocument, {
    input: { key: agentKey, name: "Careful", instructions: "Create tasks when asked to.", tools: ["task.create"] },
  });
  const { setApprovalPolicy } = await owner.mutate(SetApprovalPolicyDocument, {
    input: { tool: "task.create", agentKey, approverRoles: ["owner", "operator"], ...policy },
  });
  expect(setApprovalPolicy).toMatchObject({ tool: "task.create", ...policy, expiresAfterSeconds: null });
  return agentKey;
}

const PROMPT = "Create a task to order a new wind tunnel fan";

describe("quorum and self-approval", () => {
  it("lets nobody approve what they asked for, unless the policy says so", async () => {
    const [operator, owner] = [story().client("operator"), story().client("owner")];
    const { startRun } = await operator.mutate(StartRunDocument, { agentKey: "assistant", prompt: PROMPT });
    const approval = await pendingApproval(operator, startRun.id);
    expect(approval.policy).toMatchObject({ quorum: 1, allowRequester: false });
    const decision = { approvalId: approval.id, fingerprint: approval.fingerprint, expectedVersion: approval.version };
    await expect(operator.mutate(DecideApprovalDocument, { ...decision, decision: "APPROVED" })).rejects.toMatchObject({
      code: "FORBIDDEN",
      reason: "AGENT_APPROVAL_BY_REQUESTER",
    });
    await owner.mutate(DecideApprovalDocument, { ...decision, decision: "APPROVED" });
    expect((await collectEvents(operator, startRun.id)).at(-1)).toMatchObject({ run: { status: "COMPLETED" } });
  });

  it("waits for as many different people as the policy wants", async () => {
    const [operator, owner] = [story().client("operator"), story().client("owner")];
    const agentKey = await anAgentWith({ quorum: 2, allowRequester: true });
    const { startRun } = await operator.mutate(StartRunDocument, { agentKey, prompt: PROMPT });
    const approval = await pendingApproval(owner, startRun.id);
    expect(approval.policy).toMatchObject({
      ...{ quorum: 2, allowRequester: true },
      approvers: [{ role: { key: "operator" } }, { role: { key: "owner" } }],
    });
    const decision = {
      ...{ approvalId: approval.id, fingerprint: approval.fingerprint, expectedVersion: approval.version },
      decision: "APPROVED" as const,
    };
    const { decideApproval } = await operator.mutate(DecideApprovalDocument, decision);
    expect(decideApproval).toMatchObject({ status: "PENDING", run: { status: "AWAITING_APPROVAL" } });
    await expect(operator.mutate(DecideApprovalDocument, decision)).rejects.toMatchObject({ code: "CONFLICT" });
    const { me } = await operator.query(MeDocument);
    const { approvals } = await owner.query(ApprovalsDocument, { filter: { runId: startRun.id, status: ["PENDING"] } });
    expect(approvals.edges[0]!.node.decisions).toMatchObject([{ decision: "APPROVED", decidedBy: { id: me.id } }]);
    expect((await owner.mutate(DecideApprovalDocument, decision)).decideApproval.status).toBe("APPROVED");
    const events = await collectEvents(operator, startRun.id);
    expect(events.filter(({ __typename }) => __typename === "ApprovalDecided")).toHaveLength(1);
    expect(events.at(-1)).toMatchObject({ __typename: "RunFinished", run: { status: "COMPLETED" } });
    const { run } = await operator.query(RunDocument, { id: startRun.id });
    expect(run.approvals).toMatchObject([{ status: "APPROVED" }]);
  });

  it("takes no policy by which nobody could decide, and none from who may not set one", async () => {
    const { me } = await story().client("owner").query(MeDocument);
    const input = { tool: "task.create", quorum: 2, approverIds: [me.id] };
    await expect(story().client("owner").mutate(SetApprovalPolicyDocument, { input })).rejects.toMatchObject({
      ...{ code: "BAD_USER_INPUT", reason: "AGENT_APPROVAL_POLICY_INVALID" },
    });
    await expect(story().client("operator").mutate(SetApprovalPolicyDocument, { input })).rejects.toMatchObject({
      code: "FORBIDDEN",
    });
  });
});
