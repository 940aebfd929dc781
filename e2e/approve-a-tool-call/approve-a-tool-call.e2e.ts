import {
  ApprovalEventsDocument,
  ApprovalLinkDocument,
  ApprovalsDocument,
  DecideApprovalDocument,
  RunDocument,
  StartRunDocument,
  ToolsDocument,
} from "@sba/client";
import { describe, expect, it } from "vitest";
import { collectEvents, pendingApproval, useSystem } from "../story.ts";

const story = useSystem();

describe("approve a tool call", () => {
  it("stops the run until a person decides in the inbox, then goes on with exactly what was approved", async () => {
    const [operator, owner] = [story().client("operator"), story().client("owner")];
    const { tools } = await operator.query(ToolsDocument);
    expect(tools.find(({ name }) => name === "task.create")).toMatchObject({
      approval: "ALWAYS",
      sideEffect: true,
      requires: ["task:create"],
    });

    const { startRun } = await operator.mutate(StartRunDocument, {
      agentKey: "assistant",
      prompt: "Create a task to order a new wind tunnel fan",
    });
    for await (const { approvalEvents } of owner.subscribe(ApprovalEventsDocument)) {
      if (approvalEvents.approval.run?.id === startRun.id && approvalEvents.change === "REQUESTED") break;
    }
    const { approvals } = await owner.query(ApprovalsDocument, { filter: { status: ["PENDING"], runId: startRun.id } });
    const [approval] = approvals.edges.map(({ node }) => node);
    expect(approval).toMatchObject({
      action: "task.create",
      run: { id: startRun.id },
      policy: { quorum: 1 },
      decisions: [],
    });

    const decision = {
      approvalId: approval!.id,
      fingerprint: approval!.fingerprint,
      expectedVersion: approval!.version,
      decision: "APPROVED" as const,
      reason: "needed",
    };
    await owner.mutate(DecideApprovalDocument, decision);
    const late = owner.mutate(DecideApprovalDocument, { ...decision, decision: "DENIED" });
    await expect(late).rejects.toMatchObject({ code: "CONFLICT", reason: "AGENT_APPROVAL_ALREADY_DECIDED" });

    const events = await collectEvents(operator, startRun.id);
    const decided = events.find(({ __typename }) => __typename === "ApprovalDecided");
    expect(decided).toMatchObject({
      approval: { status: "APPROVED", reason: "needed", decidedBy: { displayName: "Olivia Owner" } },
    });
    expect(events.at(-1)).toMatchObject({ __typename: "RunFinished", run: { status: "COMPLETED" } });
    const { run } = await operator.query(RunDocument, { id: startRun.id });
    expect(run.approvals).toMatchObject([{ id: approval!.id, status: "APPROVED" }]);
    expect(run.steps.edges.flatMap(({ node }) => (node.toolCall ? [node.toolCall] : []))).toMatchObject([
      { name: "task.create", success: true },
    ]);
  });

  it("is decided on the page of a link, which does nothing when it is only opened", async () => {
    const [operator, owner] = [story().client("operator"), story().client("owner")];
    const prompt = "Create a task to oil the wind tunnel";
    const { startRun } = await operator.mutate(StartRunDocument, { agentKey: "assistant", prompt });
    const { id } = await pendingApproval(owner, startRun.id);
    const { approval } = await owner.query(ApprovalLinkDocument, { id });
    const page = await (await fetch(approval.decisionUrl!)).text();
    expect(page).toContain("oil the wind tunnel");
    expect((await pendingApproval(owner, startRun.id)).decisions).toEqual([]);
    const token = /name="token" value="([^"]+)"/.exec(page)![1]!;
    const decide = () =>
      fetch(approval.decisionUrl!, {
        method: "POST",
        body: new URLSearchParams({ token, decision: "APPROVED", reason: "by mail" }),
      });
    expect([(await decide()).status, (await decide()).status]).toEqual([200, 409]);
    const events = await collectEvents(operator, startRun.id);
    expect(events.find(({ __typename }) => __typename === "ApprovalDecided")).toMatchObject({
      approval: { status: "APPROVED", reason: "by mail", decidedBy: { displayName: "Olivia Owner" } },
    });
    expect(events.at(-1)).toMatchObject({ run: { status: "COMPLETED" } });
  });

  it("is not for a viewer", async () => {
    const viewer = story().client("viewer");
    const decision = {
      approvalId: "apr_00000000000000000000000000",
      fingerprint: "x",
      expectedVersion: 1,
      decision: "APPROVED" as const,
    };
    await expect(viewer.mutate(DecideApprovalDocument, decision)).rejects.toMatchObject({ code: "FORBIDDEN" });
  });
});
