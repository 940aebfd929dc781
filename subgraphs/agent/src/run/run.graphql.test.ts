import type { Caller } from "@sba/platform/caller";
import { encodeId } from "@sba/platform/ids";
import { useSecretKey } from "@sba/platform/secrets";
import { givenCollection } from "@sba/knowledge/testing";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { collectEvents, expectData, expectRefusal } from "@sba/testkit/graphql";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { beforeAll, describe, expect, it } from "vitest";
import { createBuiltInAgents } from "../agent/agent.ts";
import { schema } from "../schema.ts";
import { driveRun } from "../testing.ts";
import { startRun } from "./run.ts";

useDatabase();
useBlobs();
beforeAll(() => {
  useSecretKey("a-secret-key-that-only-tests-know");
});

const EVERYTHING = `query Runs($first: Int!) { runs(first: $first) {
  edges { node {
    id status prompt output createdAt startedAt endedAt model cursor
    agent { id key version { number tools { name } } } agentVersion { number }
    startedBy { id } tenant { id } thread { id }
    steps(first: 50) { edges { node { number type startedAt endedAt toolCall { id name success params } } } }
    artifacts { id name downloadUrl } citations { document { id } chunk { id } quote }
    approvals { id status decisions { decision } run { id } }
  } }
  pageInfo { hasNextPage endCursor }
} }`;

async function aTenantWithRuns(count: number): Promise<{ caller: Caller; runIds: string[] }> {
  const caller = aCaller();
  await createBuiltInAgents(caller);
  await givenCollection(caller, [{ title: "Leave", text: "Employees receive twenty five days of annual leave." }]);
  const runIds: string[] = [];
  for (let i = 0; i < count; i++) {
    const agentKey = i % 2 === 0 ? "handbook" : "assistant";
    const prompt = i % 2 === 0 ? "How many days of annual leave?" : "Create a task to book leave";
    runIds.push(await startRun(caller, { agentKey, prompt }));
    await driveRun(caller, runIds[i]!);
  }
  return { caller, runIds };
}

describe("runs as they are shown", () => {
  it("cost the same number of statements however many there are", async () => {
    const { caller } = await aTenantWithRuns(6);
    const countFor = async (first: number) => {
      const { result, statements } = await countStatements(() => expectData(schema, caller, EVERYTHING, { first }));
      expect(result.runs.edges).toHaveLength(first);
      return statements.length;
    };
    expect(await countFor(6)).toBe(await countFor(2));
  });

  it("page without repeating or leaving out a run", async () => {
    const { caller, runIds } = await aTenantWithRuns(3);
    const PAGE = `query Runs($after: String) { runs(first: 2, after: $after) { edges { node { id } } pageInfo { hasNextPage endCursor } } }`;
    const first = await expectData(schema, caller, PAGE);
    const second = await expectData(schema, caller, PAGE, { after: first.runs.pageInfo.endCursor });
    const shown = [...first.runs.edges, ...second.runs.edges].map((edge: { node: { id: string } }) => edge.node.id);
    expect(shown).toEqual(runIds.toReversed().map((id) => encodeId("Run", id)));
    expect([first.runs.pageInfo.hasNextPage, second.runs.pageInfo.hasNextPage]).toEqual([true, false]);
  });

  it("are found by who started them, with what their tools answered", async () => {
    const { caller, runIds } = await aTenantWithRuns(1);
    const colleague = aColleagueOf(caller, ["run:read"]);
    const MINE = `query Mine($by: ID!) { runs(filter: { startedById: $by }) { edges { node {
      id steps { edges { node { toolCall { name result failure { code } } } } } } } } }`;
    const runsOf = async (by: string) =>
      (await expectData(schema, colleague, MINE, { by: encodeId("Principal", by) })).runs.edges;
    expect(await runsOf(colleague.principalId)).toEqual([]);
    const [run] = await runsOf(caller.principalId);
    expect(run.node.id).toBe(encodeId("Run", runIds[0]!));
    const search = run.node.steps.edges.find(({ node }: { node: { toolCall: object | null } }) => node.toolCall).node;
    expect(search.toolCall).toMatchObject({ name: "knowledge.search", result: expect.anything(), failure: null });
  });

  it("need the permission of each operation", async () => {
    const { caller, runIds } = await aTenantWithRuns(1);
    const id = encodeId("Run", runIds[0]!);
    const reader = aColleagueOf(caller, ["run:read"]);
    await expectData(schema, reader, `query Run($id: ID!) { run(id: $id) { id } }`, { id });
    const refused = { code: "FORBIDDEN", reason: "PERMISSION_MISSING" };
    const cancel = `mutation Cancel($id: ID!) { cancelRun(input: { runId: $id }) { id } }`;
    expect(await expectRefusal(schema, reader, cancel, { id })).toMatchObject(refused);
    const start = `mutation Start { startRun(input: { agentKey: "handbook", prompt: "x" }) { id } }`;
    expect(await expectRefusal(schema, reader, start)).toMatchObject(refused);
    const nobody = aColleagueOf(caller, []);
    expect(await expectRefusal(schema, nobody, `query Runs { runs { edges { node { id } } } }`)).toMatchObject(refused);
  });
});

describe("the events of a run as they are shown", () => {
  it("are the same from the stream and from the log, each of its own type", async () => {
    const { caller, runIds } = await aTenantWithRuns(2);
    for (const runId of runIds.map((id) => encodeId("Run", id))) {
      const FIELDS = "__typename id cursor seq at runId tenantId level traceId";
      const LOG = `query Log($runId: ID!) { runEventLog(runId: $runId) { edges { cursor node { ${FIELDS} } } } }`;
      const log = await expectData(schema, caller, LOG, { runId });
      const logged = log.runEventLog.edges.map((edge: { node: object }) => edge.node);
      const isLast = (data: { runEvents: { seq: number } }) => data.runEvents.seq === logged.length;
      const STREAM = `subscription Events($runId: ID!) { runEvents(runId: $runId) { ${FIELDS} } }`;
      const streamed = await collectEvents(schema, caller, STREAM, { runId }, isLast);
      expect(streamed.map((data: { runEvents: object }) => data.runEvents)).toEqual(logged);
    }
  });

  it("carry what was true at their seq, not what is true now", async () => {
    const { caller, runIds } = await aTenantWithRuns(2);
    const runId = encodeId("Run", runIds[1]!);
    const STREAM = `subscription Events($runId: ID!) { runEvents(runId: $runId) { __typename seq
      ... on ApprovalRequested { approval { status version } } ... on ToolRequested { toolCall { status success } } } }`;
    const events = await collectEvents(
      schema,
      caller,
      STREAM,
      { runId },
      (data) => data.runEvents.__typename === "ApprovalRequested",
    );
    const requested = events.map((data) => data.runEvents).filter((event) => event.__typename !== "RunStatusChanged");
    expect(requested.find((event) => event.__typename === "ToolRequested")).toMatchObject({
      toolCall: { status: "REQUESTED", success: null },
    });
    expect(requested.at(-1)).toMatchObject({ approval: { status: "PENDING", version: 1 } });
  });
});
