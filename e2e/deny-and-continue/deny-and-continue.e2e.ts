import { DecideApprovalDocument, RunDocument, StartRunDocument } from "@sba/client";
import { describe, expect, it } from "vitest";
import { collectEvents, pendingApproval, useSystem } from "../story.ts";

const story = useSystem();

describe("deny and continue", () => {
  it("tells the agent that a person refused, and why; the run goes on without the call", async () => {
    const [operator, owner] = [story().client("operator"), story().client("owner")];
    const { startRun } = await operator.mutate(StartRunDocument, {
      agentKey: "assistant",
      prompt: "Create a task to order a new wind tunnel fan",
    });
    const { id: approvalId, fingerprint, version: expectedVersion } = await pendingApproval(owner, startRun.id);
    await owner.mutate(DecideApprovalDocument, {
      ...{ approvalId, fingerprint, expectedVersion, decision: "DENIED", reason: "the old one still turns" },
    });
    const events = await collectEvents(operator, startRun.id);
    expect(events.find(({ __typename }) => __typename === "ApprovalDecided")).toMatchObject({
      approval: { status: "DENIED", reason: "the old one still turns", decidedBy: { displayName: "Olivia Owner" } },
    });
    expect(events.find(({ __typename }) => __typename === "ToolResulted")).toMatchObject({
      toolCall: { name: "task.create", success: false },
    });
    expect(events.at(-1)).toMatchObject({ __typename: "RunFinished", run: { status: "COMPLETED" } });
    const { run } = await operator.query(RunDocument, { id: startRun.id });
    expect(run.output).toContain("the old one still turns");
    expect(run.approvals).toMatchObject([{ id: approvalId, status: "DENIED" }]);
  });
});
