import { ApprovalsDocument, DecideApprovalDocument, RunDocument, StartRunDocument } from "@sba/client";
import { describe, expect, it } from "vitest";
import { collectEvents, pendingApproval, useSystem } from "../story.ts";

const story = useSystem();

describe("edited params", () => {
  it("are what runs, as the tool takes them, and what the agent reports", async () => {
    const [operator, owner] = [story().client("operator"), story().client("owner")];
    const { startRun } = await operator.mutate(StartRunDocument, {
      agentKey: "assistant",
      prompt: "Create a task to order a new wind tunnel fan",
    });
    const approval = await pendingApproval(owner, startRun.id);
    expect(approval).toMatchObject({ params: { title: "order a new wind tunnel fan" }, editableParams: ["title"] });
    const decision = {
      ...{ approvalId: approval.id, fingerprint: approval.fingerprint, expectedVersion: approval.version },
      decision: "APPROVED" as const,
    };
    await expect(
      owner.mutate(DecideApprovalDocument, { ...decision, editedParams: { title: 7 } }),
    ).rejects.toMatchObject({ code: "BAD_USER_INPUT", reason: "AGENT_APPROVAL_PARAMS_INVALID" });
    const editedParams = { title: "Order two wind tunnel fans" };
    const { decideApproval } = await owner.mutate(DecideApprovalDocument, { ...decision, editedParams });
    expect(decideApproval).toMatchObject({ status: "APPROVED", version: approval.version + 1 });
    expect(decideApproval.fingerprint).not.toBe(approval.fingerprint);

    expect((await collectEvents(operator, startRun.id)).at(-1)).toMatchObject({ run: { status: "COMPLETED" } });
    const { run } = await operator.query(RunDocument, { id: startRun.id });
    expect(run.output).toContain("Order two wind tunnel fans");
    const { approvals } = await owner.query(ApprovalsDocument, { filter: { runId: startRun.id } });
    expect(approvals.edges.map(({ node }) => node)).toMatchObject([{ status: "APPROVED", params: editedParams }]);
  });
});
