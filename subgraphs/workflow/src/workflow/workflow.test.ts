import { withTenant } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { ALL_PERMISSIONS } from "@sba/platform/permissions";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { parseSteps } from "./definition.ts";
import {
  createBuiltInWorkflows,
  createWorkflow,
  findCurrentVersions,
  listWorkflows,
  publishWorkflowVersion,
  stepsOf,
} from "./workflow.ts";

const database = useDatabase();

const ASK = { key: "ask", kind: "approval", action: "Go" };
const problemsOf = (steps: unknown): string[] => {
  try {
    parseSteps(steps);
  } catch (error) {
    const { details } = error as { details: { problems: { path: string; message: string }[] } };
    return details.problems.map(({ path, message }) => `${path}: ${message}`);
  }
  return [];
};

describe("a definition", () => {
  it("names every problem by its path", () => {
    const problems = problemsOf([
      { key: "a", kind: "agent-run", agentKey: "handbook", prompt: "{{steps.b.output.text}} {{nonsense}}" },
      { key: "a", kind: "tool-call", tool: "no.tool" },
      { key: "c", kind: "teleport" },
    ]);
    expect(problems).toEqual([
      "steps.0: {{nonsense}} is not of the form {{input.name}} or {{steps.key.output}}",
      "steps.0: {{steps.b.output.text}} names no earlier step",
      "steps.1.key: an earlier step has the key a",
      "steps.1: there is no tool named no.tool",
      "steps.2.kind: must be one of agent-run, tool-call, approval",
    ]);
  });

  it("may refer to earlier steps only", () => {
    const later = { ...ASK, key: "later", params: { said: "{{steps.ask.output.reason}}" } };
    expect(problemsOf([ASK, later])).toEqual([]);
    expect(problemsOf([later, ASK])).toEqual(["steps.0: {{steps.ask.output.reason}} names no earlier step"]);
    expect(problemsOf([{ ...ASK, params: { self: "{{steps.ask.output}}" } }])).toHaveLength(1);
  });

  it.each([
    ["no steps", []],
    ["too many steps", Array.from({ length: 51 }, (_, index) => ({ ...ASK, key: `s${index}` }))],
    ["something that is no list", "steps"],
    ["a step that is no object", [null]],
    ["a key that cannot be referred to", [{ ...ASK, key: "a.b" }]],
    ["a text that Postgres cannot store", [{ ...ASK, action: "\0" }]],
    ["more than 256 KiB", [{ ...ASK, params: { text: "x".repeat(300_000) } }]],
  ])("is refused with %s", (_name, steps) => {
    expect(problemsOf(steps).length).toBeGreaterThan(0);
  });
});

describe("a workflow", () => {
  it("is given to a tenant once, however often its provisioning is told", async () => {
    const caller = aCaller();
    await createBuiltInWorkflows(caller);
    await Promise.all([createBuiltInWorkflows(caller), createBuiltInWorkflows(caller)]);
    expect(
      (await listWorkflows(caller, { first: 10 })).items.map(({ key, versionNumber }) => [key, versionNumber]),
    ).toEqual([
      ["render", 1],
      ["agentic", 1],
    ]);
  });

  it("is created once a key, and audited with what was defined", async () => {
    const caller = aCaller();
    await createWorkflow(caller, { key: "ask", name: "Ask", steps: [ASK] });
    await expect(createWorkflow(caller, { key: "ask", name: "Again", steps: [ASK] })).rejects.toMatchObject({
      code: "WORKFLOW_WORKFLOW_KEY_TAKEN",
    });
    await createWorkflow(aCaller(), { key: "ask", name: "Of another tenant", steps: [ASK] });
    const { rows } = await database().owner.query(
      "SELECT action, details->>'key' AS key FROM platform.audit_entry WHERE tenant_id = $1",
      [caller.tenantId],
    );
    expect(rows).toEqual([{ action: "workflow.workflow.created", key: "ask" }]);
  });

  it("takes new versions beside the old ones, two at once too", async () => {
    const caller = aCaller();
    const workflowId = await createWorkflow(caller, { key: "ask", name: "Ask", steps: [ASK] });
    await Promise.all(
      ["x", "y"].map((action) => publishWorkflowVersion(caller, { workflowId, steps: [{ ...ASK, action }] })),
    );
    const { rows } = await database().owner.query(
      "SELECT number FROM workflow.workflow_version WHERE workflow_id = $1 ORDER BY number",
      [workflowId],
    );
    expect(rows.map(({ number }: { number: number }) => number)).toEqual([1, 2, 3]);
    const [current] = await findCurrentVersions(caller, [workflowId]);
    expect(current!.number).toBe(3);
    expect(stepsOf(current!)).toMatchObject([{ key: "ask", kind: "approval", config: { onDenied: "fail" } }]);
  });

  it("keeps its versions as they were published, even from the application itself", async () => {
    const caller = aCaller();
    const workflowId = await createWorkflow(caller, { key: "ask", name: "Ask", steps: [ASK] });
    await expect(
      withTenant(
        caller,
        (tx) => tx.sql`UPDATE workflow.workflow_version SET number = 7 WHERE workflow_id = ${workflowId}`,
      ),
    ).rejects.toThrow(/permission denied/);
  });

  it("is not published into by another tenant, nor when its definition is wrong", async () => {
    const caller = aCaller();
    const workflowId = await createWorkflow(caller, { key: "ask", name: "Ask", steps: [ASK] });
    await expect(publishWorkflowVersion(aCaller(), { workflowId, steps: [ASK] })).rejects.toMatchObject({
      code: "WORKFLOW_WORKFLOW_NOT_FOUND",
    });
    await expect(publishWorkflowVersion(caller, { workflowId: newId(), steps: [ASK] })).rejects.toMatchObject({
      code: "WORKFLOW_WORKFLOW_NOT_FOUND",
    });
    await expect(publishWorkflowVersion(caller, { workflowId, steps: [{ ...ASK, kind: "?" }] })).rejects.toMatchObject({
      code: "WORKFLOW_DEFINITION_INVALID",
    });
    expect((await listWorkflows(caller, { first: 1 })).items).toMatchObject([{ versionNumber: 1 }]);
  });

  it("is defined by those who may only", async () => {
    const owner = aCaller();
    const caller = aColleagueOf(
      owner,
      ALL_PERMISSIONS.filter((permission) => permission !== "workflow:manage"),
    );
    await expect(createWorkflow(caller, { key: "ask", name: "Ask", steps: [ASK] })).rejects.toMatchObject({
      code: "PERMISSION_MISSING",
    });
    const workflowId = await createWorkflow(owner, { key: "ask", name: "Ask", steps: [ASK] });
    await expect(publishWorkflowVersion(caller, { workflowId, steps: [ASK] })).rejects.toMatchObject({
      code: "PERMISSION_MISSING",
    });
  });
});
