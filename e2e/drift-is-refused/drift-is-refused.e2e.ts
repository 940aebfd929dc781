import { ApprovalsDocument, DecideApprovalDocument, RunDocument, StartRunDocument } from "@sba/client";
import { describe, expect, it } from "vitest";
import { changeRows, collectEvents, eventually, pendingApproval, useSystem } from "../story.ts";

const story = useSystem();

type Approval = Awaited<ReturnType<typeof pendingApproval>>;
const approves = ({ id, fingerprint, version }: Approval) => ({
  ...{ approvalId: id, fingerprint, expectedVersion: version },
  decision: "APPROVED" as const,
});

/** The approval as a release asked for it that had another definition of the tool. */
const OF_ANOTHER_RELEASE = `
  WITH asked AS (
    UPDATE agent.approval SET definition_hash = 'another', fingerprint = 'of-another-definition' WHERE id = $1 RETURNING tool_call_id)
  UPDATE integrations.tool_call SET definition_hash = 'another' WHERE id = (SELECT tool_call_id FROM asked)`;

describe("drift is refused", () => {
  it("runs nothing that is not what was approved: it asks again, about what would run now", async () => {
    const [operator, owner] = [story().client("operator"), story().client("owner")];
    const prompt = "Create a task to balance the wind tunnel";
    const { startRun } = await operator.mutate(StartRunDocument, { agentKey: "assistant", prompt });
    const asked = await pendingApproval(owner, startRun.id);
    expect(await changeRows(OF_ANOTHER_RELEASE, asked.id)).toBe(1);
    const stale = owner.mutate(DecideApprovalDocument, approves(asked));
    await expect(stale).rejects.toMatchObject({ code: "CONFLICT", reason: "AGENT_APPROVAL_CHANGED" });

    const drifted = await pendingApproval(owner, startRun.id);
    expect(drifted).toMatchObject({ id: asked.id, fingerprint: "of-another-definition" });
    const { decideApproval } = await owner.mutate(DecideApprovalDocument, approves(drifted));
    expect(decideApproval.status).toBe("APPROVED");

    const anew = await eventually(async () => {
      const { approvals } = await owner.query(ApprovalsDocument, {
        filter: { status: ["PENDING"], runId: startRun.id },
      });
      return approvals.edges.map(({ node }) => node).find(({ id }) => id !== asked.id);
    });
    expect(anew).toMatchObject({
      action: "task.create",
      params: asked.params,
      fingerprint: expect.any(String) as string,
    });
    expect(anew.fingerprint).not.toBe(drifted.fingerprint);
    const waiting = (await operator.query(RunDocument, { id: startRun.id })).run;
    expect(waiting.status).toBe("AWAITING_APPROVAL");
    expect(waiting.steps.edges.flatMap(({ node }) => node.toolCall ?? [])).toEqual([]);
    expect(waiting.approvals.map(({ status }) => status)).toEqual(["SUPERSEDED", "PENDING"]);
    await expect(owner.mutate(DecideApprovalDocument, approves(drifted))).rejects.toMatchObject({
      ...{ code: "CONFLICT", reason: "AGENT_APPROVAL_ALREADY_DECIDED" },
    });

    await owner.mutate(DecideApprovalDocument, approves(anew));
    const events = await collectEvents(operator, startRun.id);
    expect(events.filter(({ __typename }) => __typename === "ToolResulted")).toMatchObject([
      { toolCall: { name: "task.create", success: true } },
    ]);
    expect(events.at(-1)).toMatchObject({ __typename: "RunFinished", run: { status: "COMPLETED" } });
    const { run } = await operator.query(RunDocument, { id: startRun.id });
    expect(run.approvals.map(({ status }) => status)).toEqual(["SUPERSEDED", "APPROVED"]);
  });
});
