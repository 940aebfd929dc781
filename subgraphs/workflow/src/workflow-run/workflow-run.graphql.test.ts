import { decodeId, encodeId, newId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { collectEvents, execute, expectData, expectRefusal } from "@sba/testkit/graphql";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { describe, expect, it } from "vitest";
import { schema } from "../schema.ts";
import { driveWorkflowRun, withBuiltIns } from "../testing.ts";

const database = useDatabase();
useBlobs();

const START = `mutation ($workflowKey: String!, $input: JSON, $idempotencyKey: String) {
  startWorkflowRun(input: { workflowKey: $workflowKey, input: $input, idempotencyKey: $idempotencyKey }) { id status cursor }
}`;
const RUN = `query ($id: ID!) { workflowRun(id: $id) {
  id status input output error { code } workflow { id key name } version { number steps { key kind config } publishedBy { id } }
  startedBy { id } tenant { id } runs { id } steps { number key kind status output error { code } run { id } approval { id } startedAt endedAt }
} }`;
const EVENTS = `subscription ($id: ID!, $after: Cursor) { workflowRunEvents(workflowRunId: $id, after: $after) {
  __typename cursor seq at workflowRunId tenantId
  ... on WorkflowRunStatusChanged { from to }
  ... on WorkflowStepStarted { step { key status } }
  ... on WorkflowStepFinished { step { key status output } }
  ... on WorkflowRunFinished { workflowRun { id status output } }
  ... on WorkflowRunFailed { workflowRun { id status } error { code message } }
  ... on WorkflowStreamGap { fromSeq toSeq cause }
} }`;
const RENDER = { workflowKey: "render", input: { title: "Report", markdown: "# Fine", format: "markdown" } };

describe("workflow runs over GraphQL", () => {
  it("start, are driven and are read with all that belongs to them", async () => {
    const caller = await withBuiltIns(aCaller());
    const { startWorkflowRun } = await expectData(schema, caller, START, RENDER);
    expect(startWorkflowRun).toMatchObject({ status: "CREATED" });
    await driveWorkflowRun(caller, decodeId("WorkflowRun", startWorkflowRun.id));
    const { workflowRun } = await expectData(schema, caller, RUN, { id: startWorkflowRun.id });
    expect(workflowRun).toMatchObject({
      status: "COMPLETED",
      input: RENDER.input,
      output: { name: "Report.md" },
      error: null,
      workflow: { key: "render" },
      version: { number: 1, steps: [{ key: "document", kind: "tool-call" }] },
      startedBy: { id: encodeId("Principal", caller.principalId) },
      tenant: { id: encodeId("Tenant", caller.tenantId) },
      runs: [],
      steps: [{ number: 1, key: "document", status: "COMPLETED", error: null, run: null, approval: null }],
    });
  });

  it("name the runs that they started", async () => {
    const caller = await withBuiltIns(aCaller());
    const { startWorkflowRun } = await expectData(schema, caller, START, {
      workflowKey: "agentic",
      input: { prompt: "Hello?" },
    });
    await driveWorkflowRun(caller, decodeId("WorkflowRun", startWorkflowRun.id));
    const { workflowRun } = await expectData(schema, caller, RUN, { id: startWorkflowRun.id });
    expect(workflowRun.runs).toEqual([{ id: expect.stringMatching(/^run_/) as string }]);
    expect(workflowRun.steps[0]).toMatchObject({ status: "WAITING", run: workflowRun.runs[0] });
    // Whose content is another subgraph's: who may not read runs is not even told which they are.
    const reader = aColleagueOf(caller, ["workflow:read"]);
    const refused = await execute(schema, reader, RUN, { id: startWorkflowRun.id });
    expect(refused.data.workflowRun).toMatchObject({ runs: null, steps: [{ run: null, approval: null }] });
    expect(refused.errors?.map(({ extensions }) => extensions["reason"])).toEqual(
      Array.from({ length: 3 }, () => "PERMISSION_MISSING"),
    );
  });

  it("stream their events to the end, and go on after a cursor", async () => {
    const caller = await withBuiltIns(aCaller());
    const {
      startWorkflowRun: { id, cursor },
    } = await expectData(schema, caller, START, RENDER);
    const live = collectEvents(schema, caller, EVENTS, { id, after: cursor });
    await driveWorkflowRun(caller, decodeId("WorkflowRun", id));
    const events = (await live).map(({ workflowRunEvents }) => workflowRunEvents);
    expect(events.map(({ seq }) => seq)).toEqual([2, 3, 4, 5, 6]);
    expect(events.map(({ __typename }) => __typename)).toEqual([
      "WorkflowRunStatusChanged",
      "WorkflowStepStarted",
      "WorkflowStepFinished",
      "WorkflowRunStatusChanged",
      "WorkflowRunFinished",
    ]);
    expect(events.at(-1)).toMatchObject({
      workflowRunId: id,
      workflowRun: { id, status: "COMPLETED", output: { name: "Report.md" } },
    });
    const rest = await collectEvents(schema, caller, EVENTS, { id, after: events[2].cursor });
    expect(rest.map(({ workflowRunEvents }) => workflowRunEvents)).toEqual(events.slice(3));
    await database().owner.query("DELETE FROM platform.event WHERE stream = $1 AND seq < 3", [
      `workflowRun:${decodeId("WorkflowRun", id)}`,
    ]);
    const left = await collectEvents(schema, caller, EVENTS, { id });
    expect(left[0].workflowRunEvents).toMatchObject({
      ...{ __typename: "WorkflowStreamGap", seq: 2, cursor: events[0].cursor, workflowRunId: id },
      ...{ fromSeq: 1, toSeq: 2, cause: "RETENTION" },
    });
    expect(left.slice(1).map(({ workflowRunEvents }) => workflowRunEvents)).toEqual(events.slice(1));
  });

  it("end their stream with the error when they fail", async () => {
    const caller = await withBuiltIns(aCaller());
    const {
      startWorkflowRun: { id },
    } = await expectData(schema, caller, START, { ...RENDER, input: { ...RENDER.input, title: "" } });
    await driveWorkflowRun(caller, decodeId("WorkflowRun", id));
    const events = await collectEvents(schema, caller, EVENTS, { id });
    expect(events.at(-1).workflowRunEvents).toMatchObject({
      __typename: "WorkflowRunFailed",
      workflowRun: { status: "FAILED" },
      error: { code: "INTEGRATIONS_TOOL_PARAMS_INVALID" },
    });
  });

  it("are cancelled by whoever may start them", async () => {
    const caller = await withBuiltIns(aCaller());
    const {
      startWorkflowRun: { id },
    } = await expectData(schema, caller, START, RENDER);
    const cancel = "mutation ($id: ID!) { cancelWorkflowRun(input: { workflowRunId: $id }) { id status } }";
    expect(await expectRefusal(schema, aColleagueOf(caller, ["workflow:read"]), cancel, { id })).toMatchObject({
      code: "FORBIDDEN",
    });
    expect(await expectData(schema, caller, cancel, { id })).toEqual({
      cancelWorkflowRun: { id, status: "CANCELLING" },
    });
  });

  it("refuse input that is not an object, unknown workflows and ids of other things", async () => {
    const caller = await withBuiltIns(aCaller());
    for (const input of [[1], "text", 7]) {
      expect(await expectRefusal(schema, caller, START, { ...RENDER, input })).toMatchObject({
        code: "BAD_USER_INPUT",
      });
    }
    expect(await expectRefusal(schema, caller, START, { workflowKey: "agentic" })).toMatchObject({
      reason: "WORKFLOW_INPUT_INCOMPLETE",
    });
    expect(await expectRefusal(schema, caller, START, { workflowKey: "none" })).toMatchObject({ code: "NOT_FOUND" });
    expect(await expectRefusal(schema, caller, RUN, { id: encodeId("Run", newId()) })).toMatchObject({
      reason: "ID_INVALID",
    });
    expect(await expectRefusal(schema, undefined, START, RENDER)).toMatchObject({ code: "UNAUTHENTICATED" });
  });

  it("are not found by another tenant", async () => {
    const [caller, other] = [await withBuiltIns(aCaller()), await withBuiltIns(aCaller())];
    const {
      startWorkflowRun: { id },
    } = await expectData(schema, caller, START, RENDER);
    expect(await expectRefusal(schema, other, RUN, { id })).toMatchObject({
      code: "NOT_FOUND",
      reason: "WORKFLOW_RUN_NOT_FOUND",
    });
    await expect(collectEvents(schema, other, EVENTS, { id })).rejects.toThrow("There is no such workflow run.");
  });

  it("are listed with their steps, workflows and versions in one statement each", async () => {
    const caller = await withBuiltIns(aCaller());
    for (let index = 0; index < 3; index++) await expectData(schema, caller, START, RENDER);
    const LIST = `query { workflowRuns(first: 10, filter: { workflowKey: "render" }) { edges { node { id workflow { key } version { number } steps { key } runs { id } } } pageInfo { hasNextPage } } }`;
    const { statements, result } = await countStatements(() => expectData(schema, caller, LIST));
    expect(result.workflowRuns.edges).toHaveLength(3);
    expect(statements.length).toBeLessThanOrEqual(4);
  });
});

const STEPS = [{ key: "ask", kind: "approval", action: "Go on" }];

describe("workflows over GraphQL", () => {
  it("are defined, published anew and read by key", async () => {
    const caller = aCaller();
    const { createWorkflow } = await expectData(
      schema,
      caller,
      'mutation ($steps: [JSON!]!) { createWorkflow(input: { key: "ask", name: "Ask", steps: $steps }) { id key version { number } } }',
      { steps: STEPS },
    );
    const { publishWorkflowVersion } = await expectData(
      schema,
      caller,
      "mutation ($id: ID!, $steps: [JSON!]!) { publishWorkflowVersion(input: { workflowId: $id, steps: $steps }) { number steps { config } } }",
      { id: createWorkflow.id, steps: [{ ...STEPS[0], action: "Stop" }] },
    );
    expect(publishWorkflowVersion).toMatchObject({ number: 2, steps: [{ config: { action: "Stop" } }] });
    const read = await expectData(
      schema,
      caller,
      `query { workflow(key: "ask") { id version { number } } workflows { edges { node { key } } } }`,
    );
    expect(read).toEqual({
      workflow: { id: createWorkflow.id, version: { number: 2 } },
      workflows: { edges: [{ node: { key: "ask" } }] },
    });
    expect(await expectRefusal(schema, aCaller(), `query { workflow(key: "ask") { id } }`)).toMatchObject({
      reason: "WORKFLOW_WORKFLOW_NOT_FOUND",
    });
  });

  it("refuse keys and definitions that are not valid", async () => {
    const create =
      'mutation ($key: String!, $steps: [JSON!]!) { createWorkflow(input: { key: $key, name: "Ask", steps: $steps }) { id } }';
    expect(await expectRefusal(schema, aCaller(), create, { key: "No Key", steps: STEPS })).toMatchObject({
      code: "BAD_USER_INPUT",
    });
    expect(await expectRefusal(schema, aCaller(), create, { key: "ask", steps: [{ key: "a" }] })).toMatchObject({
      reason: "WORKFLOW_DEFINITION_INVALID",
    });
    expect(
      await expectRefusal(schema, aCaller({ permissions: ["workflow:read"] }), create, { key: "ask", steps: STEPS }),
    ).toMatchObject({ code: "FORBIDDEN" });
  });
});
