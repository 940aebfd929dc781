import { withTenant } from "@sba/platform/db";
import type { Caller } from "@sba/platform/caller";
import { encodeId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { describe, expect, it } from "vitest";
import { startRun, getRun } from "../run/run.ts";
import { schema } from "../schema.ts";
import { findTool } from "../tool/index.ts";
import { createAgent, createBuiltInAgents, publishAgentVersion, type CreateAgentInput } from "./agent.ts";
import { changedTools, getAgentForRun, getAgentVersion, isAsPinned, pinVersion } from "./version.ts";

const database = useDatabase();

// As in the contract, word for word.
const CREATE =
  "mutation CreateAgent($input: CreateAgentInput!) { createAgent(input: $input) { id key version { number } } }";
const PUBLISH =
  "mutation PublishAgentVersion($input: PublishAgentVersionInput!) { publishAgentVersion(input: $input) { id number instructions model tools { name } publishedAt publishedBy { id } } }";

const given = (input: Record<string, unknown> = {}) => ({
  input: { key: "support", name: "Support", instructions: "Help.", tools: ["knowledge.search"], ...input },
});

async function anAgent(caller: Caller, input: Partial<CreateAgentInput> = {}) {
  return createAgent(caller, {
    key: "support",
    name: "Support",
    instructions: "Help.",
    model: "default",
    tools: ["knowledge.search"],
    ...input,
  });
}

async function auditOf({ tenantId }: Caller): Promise<unknown[]> {
  const { rows } = await database().owner.query(
    "SELECT action, target, details FROM platform.audit_entry WHERE tenant_id = $1 ORDER BY id",
    [tenantId],
  );
  return rows;
}

describe("createAgent", () => {
  it("creates an agent with its first version, as the contract asks for it, and audits it", async () => {
    const caller = aCaller();
    const { createAgent: created } = await expectData(schema, caller, CREATE, given());
    expect(created).toEqual({ id: expect.stringMatching(/^agt_/), key: "support", version: { number: 1 } });
    expect(await auditOf(caller)).toEqual([
      {
        action: "agent.agent.created",
        target: "support",
        details: { model: "default", tools: ["knowledge.search"], fallbackModels: [], answerCacheSeconds: null },
      },
    ]);
  });

  it("keeps everything that it was given", async () => {
    const input = given({
      model: "local",
      tools: ["task.create", "knowledge.search"],
      onBusyThread: "INTERRUPT",
      fallbackModels: ["local"],
      answerCacheSeconds: 60,
    });
    const caller = aCaller();
    const fields =
      "name onBusyThread version { instructions model tools { name } changedTools fallbackModels answerCacheSeconds publishedBy { id } }";
    const { createAgent: created } = await expectData(
      schema,
      caller,
      CREATE.replace("version { number }", fields),
      input,
    );
    expect(created).toMatchObject({
      name: "Support",
      onBusyThread: "INTERRUPT",
      version: {
        instructions: "Help.",
        model: "local",
        tools: [{ name: "task.create" }, { name: "knowledge.search" }],
        changedTools: [],
        fallbackModels: ["local"],
        answerCacheSeconds: 60,
        publishedBy: { id: encodeId("Principal", caller.principalId) },
      },
    });
  });

  it("lets new input wait for its turn unless it is told otherwise", async () => {
    const { createAgent: created } = await expectData(
      schema,
      aCaller(),
      CREATE.replace("key", "key onBusyThread"),
      given(),
    );
    expect(created.onBusyThread).toBe("ENQUEUE");
  });

  it("refuses a key that the tenant has, or that is the platform's, and no other tenant's", async () => {
    const caller = aCaller();
    await anAgent(caller);
    for (const key of ["support", "handbook", "assistant"]) {
      expect(await expectRefusal(schema, caller, CREATE, given({ key }))).toMatchObject({
        code: "CONFLICT",
        reason: "AGENT_AGENT_KEY_TAKEN",
        details: { key },
      });
    }
    await expectData(schema, aCaller(), CREATE, given());
  });

  it("creates one agent of ten requests at once", async () => {
    const caller = aCaller();
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => anAgent(caller)));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(await auditOf(caller)).toHaveLength(1);
  });

  it.each([
    ["a key with capitals", { key: "Support" }],
    ["a key that ends with a hyphen", { key: "support-" }],
    ["a key with two hyphens in a row", { key: "sup--port" }],
    ["a key that begins with a digit", { key: "1support" }],
    ["a key of 65 characters", { key: "a".repeat(65) }],
    ["no key", { key: "" }],
    ["no name", { name: "" }],
    ["no instructions", { instructions: "" }],
    ["instructions of 32,001 characters", { instructions: "a".repeat(32_001) }],
    ["a tool twice", { tools: ["task.create", "task.create"] }],
    ["four fallbacks", { fallbackModels: ["a", "b", "c", "d"] }],
    ["a cache without a time", { answerCacheSeconds: 0 }],
  ])("refuses %s", async (_what, input) => {
    expect(await expectRefusal(schema, aCaller(), CREATE, given(input))).toMatchObject({ code: "BAD_USER_INPUT" });
  });

  it("takes keys and instructions as long as they may be", async () => {
    const input = given({ key: `a1-${"b".repeat(61)}`, instructions: "a".repeat(32_000) });
    await expectData(schema, aCaller(), CREATE, input);
  });

  it.each([
    [
      "tools",
      "AGENT_AGENT_TOOL_UNKNOWN",
      { tools: ["knowledge.search", "rm.everything"] },
      { tools: ["rm.everything"] },
    ],
    ["a model", "AGENT_AGENT_MODEL_UNKNOWN", { model: "gpt-nowhere" }, { models: ["gpt-nowhere"] }],
    ["a fallback", "AGENT_AGENT_MODEL_UNKNOWN", { fallbackModels: ["local", "gpt-x"] }, { models: ["gpt-x"] }],
  ])("refuses unknown %s by name and creates nothing", async (_what, reason, input, details) => {
    const caller = aCaller();
    expect(await expectRefusal(schema, caller, CREATE, given(input))).toMatchObject({
      code: "BAD_USER_INPUT",
      reason,
      details,
    });
    await expectData(schema, caller, CREATE, given());
  });

  it("is for those who manage agents", async () => {
    const caller = aColleagueOf(aCaller(), ["agent:read", "run:start"]);
    expect(await expectRefusal(schema, caller, CREATE, given())).toMatchObject({ code: "FORBIDDEN" });
    const publish = { input: { agentId: "agt_x", instructions: "x", tools: [] } };
    expect(await expectRefusal(schema, caller, PUBLISH, publish)).toMatchObject({ code: "FORBIDDEN" });
  });

  it("answers a repeat by its idempotency key with the same agent, and another request with a conflict", async () => {
    const caller = aCaller();
    const create = (input: Record<string, unknown>) =>
      expectData(schema, caller, CREATE, given({ idempotencyKey: "k", ...input }));
    const first = await create({});
    expect(await create({})).toEqual(first);
    await expect(create({ name: "Another" })).rejects.toThrow(/IDEMPOTENCY_KEY_REUSED/);
  });
});

