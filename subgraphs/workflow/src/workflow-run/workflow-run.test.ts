import { decideApproval, findApprovals, lapseApprovals, setApprovalPolicy } from "@sba/agent/index";
import { driveRun } from "@sba/agent/testing";
import { givenTenant } from "@sba/identity/testing";
import { givenCollection } from "@sba/knowledge/testing";
import type { Caller } from "@sba/platform/caller";
import { newId } from "@sba/platform/ids";
import { logger } from "@sba/platform/log";
import { ALL_PERMISSIONS } from "@sba/platform/permissions";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { beforeAll, describe, expect, it } from "vitest";
import { driveWorkflowRun, givenWorkflow, givenWorkflowRun, withBuiltIns, workflowJournalOf } from "../testing.ts";
import { publishWorkflowVersion } from "../workflow/workflow.ts";
import { advanceWorkflowRun } from "./advance.ts";
import { findStepsOfRuns } from "./step.ts";
import {
  cancelWorkflowRun,
  getWorkflowRun,
  listWorkflowRuns,
  resumeAfterApproval,
  resumeAfterRun,
  startWorkflowRun,
} from "./workflow-run.ts";

const database = useDatabase();
useBlobs();

const context = { signal: new AbortController().signal, attempt: 1, log: logger };
const HANDBOOK = [
  {
    title: "Leave",
    text: "Employees receive twenty five days of annual leave. Leave is requested in the portal two weeks ahead.",
  },
];
const QUESTION = { prompt: "How many days of annual leave do employees receive?" };
const DOCUMENT = { title: "Report", markdown: "# All is well", format: "markdown" };

const stepsOf = (caller: Caller, id: string) => findStepsOfRuns(caller, [id]);
const typesOf = async (caller: Caller, id: string) =>
  (await workflowJournalOf(caller, id)).map(({ type }) => type.replace("workflow.run.", ""));

async function decide(
  caller: Caller,
  workflowRunId: string,
  decision: "APPROVED" | "DENIED",
  editedParams?: Record<string, unknown>,
) {
  const step = (await stepsOf(caller, workflowRunId)).at(-1)!;
  const [approval] = await findApprovals(caller, [step.approvalId!]);
  const { id, fingerprint, version } = approval!;
  // Whoever starts a workflow does not approve its steps.
  await decideApproval(aColleagueOf(caller), {
    approvalId: id,
    decision,
    fingerprint,
    expectedVersion: version,
    reason: "Because.",
    ...(editedParams && { editedParams }),
  });
  await resumeAfterApproval(caller, approval!.subject);
  return driveWorkflowRun(caller, workflowRunId);
}

describe("the workflow agentic", () => {
  let caller: Caller;
  beforeAll(async () => {
    caller = await withBuiltIns(aCaller());
    await givenCollection(caller, HANDBOOK);
  });

  it("waits for its run without holding a worker and completes with the run's answer", async () => {
    const id = await givenWorkflowRun(caller, "agentic", QUESTION);
    expect(await getWorkflowRun(caller, id)).toMatchObject({ status: "WAITING", leaseExpiresAt: null });
    const [step] = await stepsOf(caller, id);
    const run = await driveRun(caller, step!.runId!);
    expect(run).toMatchObject({ status: "COMPLETED", prompt: QUESTION.prompt, agentKey: "handbook" });
    await resumeAfterRun(caller, run.id);
    const ended = await driveWorkflowRun(caller, id);
    expect(ended).toMatchObject({ status: "COMPLETED", output: { text: run.output } });
    const journal = await workflowJournalOf(caller, id);
    expect(journal.map(({ seq }) => seq)).toEqual(journal.map((_, index) => index + 1));
    expect(await typesOf(caller, id)).toEqual([
      "statusChanged",
      "statusChanged",
      "stepStarted",
      "statusChanged",
      "stepFinished",
      "statusChanged",
      "statusChanged",
      "finished",
    ]);
    expect(journal[2]!.payload).toMatchObject({ step: { key: "answer", status: "WAITING", runId: run.id } });
    expect(journal.at(-1)!.payload).toMatchObject({ status: "COMPLETED", output: { text: run.output } });
  });

  it("takes the same reaction twice, late and for runs that are nobody's without harm", async () => {
    const id = await givenWorkflowRun(caller, "agentic", QUESTION);
    const [step] = await stepsOf(caller, id);
    await resumeAfterRun(caller, step!.runId!);
    expect((await driveWorkflowRun(caller, id)).status).toBe("WAITING");
    await driveRun(caller, step!.runId!);
    await Promise.all([1, 2].map(() => resumeAfterRun(caller, step!.runId!)));
    await Promise.all([1, 2, 3].map(() => advanceWorkflowRun(caller, { workflowRunId: id }, context)));
    const ended = await driveWorkflowRun(caller, id);
    await resumeAfterRun(caller, step!.runId!);
    await resumeAfterRun(caller, newId());
    expect((await driveWorkflowRun(caller, id)).lastSeq).toBe(ended.lastSeq);
    expect((await typesOf(caller, id)).filter((type) => type === "finished")).toHaveLength(1);
  });

  it("fails with the reason of a run that failed", async () => {
    const key = await givenWorkflow(caller, [
      { key: "answer", kind: "agent-run", agentKey: "handbook", prompt: "{{input.prompt}}", options: { maxSteps: 1 } },
    ]);
    const id = await givenWorkflowRun(caller, key, QUESTION);
    const [step] = await stepsOf(caller, id);
    expect((await driveRun(caller, step!.runId!)).status).toBe("FAILED");
    await resumeAfterRun(caller, step!.runId!);
    expect(await driveWorkflowRun(caller, id)).toMatchObject({
      status: "FAILED",
      errorCode: "AGENT_RUN_STEPS_EXHAUSTED",
    });
    expect((await typesOf(caller, id)).at(-1)).toBe("failed");
  });

  it("fails when its agent does not exist, and leaves no run behind", async () => {
    const key = await givenWorkflow(caller, [
      { key: "answer", kind: "agent-run", agentKey: "nobody", prompt: "Hello" },
    ]);
    const id = await givenWorkflowRun(caller, key);
    expect(await getWorkflowRun(caller, id)).toMatchObject({ status: "FAILED", errorCode: "AGENT_AGENT_NOT_FOUND" });
    expect(await stepsOf(caller, id)).toMatchObject([{ status: "FAILED", runId: null }]);
  });

  it("does not start runs for whoever may not", async () => {
    const colleague = aColleagueOf(
      caller,
      ALL_PERMISSIONS.filter((permission) => permission !== "run:start"),
    );
    const id = await givenWorkflowRun(colleague, "agentic", QUESTION);
    expect(await getWorkflowRun(caller, id)).toMatchObject({ status: "FAILED", errorCode: "PERMISSION_MISSING" });
  });
});

