import { createBuiltInAgents, findAgents, getRun, requestApproval, startRun } from "@sba/agent/index";
import { createApiKey, createSession } from "@sba/identity/index";
import { givenTenant } from "@sba/identity/testing";
import { estimateCost, setBudget } from "@sba/billing/index";
import { callTool, createWebhookEndpoint } from "@sba/integrations/index";
import { useSink } from "@sba/integrations/testing";
import { findTool } from "@sba/agent/index";
import { addDocuments, createCollection, searchKnowledge } from "@sba/knowledge/index";
import { ingest } from "@sba/knowledge/testing";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { encodeId, newId, parseId, type IdType } from "@sba/platform/ids";
import { useSecretKey } from "@sba/platform/secrets";
import { aColleagueOf } from "@sba/testkit/fixtures";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { beforeAll, describe, expect, it } from "vitest";
import { schema } from "../schema.ts";
import { startWorkflowRun } from "../workflow-run/workflow-run.ts";
import { createWorkflow } from "../workflow/workflow.ts";
import { nodeKinds } from "./node.ts";

const database = useDatabase();
useBlobs();
const sink = useSink();
useSecretKey("a-secret-key-that-only-tests-know");

const NODE = "query ($id: ID!) { node(id: $id) { __typename id } }";
const signal = new AbortController().signal;

/** One of everything, of one tenant: its UUIDs by type. */
async function oneOfEach(caller: Caller): Promise<Record<string, string>> {
  await createBuiltInAgents(caller);
  const collection = await createCollection(caller, { name: "Handbook" });
  await ingest(caller, collection.id, [
    { title: "Leave", text: "Employees receive twenty five days of annual leave." },
  ]);
  const [hit] = await searchKnowledge(caller, { query: "annual leave", topK: 1 });
  const ingestion = await addDocuments(caller, {
    collectionId: collection.id,
    documents: [{ title: "B", text: "B." }],
  });
  const call = (name: string, params: unknown) =>
    callTool(caller, { id: newId(), tool: findTool(name)!, params }, { signal });
  const artifact = await call("document.render", { title: "T", markdown: "M" });
  const task = await call("task.create", { title: "T" });
  await call("memory.write", { key: "k", text: "T", scope: "TENANT" });
  const notes = await database().owner.query("SELECT id FROM agent.note WHERE tenant_id = $1", [caller.tenantId]);
  const Workflow = await createWorkflow(caller, {
    key: "ask",
    name: "Ask",
    steps: [{ key: "ask", kind: "approval", action: "Go" }],
  });
  const { rows } = await database().owner.query("SELECT id FROM agent.agent WHERE tenant_id = $1 LIMIT 1", [
    caller.tenantId,
  ]);
  const runId = await startRun(caller, { agentKey: "handbook", prompt: "Hello?" });
  const run = await getRun(caller, runId);
  const audit = await database().owner.query("SELECT id FROM platform.audit_entry WHERE tenant_id = $1 LIMIT 1", [
    caller.tenantId,
  ]);
  return {
    Member: caller.principalId,
    ApiKey: (await createApiKey(caller, { name: "Robot", roles: ["partner"] })).id,
    Session: (await createSession(caller, undefined)).sessionId,
    AuditEntry: (audit.rows[0] as { id: string }).id,
    AgentVersion: run.agentVersionId,
    Thread: run.threadId,
    ToolCall: task.id,
    WebhookEndpoint: await createWebhookEndpoint(caller, {
      ...{ name: "orders", url: sink.url(), honoursIdempotencyKeys: false },
    }),
    Tenant: caller.tenantId,
    Principal: caller.principalId,
    Collection: collection.id,
    Document: hit!.document.id,
    Chunk: hit!.chunk.id,
    Ingestion: ingestion.id,
    Agent: (await findAgents(caller, [(rows[0] as { id: string }).id]))[0]!.id,
    Run: runId,
    Artifact: artifact.id,
    Task: task.id,
    Budget: await setBudget(caller, { scope: "TENANT", period: "MONTH", limitMicros: 1_000_000_000n }),
    Note: (notes.rows[0] as { id: string }).id,
    Approval: await withTenant(caller, (tx) =>
      requestApproval(tx, caller, {
        action: "Go",
        params: {},
        definitionHash: "h",
        scope: [],
        requires: [],
        costEstimate: estimateCost([]),
      }),
    ),
    Workflow,
    WorkflowRun: await startWorkflowRun(caller, { workflowKey: "ask", input: {} }),
  };
}