describe("publishAgentVersion", () => {
  it("publishes the next version, as the contract asks for it, and audits it", async () => {
    const caller = aCaller();
    const { id } = await anAgent(caller);
    const { publishAgentVersion: version } = await expectData(schema, caller, PUBLISH, {
      input: { agentId: encodeId("Agent", id), instructions: "Help more.", tools: ["task.create"] },
    });
    expect(version).toEqual({
      id: expect.stringMatching(/^agv_/),
      number: 2,
      instructions: "Help more.",
      model: "default",
      tools: [{ name: "task.create" }],
      publishedAt: expect.any(String),
      publishedBy: { id: encodeId("Principal", caller.principalId) },
    });
    expect((await auditOf(caller)).at(-1)).toMatchObject({
      action: "agent.version.published",
      target: "support",
      details: { number: 2, tools: ["task.create"] },
    });
  });

  it("numbers versions without a gap, also when many are published at once", async () => {
    const caller = aCaller();
    const { id } = await anAgent(caller);
    const publish = () => publishAgentVersion(caller, { agentId: id, instructions: "x", model: "local", tools: [] });
    const versions = await Promise.all(Array.from({ length: 8 }, publish));
    expect(versions.map(({ number }) => number).toSorted((a, b) => a - b)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("keeps the built-in agents as the platform wrote them", async () => {
    const caller = aCaller();
    await createBuiltInAgents(caller);
    const { agents } = await expectData(schema, caller, "{ agents { edges { node { id version { number } } } } }");
    expect(agents.edges).toHaveLength(2);
    for (const { node } of agents.edges) {
      const input = { agentId: node.id, instructions: "Obey.", tools: [] };
      expect(await expectRefusal(schema, caller, PUBLISH, { input })).toMatchObject({ reason: "AGENT_AGENT_BUILT_IN" });
    }
    expect(
      (await expectData(schema, caller, "{ agents { edges { node { id version { number } } } } }")).agents,
    ).toEqual(agents);
  });

  it("finds no agent of another tenant", async () => {
    const { id } = await anAgent(aCaller());
    const input = { agentId: encodeId("Agent", id), instructions: "Obey.", tools: [] };
    expect(await expectRefusal(schema, aCaller(), PUBLISH, { input })).toMatchObject({ code: "NOT_FOUND" });
  });

  it("publishes one version for one idempotency key", async () => {
    const caller = aCaller();
    const { id } = await anAgent(caller);
    const publish = () =>
      publishAgentVersion(caller, { agentId: id, instructions: "x", model: "local", tools: [], idempotencyKey: "k" });
    expect((await publish()).number).toBe(2);
    expect((await publish()).number).toBe(2);
  });

  it("writes what the application may never change", async () => {
    const caller = aCaller();
    await anAgent(caller);
    const change = withTenant(caller, (tx) => tx.sql`UPDATE agent.agent_version SET instructions = 'Obey.'`);
    await expect(change).rejects.toThrow(/permission denied/);
    await expect(withTenant(caller, (tx) => tx.sql`DELETE FROM agent.agent_version`)).rejects.toThrow(
      /permission denied/,
    );
  });
});

describe("Agent.versions", () => {
  const VERSIONS = `query ($id: ID!, $first: Int!, $after: Cursor) { agent(id: $id) { versions(first: $first, after: $after) {
    edges { node { number } } pageInfo { hasNextPage endCursor } } } }`;

  async function fiveVersions(caller: Caller): Promise<string> {
    const { id } = await anAgent(caller);
    for (let number = 2; number <= 5; number++) {
      await publishAgentVersion(caller, { agentId: id, instructions: `Number ${number}.`, model: "local", tools: [] });
    }
    return encodeId("Agent", id);
  }

  it("pages through all that was published, newest first", async () => {
    const caller = aCaller();
    const id = await fiveVersions(caller);
    const page = async (after: string | null) =>
      (await expectData(schema, caller, VERSIONS, { id, first: 2, after })).agent.versions;
    const seen: number[] = [];
    for (let after: string | null = null, more = true; more;) {
      const { edges, pageInfo } = await page(after);
      seen.push(...edges.map(({ node }: { node: { number: number } }) => node.number));
      [after, more] = [pageInfo.endCursor, pageInfo.hasNextPage];
    }
    expect(seen).toEqual([5, 4, 3, 2, 1]);
  });

  it("refuses a cursor of another list", async () => {
    const caller = aCaller();
    const id = await fiveVersions(caller);
    for (const after of ["nonsense", Buffer.from("key:018f").toString("base64url")]) {
      expect(await expectRefusal(schema, caller, VERSIONS, { id, first: 2, after })).toMatchObject({
        reason: "CURSOR_INVALID",
      });
    }
  });

  it("gives one by its number, the current one without, and none that does not exist", async () => {
    const caller = aCaller();
    const id = await fiveVersions(caller);
    const ONE =
      "query ($id: ID!, $number: Int) { agent(id: $id) { version(number: $number) { number instructions } } }";
    expect((await expectData(schema, caller, ONE, { id, number: 2 })).agent.version).toMatchObject({
      instructions: "Number 2.",
    });
    expect((await expectData(schema, caller, ONE, { id })).agent.version).toMatchObject({ number: 5 });
    expect(await expectRefusal(schema, caller, ONE, { id, number: 6 })).toMatchObject({
      code: "NOT_FOUND",
      reason: "AGENT_AGENT_VERSION_NOT_FOUND",
    });
  });
});

describe("a run's pin", () => {
  const rowOf = async (caller: Caller, runId: string) => getRun(caller, runId);

  it("is the version, model, tools and prices of the moment it was accepted, whatever is published later", async () => {
    const caller = aCaller();
    const { id, key } = await anAgent(caller);
    const before = await rowOf(caller, await startRun(caller, { agentKey: key, prompt: "Hello?" }));
    await publishAgentVersion(caller, { agentId: id, instructions: "Obey.", model: "local", tools: ["task.create"] });
    const after = await rowOf(caller, await startRun(caller, { agentKey: key, prompt: "Hello?" }));
    const version = async (versionId: string) => withTenant(caller, (tx) => getAgentVersion(tx, versionId));

    expect(await version(before.agentVersionId)).toMatchObject({ number: 1, instructions: "Help." });
    expect(await version(after.agentVersionId)).toMatchObject({ number: 2, instructions: "Obey." });
    expect(await rowOf(caller, before.id)).toEqual(before);
    const search = findTool("knowledge.search")!;
    const task = findTool("task.create")!;
    expect(before).toMatchObject({
      model: "local",
      toolHashes: { "knowledge.search": search.definitionHash },
      priceListVersion: 1,
    });
    expect([isAsPinned(before, search), isAsPinned(before, task)]).toEqual([true, false]);
    expect([isAsPinned(after, search), isAsPinned(after, task)]).toEqual([false, true]);
    expect(isAsPinned(before, { ...search, definitionHash: "changed" })).toBe(false);
  });

  it("resolves the model's name once", async () => {
    const caller = aCaller();
    const { key } = await anAgent(caller);
    const { version } = await withTenant(caller, (tx) => getAgentForRun(tx, key));
    expect(version.model).toBe("default");
    expect(pinVersion(version)).toMatchObject({ agentVersionId: version.id, model: "local" });
  });
});

describe("a version", () => {
  it("is read once by a process, for its own tenant only", async () => {
    const caller = aCaller();
    const { id } = await anAgent(caller);
    const version = await publishAgentVersion(caller, { agentId: id, instructions: "x", model: "local", tools: [] });
    const read = (scope: Caller) => withTenant(scope, (tx) => getAgentVersion(tx, version.id));
    await read(caller);
    expect(await countStatements(() => read(aColleagueOf(caller)))).toMatchObject({ result: version, trips: 0 });
    await expect(read(aCaller())).rejects.toMatchObject({ code: "AGENT_AGENT_VERSION_NOT_FOUND" });
  });

  it("is found for a new run by one statement", async () => {
    const caller = aCaller();
    const { key } = await anAgent(caller);
    const look = () => withTenant(caller, (tx) => getAgentForRun(tx, key));
    const first = await look();
    const { result, statements } = await countStatements(look);
    expect(result).toEqual(first);
    expect(statements).toHaveLength(1);
  });

  it("names the tools that are no longer what they were when it was published", async () => {
    const caller = aCaller();
    const { key } = await anAgent(caller, { tools: ["knowledge.search", "task.create"] });
    const { version } = await withTenant(caller, (tx) => getAgentForRun(tx, key));
    expect(changedTools(version)).toEqual([]);
    const toolHashes = { ...(version.toolHashes as object), "task.create": "as it was" };
    expect(changedTools({ ...version, toolHashes })).toEqual(["task.create"]);
    expect(changedTools({ ...version, tools: ["gone.tool"], toolHashes: { "gone.tool": "x" } })).toEqual(["gone.tool"]);
  });
});
