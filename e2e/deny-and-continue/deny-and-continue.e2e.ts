import { ApprovalLinkDocument, DecideApprovalDocument, RunDocument, StartRunDocument } from "@sba/client";
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

  it("also on the page of a link: opening it decides nothing, its form denies once", async () => {
    const [operator, owner] = [story().client("operator"), story().client("owner")];
    const prompt = "Create a task to paint the wind tunnel";
    const { startRun } = await operator.mutate(StartRunDocument, { agentKey: "assistant", prompt });
    const { id } = await pendingApproval(owner, startRun.id);
    const url = (await owner.query(ApprovalLinkDocument, { id })).approval.decisionUrl!;
    const [page] = await Promise.all([1, 2, 3].map(async () => (await fetch(url)).text()));
    expect(await pendingApproval(owner, startRun.id)).toMatchObject({ id, status: "PENDING", decisions: [] });
    const token = /name="token" value="([^"]+)"/.exec(page!)![1]!;
    const post = (decision: string) =>
      fetch(url, { method: "POST", body: new URLSearchParams({ token, decision, reason: "it is clean" }) });
    const answers = await Promise.all([post("DENIED"), post("DENIED"), post("DENIED")]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409, 409]);
    expect((await post("APPROVED")).status).toBe(409);

    const events = await collectEvents(operator, startRun.id);
    expect(events.filter(({ __typename }) => __typename === "ApprovalDecided")).toMatchObject([
      { approval: { status: "DENIED", reason: "it is clean", decidedBy: { displayName: "Olivia Owner" } } },
    ]);
    expect(events.at(-1)).toMatchObject({ __typename: "RunFinished", run: { status: "COMPLETED" } });
    expect((await operator.query(RunDocument, { id: startRun.id })).run.output).toContain("it is clean");
  });
});