let caller: Caller;
let stranger: Caller;
let ids: Record<string, string>;

beforeAll(async () => {
  caller = (await givenTenant()).owner;
  stranger = (await givenTenant()).owner;
  ids = await oneOfEach(caller);
});

describe.each(Object.entries(nodeKinds).map(([type, kind]) => [type as IdType, kind] as const))(
  "node(id) of a %s",
  (type, kind) => {
    const idOf = () => encodeId(type, ids[type]!);

    it("finds it", async () => {
      expect(await expectData(schema, caller, NODE, { id: idOf() })).toEqual({
        node: { __typename: type, id: idOf() },
      });
    });

    it("does not find it for another tenant, nor what does not exist", async () => {
      const refusals = [
        await expectRefusal(schema, stranger, NODE, { id: idOf() }),
        await expectRefusal(schema, caller, NODE, { id: encodeId(type, newId()) }),
      ];
      for (const refusal of refusals) expect(refusal).toMatchObject({ code: "NOT_FOUND", reason: "NODE_NOT_FOUND" });
    });

    it("takes the permission that reading it takes", async () => {
      const other = aColleagueOf(caller, []);
      if (type === "Tenant") {
        expect(await expectData(schema, other, NODE, { id: idOf() })).toMatchObject({ node: { __typename: "Tenant" } });
        return;
      }
      if (kind.permission === null) {
        // What has no permission is its principal's own: a colleague does not find it, whatever they may do.
        const refusal = await expectRefusal(schema, aColleagueOf(caller), NODE, { id: idOf() });
        expect(refusal).toMatchObject({ reason: "NODE_NOT_FOUND" });
        return;
      }
      expect(await expectRefusal(schema, other, NODE, { id: idOf() })).toMatchObject({
        code: "FORBIDDEN",
        reason: "PERMISSION_MISSING",
      });
      expect(await expectData(schema, aColleagueOf(caller, [kind.permission]), NODE, { id: idOf() })).toMatchObject({
        node: { id: idOf() },
      });
    });
  },
);

describe("node(id)", () => {
  it("finds oneself without a permission", async () => {
    const nobody = { ...caller, permissions: new Set<never>() };
    const id = encodeId("Principal", caller.principalId);
    expect(await expectData(schema, nobody, NODE, { id })).toEqual({ node: { __typename: "Principal", id } });
  });

  it("does not find what is no id, or the id of something that is no entity", async () => {
    for (const id of ["", "x", "run_zzz", encodeId("Step", newId()), encodeId("Message", newId())]) {
      expect(await expectRefusal(schema, caller, NODE, { id })).toMatchObject({ reason: "NODE_NOT_FOUND" });
    }
    expect(await expectRefusal(schema, undefined, NODE, { id: encodeId("Run", ids["Run"]!) })).toMatchObject({
      code: "UNAUTHENTICATED",
    });
  });

  it("reads our own entities in full", async () => {
    const source = "query ($id: ID!) { node(id: $id) { ... on WorkflowRun { status workflow { key } } } }";
    expect(await expectData(schema, caller, source, { id: encodeId("WorkflowRun", ids["WorkflowRun"]!) })).toEqual({
      node: { status: "CREATED", workflow: { key: "ask" } },
    });
  });

  it("asks once for many of a kind", async () => {
    const more = await Promise.all([1, 2].map(() => startRun(caller, { agentKey: "handbook", prompt: "Again?" })));
    const source = `query { ${[ids["Run"]!, ...more].map((id, index) => `n${index}: node(id: "${encodeId("Run", id)}") { id }`).join(" ")} }`;
    const { statements, result } = await countStatements(() => expectData(schema, caller, source));
    expect(Object.keys(result)).toHaveLength(3);
    // Wake-ups of what was started above may still be on their way.
    expect(statements.filter((statement) => !statement.includes("pg_notify"))).toEqual([
      expect.stringContaining("FROM agent.run"),
    ]);
  });

  it("is for types whose ids it can tell apart", () => {
    for (const type of Object.keys(nodeKinds)) expect(parseId(encodeId(type as IdType, newId()))?.type).toBe(type);
  });
});
