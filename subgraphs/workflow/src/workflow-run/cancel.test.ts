import { findApprovals, getRun } from "@sba/agent/index";
import { driveRun } from "@sba/agent/testing";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import type { Caller } from "@sba/platform/caller";
import { encodeId } from "@sba/platform/ids";
import { describe, expect, it } from "vitest";
import { driveWorkflowRun, givenWorkflow, givenWorkflowRun, withBuiltIns, workflowJournalOf } from "../testing.ts";
import { findStepsOfRuns } from "./step.ts";
import { cancelWorkflowRun, resumeAfterRun, startWorkflowRun } from "./workflow-run.ts";

const database = useDatabase();

const QUESTION = { prompt: "How many days of annual leave do employees receive?" };
const CONSENT = { key: "consent", kind: "approval", action: "Send the offer" };
const TASK = { key: "task", kind: "tool-call", tool: "task.create", params: { title: "{{input.title}}" } };

const stepsOf = (caller: Caller, id: string) => findStepsOfRuns(caller, [id]);
const typesOf = async (caller: Caller, id: string) =>
  (await workflowJournalOf(caller, id)).map(({ type }) => type.replace("workflow.run.", ""));

describe("cancelling", () => {
  it("cancels the run that it waits for and ends when that has ended", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, "agentic", QUESTION);
    const colleague = aColleagueOf(caller);
    await cancelWorkflowRun(colleague, { workflowRunId: id, reason: "Enough." });
    await cancelWorkflowRun(caller, { workflowRunId: id });
    expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "CANCELLING" });
    const [step] = await stepsOf(caller, id);
    expect((await getRun(caller, step!.runId!)).status).toBe("CANCELLING");
    expect((await driveRun(caller, step!.runId!)).status).toBe("CANCELLED");
    await resumeAfterRun(caller, step!.runId!);
    expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "CANCELLED", cancelReason: "Enough." });
    expect(await stepsOf(caller, id)).toMatchObject([{ status: "CANCELLED" }]);
    expect((await typesOf(caller, id)).slice(-4)).toEqual([
      "statusChanged",
      "stepFinished",
      "statusChanged",
      "finished",
    ]);
    // Of the run it is not: nobody asked for that by itself.
    const { rows } = await database().owner.query(
      "SELECT action, principal_id, target, details FROM platform.audit_entry WHERE tenant_id = $1 AND action LIKE '%un.cancelled'",
      [caller.tenantId],
    );
    expect(rows).toEqual([
      {
        action: "workflow.workflowRun.cancelled",
        principal_id: colleague.principalId,
        target: encodeId("WorkflowRun", id),
        details: { reason: "Enough." },
      },
    ]);
  });

  it("takes back the approval that it waits for", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, await givenWorkflow(caller, [CONSENT]));
    await cancelWorkflowRun(caller, { workflowRunId: id });
    expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "CANCELLED" });
    const [step] = await stepsOf(caller, id);
    expect(await findApprovals(caller, [step!.approvalId!])).toMatchObject([{ status: "CANCELLED" }]);
  });

  it("closes the tool call that waited for approval", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, await givenWorkflow(caller, [TASK]), { title: "T" });
    await cancelWorkflowRun(caller, { workflowRunId: id });
    expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "CANCELLED" });
    const { rows } = await database().owner.query(
      "SELECT status, error->>'code' AS code FROM integrations.tool_call WHERE tenant_id = $1",
      [caller.tenantId],
    );
    expect(rows).toEqual([{ status: "FAILED", code: "OPERATION_CANCELLED" }]);
  });

  it("is harmless twice and refused after the end", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await startWorkflowRun(caller, { workflowKey: "agentic", input: QUESTION });
    await cancelWorkflowRun(caller, { workflowRunId: id });
    await cancelWorkflowRun(caller, { workflowRunId: id });
    expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "CANCELLED" });
    expect(await typesOf(caller, id)).toEqual(["statusChanged", "statusChanged", "statusChanged", "finished"]);
    await expect(cancelWorkflowRun(caller, { workflowRunId: id })).rejects.toMatchObject({
      code: "WORKFLOW_RUN_ENDED",
    });
  });
});