describe("the workflow render", () => {
  it("writes an artifact, meters one call and completes with the tool's result", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, "render", DOCUMENT);
    const run = await getWorkflowRun(caller, id);
    expect(run).toMatchObject({ status: "COMPLETED", output: { name: "Report.md", mediaType: "text/markdown" } });
    const { rows } = await database().owner.query("SELECT meter FROM billing.usage_record WHERE tenant_id = $1", [
      caller.tenantId,
    ]);
    expect(rows).toEqual([{ meter: "tool.called" }]);
  });

  it("repeats an idempotent call after a crash and keeps one artifact", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, "render", DOCUMENT);
    await database().owner.query(
      "UPDATE workflow.workflow_step SET status = 'RUNNING', ended_at = NULL, output = NULL WHERE workflow_run_id = $1",
      [id],
    );
    await database().owner.query(
      "UPDATE workflow.workflow_run SET status = 'RUNNING', ended_at = NULL, due_at = now() WHERE id = $1",
      [id],
    );
    await database().owner.query(
      "UPDATE integrations.tool_call SET status = 'REQUESTED', result = NULL WHERE tenant_id = $1",
      [caller.tenantId],
    );
    await advanceWorkflowRun(caller, { workflowRunId: id }, context);
    expect(await stepsOf(caller, id)).toMatchObject([{ status: "COMPLETED", attempt: 2 }]);
    const { rowCount } = await database().owner.query("SELECT 1 FROM agent.artifact WHERE tenant_id = $1", [
      caller.tenantId,
    ]);
    expect(rowCount).toBe(1);
  });

  it("gives a step up after five attempts", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, "render", DOCUMENT);
    await database().owner.query(
      "UPDATE workflow.workflow_step SET status = 'RUNNING', ended_at = NULL, attempt = 5 WHERE workflow_run_id = $1",
      [id],
    );
    await database().owner.query(
      "UPDATE workflow.workflow_run SET status = 'RUNNING', ended_at = NULL, due_at = now() WHERE id = $1",
      [id],
    );
    await advanceWorkflowRun(caller, { workflowRunId: id }, context);
    expect(await getWorkflowRun(caller, id)).toMatchObject({
      status: "FAILED",
      errorCode: "WORKFLOW_STEP_ATTEMPTS_EXHAUSTED",
    });
  });

  it("fails with what is wrong when the filled-in parameters do not fit the tool", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, "render", { ...DOCUMENT, format: "pdf" });
    expect(await getWorkflowRun(caller, id)).toMatchObject({
      status: "FAILED",
      errorCode: "INTEGRATIONS_TOOL_PARAMS_INVALID",
    });
  });
});

const TASK = { key: "task", kind: "tool-call", tool: "task.create", params: { title: "{{input.title}}" } };

describe("a tool that needs approval", () => {
  it("is called only after a person agreed", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, await givenWorkflow(caller, [TASK]), { title: "Call back" });
    expect(await getWorkflowRun(caller, id)).toMatchObject({ status: "WAITING" });
    const tasks = () => database().owner.query("SELECT title FROM agent.task WHERE tenant_id = $1", [caller.tenantId]);
    expect((await tasks()).rows).toEqual([]);
    expect(await decide(caller, id, "APPROVED")).toMatchObject({ status: "COMPLETED" });
    expect((await tasks()).rows).toEqual([{ title: "Call back" }]);
  });

  it("is called with what the person made of its parameters", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, await givenWorkflow(caller, [TASK]), { title: "Call back" });
    expect(await decide(caller, id, "APPROVED", { title: "Write back" })).toMatchObject({ status: "COMPLETED" });
    const { rows } = await database().owner.query("SELECT title FROM agent.task WHERE tenant_id = $1", [
      caller.tenantId,
    ]);
    expect(rows).toEqual([{ title: "Write back" }]);
  });

  it("is not called when what would run is not what was approved", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, await givenWorkflow(caller, [TASK]), { title: "Call back" });
    await database().owner.query(
      `UPDATE integrations.tool_call SET params = '{"title":"Something else"}' WHERE tenant_id = $1`,
      [caller.tenantId],
    );
    expect(await decide(caller, id, "APPROVED")).toMatchObject({
      status: "FAILED",
      errorCode: "WORKFLOW_STEP_APPROVAL_DRIFTED",
    });
  });

  it("is asked for by the tenant's policy, too", async () => {
    const { owner: caller } = await givenTenant();
    await withBuiltIns(caller);
    await setApprovalPolicy(caller, { tool: "document.render", quorum: 1, allowRequester: false });
    const step = { key: "document", kind: "tool-call", tool: "document.render", params: DOCUMENT };
    const id = await givenWorkflowRun(caller, await givenWorkflow(caller, [step]), {});
    expect(await getWorkflowRun(caller, id)).toMatchObject({ status: "WAITING" });
    expect(await decide(caller, id, "APPROVED")).toMatchObject({ status: "COMPLETED" });
  });

  it("that nobody gives in time fails its run, or counts as denied if its definition says so", async () => {
    const { owner: caller } = await givenTenant();
    await withBuiltIns(caller);
    await setApprovalPolicy(caller, { tool: "task.create", quorum: 1, allowRequester: false, expiresAfterSeconds: 60 });
    const expired = async (onDenied: string) => {
      const id = await givenWorkflowRun(caller, await givenWorkflow(caller, [{ ...TASK, onDenied }]), {
        title: "Late",
      });
      const [step] = await stepsOf(caller, id);
      for (const change of ["ESCALATED", "EXPIRED"]) {
        await database().owner.query("UPDATE agent.approval SET expires_at = clock_timestamp() WHERE id = $1", [
          step!.approvalId,
        ]);
        expect(await lapseApprovals(), change).toBe(1);
      }
      const [approval] = await findApprovals(caller, [step!.approvalId!]);
      await resumeAfterApproval(caller, approval!.subject);
      return driveWorkflowRun(caller, id);
    };
    expect(await expired("fail")).toMatchObject({ status: "FAILED", errorCode: "WORKFLOW_STEP_APPROVAL_WITHDRAWN" });
    expect(await expired("continue")).toMatchObject({ status: "COMPLETED" });
  });

  it("fails its run when denied, without having been called", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, await givenWorkflow(caller, [TASK]), { title: "Call back" });
    expect(await decide(caller, id, "DENIED")).toMatchObject({ status: "FAILED", errorCode: "WORKFLOW_STEP_DENIED" });
    const { rows } = await database().owner.query("SELECT status FROM integrations.tool_call WHERE tenant_id = $1", [
      caller.tenantId,
    ]);
    expect(rows).toEqual([{ status: "FAILED" }]);
  });
});

const ask = (onDenied: string) => [
  { key: "consent", kind: "approval", action: "Send the offer", params: { offer: "{{input.offer}}" }, onDenied },
  {
    key: "document",
    kind: "tool-call",
    tool: "document.render",
    params: {
      title: "Offer",
      markdown: "Approved: {{steps.consent.output.approved}}, {{steps.consent.output.reason}}",
    },
  },
];

describe("an approval", () => {
  it("asks a person with the references filled in and goes on when it is given", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, await givenWorkflow(caller, ask("fail")), { offer: { price: 7 } });
    const [step] = await stepsOf(caller, id);
    const [approval] = await findApprovals(caller, [step!.approvalId!]);
    expect(approval).toMatchObject({
      status: "PENDING",
      action: "Send the offer",
      params: { offer: { price: 7 } },
      subject: `workflowRun:${id}:consent`,
    });
    expect(await decide(caller, id, "APPROVED")).toMatchObject({ status: "COMPLETED" });
    expect((await stepsOf(caller, id))[1]).toMatchObject({
      params: { params: { markdown: "Approved: true, Because." } },
    });
  });

  it("fails its run when denied", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, await givenWorkflow(caller, ask("fail")), { offer: 1 });
    expect(await decide(caller, id, "DENIED")).toMatchObject({
      status: "FAILED",
      errorCode: "WORKFLOW_STEP_DENIED",
      errorMessage: expect.stringContaining("Because.") as string,
    });
    expect(await stepsOf(caller, id)).toHaveLength(1);
  });

  it("goes on when denied if its definition says so", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, await givenWorkflow(caller, ask("continue")), { offer: 1 });
    expect(await decide(caller, id, "DENIED")).toMatchObject({ status: "COMPLETED" });
    expect((await stepsOf(caller, id))[0]).toMatchObject({
      status: "COMPLETED",
      output: { approved: false, reason: "Because." },
    });
  });
});

describe("starting", () => {
  it("returns the same workflow run for the same idempotency key, and refuses the key for another input", async () => {
    const caller = await withBuiltIns(aCaller());
    const start = (input: Record<string, unknown>) =>
      startWorkflowRun(caller, { workflowKey: "agentic", input, idempotencyKey: "once" });
    const id = await start(QUESTION);
    expect(await start(QUESTION)).toBe(id);
    await expect(start({ prompt: "Other" })).rejects.toMatchObject({ code: "IDEMPOTENCY_KEY_REUSED" });
  });

  it("names the input that the steps refer to and that was not given", async () => {
    const caller = await withBuiltIns(aCaller());
    await expect(startWorkflowRun(caller, { workflowKey: "render", input: { title: "T" } })).rejects.toMatchObject({
      code: "WORKFLOW_INPUT_INCOMPLETE",
      details: { missing: ["input.format", "input.markdown"] },
    });
  });

  it("refuses what Postgres cannot store, what is too large and what is nested too deep", async () => {
    const caller = await withBuiltIns(aCaller());
    let deep: unknown = 1;
    for (let depth = 0; depth < 50_000; depth++) deep = [deep];
    for (const prompt of ["a\0b", "\ud800", "x".repeat(300_000), deep]) {
      await expect(startWorkflowRun(caller, { workflowKey: "agentic", input: { prompt } })).rejects.toMatchObject({
        code: "WORKFLOW_INPUT_INVALID",
      });
    }
  });

  it("refuses a workflow that the tenant does not have", async () => {
    const [caller, other] = [await withBuiltIns(aCaller()), aCaller()];
    await expect(startWorkflowRun(other, { workflowKey: "agentic", input: QUESTION })).rejects.toMatchObject({
      code: "WORKFLOW_WORKFLOW_NOT_FOUND",
    });
    const id = await startWorkflowRun(caller, { workflowKey: "agentic", input: QUESTION });
    await expect(getWorkflowRun(other, id)).rejects.toMatchObject({ code: "WORKFLOW_RUN_NOT_FOUND" });
    await expect(cancelWorkflowRun(other, { workflowRunId: id })).rejects.toMatchObject({
      code: "WORKFLOW_RUN_NOT_FOUND",
    });
  });

  it("stays with the version that it began with", async () => {
    const caller = await withBuiltIns(aCaller());
    const key = await givenWorkflow(caller, ask("fail"));
    const id = await givenWorkflowRun(caller, key, { offer: 1 });
    const { workflowId } = await getWorkflowRun(caller, id);
    await publishWorkflowVersion(caller, { workflowId, steps: [{ key: "only", kind: "approval", action: "Other" }] });
    expect(await decide(caller, id, "APPROVED")).toMatchObject({ status: "COMPLETED" });
    expect(await stepsOf(caller, id)).toHaveLength(2);
  });

  it("lists the tenant's workflow runs, newest first, by status and workflow", async () => {
    const caller = await withBuiltIns(aCaller());
    const rendered = await givenWorkflowRun(caller, "render", DOCUMENT);
    const waiting = await givenWorkflowRun(caller, "agentic", QUESTION);
    const idsOf = async (filter: Parameters<typeof listWorkflowRuns>[2]) =>
      (await listWorkflowRuns(caller, { first: 10 }, filter)).items.map(({ id }) => id);
    expect(await idsOf({})).toEqual([waiting, rendered]);
    expect(await idsOf({ status: ["WAITING"] })).toEqual([waiting]);
    expect(await idsOf({ workflowKey: "render" })).toEqual([rendered]);
    expect((await listWorkflowRuns(aCaller(), { first: 10 })).items).toEqual([]);
  });
});
