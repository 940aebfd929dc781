import { getToolCall } from "@sba/integrations/index";
import { closeDatabase, connectDatabase, withTenant } from "@sba/platform/db";
import { openEgress } from "@sba/platform/egress";
import { encodeId } from "@sba/platform/ids";
import { logger } from "@sba/platform/log";
import { closeReaders } from "@sba/platform/reader";
import type { Caller } from "@sba/platform/caller";
import { loadConfig } from "@sba/platform/config";
import { aCaller, aColleagueOf, eventually } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createBuiltInAgents } from "../agent/agent.ts";
import { useModels } from "../model/index.ts";
import { openChunks, startScriptedServer, type ScriptedServer } from "../model/testing.ts";
import { advanceRun } from "../run/advance.ts";
import { cancelRun } from "../run/cancel.ts";
import { getRun, startRun } from "../run/run.ts";
import { driveRun, journalOf } from "../testing.ts";
import { findApprovalsOfRuns, fingerprintOf, listApprovals, type Approval } from "./approval.ts";
import { aRunThatAsks, auditOfApproval, changesOf, decide, reread } from "./testing.ts";

const database = useDatabase();

async function waiting() {
  const caller = aCaller();
  return { caller, approver: aColleagueOf(caller), ...(await aRunThatAsks(caller)) };
}

async function tasksOf(caller: Caller): Promise<string[]> {
  const { rows } = await database().owner.query<{ title: string }>(
    "SELECT title FROM agent.task WHERE tenant_id = $1 ORDER BY title",
    [caller.tenantId],
  );
  return rows.map(({ title }) => title);
}

async function typesOf(caller: Caller, runId: string): Promise<string[]> {
  return (await journalOf(caller, runId)).map(({ type }) => type.replace("agent.run.", ""));
}

async function statusesOf(caller: Caller, runId: string): Promise<unknown[]> {
  const journal = await journalOf(caller, runId);
  return journal.flatMap(({ type, payload }) => (type === "agent.run.statusChanged" ? [payload["to"]] : []));
}

describe("an approval", () => {
  it("holds the run, nothing else, until it is given; then the call runs once", async () => {
    const { caller, approver, runId, approval } = await waiting();
    expect(approval).toMatchObject({ status: "PENDING", action: "task.create", version: 1, expiresAt: null });
    const { rows: held } = await database().owner.query(
      "SELECT due_at, lease_expires_at FROM agent.run WHERE id = $1",
      [runId],
    );
    expect(held).toEqual([{ due_at: null, lease_expires_at: null }]);
    expect(await tasksOf(caller)).toEqual([]);
    await decide(approver, approval, "APPROVED", { reason: "fine" });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await tasksOf(caller)).toHaveLength(1);
    const types = await typesOf(caller, runId);
    expect(types.indexOf("toolRequested")).toBeLessThan(types.indexOf("approvalRequested"));
    expect(types.indexOf("approvalDecided")).toBeLessThan(types.indexOf("toolResulted"));
    expect(types.filter((type) => type === "approvalDecided")).toHaveLength(1);
  });

  it("that is denied is a result that the model sees, and the tool is not called", async () => {
    const { caller, approver, runId, approval } = await waiting();
    await decide(approver, approval, "DENIED", { reason: "not now" });
    const run = await driveRun(caller, runId);
    expect(run.status).toBe("COMPLETED");
    expect(run.output).toContain("not now");
    expect(await tasksOf(caller)).toEqual([]);
    const resulted = (await journalOf(caller, runId)).find(({ type }) => type === "agent.run.toolResulted");
    expect(resulted).toMatchObject({ payload: { toolCall: { name: "task.create", success: false } } });
  });

  it("is cancelled with its run and cannot be decided then", async () => {
    const { caller, approver, runId, approval } = await waiting();
    await cancelRun(caller, { runId });
    await expect(decide(approver, approval, "APPROVED")).rejects.toMatchObject({
      code: "AGENT_APPROVAL_ALREADY_DECIDED",
      kind: "conflict",
      details: { status: "CANCELLED", version: 2 },
    });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "CANCELLED" });
    expect(await changesOf(database().owner, approval)).toEqual(["REQUESTED", "CANCELLED"]);
  });

  it("is listed in the tenant's inbox by status, as soon as it is decided", async () => {
    const { caller, approver, approval } = await waiting();
    const pending = await listApprovals(caller, { first: 10 }, { status: ["PENDING"] });
    expect(pending.items.map(({ id }) => id)).toEqual([approval.id]);
    expect((await listApprovals(aCaller(), { first: 10 })).items).toEqual([]);
    await decide(approver, approval, "APPROVED");
    expect((await listApprovals(caller, { first: 10 }, { status: ["PENDING"] })).items).toEqual([]);
    expect((await listApprovals(caller, { first: 10 }, { status: ["APPROVED"] })).items).toHaveLength(1);
  });

  it("still works after a week and in another process", async () => {
    const { caller, approver, runId, approval } = await waiting();
    for (const [table, column] of [
      ["agent.approval", "created_at"],
      ["agent.run", "created_at"],
      ["agent.run", "started_at"],
      ["agent.step", "started_at"],
      ["integrations.tool_call", "requested_at"],
    ]) {
      await database().owner.query(
        `UPDATE ${table} SET ${column} = ${column} - interval '8 days' WHERE tenant_id = $1`,
        [caller.tenantId],
      );
    }
    closeReaders();
    await closeDatabase();
    connectDatabase({ app: database().urls.app, system: database().urls.system });
    await decide(approver, approval, "APPROVED");
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await tasksOf(caller)).toHaveLength(1);
  });
});

describe("what was approved", () => {
  /** Changes the row so that it says what a person approved at another time, of something else. */
  async function approvedOther(approval: Approval, other: Partial<Approval>): Promise<void> {
    const was = { ...approval, ...other };
    await database().owner.query(
      `UPDATE agent.approval SET params = $2, definition_hash = $3, cost_estimate_micros = $4, fingerprint = $5 WHERE id = $1`,
      [approval.id, was.params, was.definitionHash, was.costEstimateMicros, fingerprintOf(was)],
    );
    await database().owner.query("UPDATE integrations.tool_call SET definition_hash = $2 WHERE id = $1", [
      approval.toolCallId,
      was.definitionHash,
    ]);
  }

  it.each([
    ["the params", { params: { title: "Something else" } }],
    ["the tool's definition", { definitionHash: "of ten deployments ago" }],
    ["the cost", { costEstimateMicros: 1n }],
    ["the target", { toolCallId: "0197a000-0000-7000-8000-00000000dead" }],
  ])("is asked again, and does not run, when %s drifted", async (_what, other) => {
    const { caller, approver, runId, approval } = await waiting();
    await decide(approver, approval, "APPROVED");
    await approvedOther(approval, other);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL" });
    expect(await tasksOf(caller)).toEqual([]);
    const [old, again] = await findApprovalsOfRuns(caller, [runId]);
    expect(old).toMatchObject({ id: approval.id, status: "SUPERSEDED", supersededBy: again!.id });
    expect(again).toMatchObject({ status: "PENDING", fingerprint: approval.fingerprint, params: approval.params });
    const { owner } = database();
    expect(await changesOf(owner, approval)).toEqual(["REQUESTED", "DECIDED", "SUPERSEDED"]);
    expect(await changesOf(owner, again!)).toEqual(["REQUESTED"]);
    expect((await auditOfApproval(owner, encodeId("Approval", approval.id))).map(({ action }) => action)).toEqual([
      "agent.approval.decided",
      "agent.approval.superseded",
    ]);
    await expect(decide(approver, old!, "APPROVED")).rejects.toMatchObject({
      code: "AGENT_APPROVAL_ALREADY_DECIDED",
      details: { status: "SUPERSEDED", supersededBy: encodeId("Approval", again!.id) },
    });
    await decide(approver, again!, "APPROVED");
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await tasksOf(caller)).toHaveLength(1);
  });

  it("is what runs: params that changed behind it are asked about, and run only then", async () => {
    const { caller, approver, runId, approval } = await waiting();
    await decide(approver, approval, "APPROVED");
    await database().owner.query(
      `UPDATE integrations.tool_call SET params = '{"title":"Something else"}' WHERE id = $1`,
      [approval.toolCallId],
    );
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL" });
    const again = (await findApprovalsOfRuns(caller, [runId])).at(-1)!;
    expect(again).toMatchObject({ status: "PENDING", params: { title: "Something else" } });
    expect(again.fingerprint).not.toBe(approval.fingerprint);
    await decide(approver, again, "DENIED");
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await tasksOf(caller)).toEqual([]);
    const approvals = await findApprovalsOfRuns(caller, [runId]);
    expect(approvals.map(({ status }) => status)).toEqual(["SUPERSEDED", "DENIED"]);
  });

  it("is held against the call again when a worker was lost in the middle of it", async () => {
    const { caller, approver, runId, approval } = await waiting();
    await decide(approver, approval, "APPROVED");
    const { owner } = database();
    // The tool waits for this lock; its worker is told to stop, and the step is left to the next.
    await owner.query("BEGIN; LOCK TABLE agent.task IN ACCESS EXCLUSIVE MODE");
    const drain = new AbortController();
    const attempt = advanceRun(caller, { runId }, { signal: drain.signal, log: logger });
    await eventually(async () => (await typesOf(caller, runId)).filter((type) => type === "stepStarted").length === 2);
    drain.abort();
    await attempt;
    await owner.query("ROLLBACK");
    await owner.query(`UPDATE integrations.tool_call SET params = '{"title":"Something else"}' WHERE id = $1`, [
      approval.toolCallId,
    ]);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL" });
    const types = await typesOf(caller, runId);
    expect(types.slice(types.indexOf("stepRestarted"))).toEqual([
      "stepRestarted",
      "stepFinished",
      "approvalDecided",
      "approvalRequested",
      "statusChanged",
    ]);
    const again = (await findApprovalsOfRuns(caller, [runId])).at(-1)!;
    await decide(approver, again, "APPROVED");
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
  });
});

describe("several calls of one turn", () => {
  let server: ScriptedServer;
  let closeEgress: () => Promise<void>;
  let answers: ((chunks: ReturnType<typeof openChunks>) => void)[] = [];
  beforeAll(async () => {
    server = await startScriptedServer((response) => {
      const chunks = openChunks(response);
      answers.shift()!(chunks);
    });
    closeEgress = openEgress({ allowedHosts: [], trustedUrls: [server.url] });
    useModels({ ...loadConfig({}), OPENAI_API_KEY: "sk-test", OPENAI_BASE_URL: server.url, OPENAI_MODEL: "gpt-test" });
  });
  afterAll(async () => {
    useModels(loadConfig({}));
    await closeEgress();
    await server.close();
  });

  const usage = { prompt_tokens: 10, completion_tokens: 5 };
  const call = (name: string, params: object) => ({ name, params });

  /** Starts a run whose model asks for these calls in its first turn, and then is done. */
  async function aRunThatCalls(caller: Caller, calls: readonly ReturnType<typeof call>[]): Promise<string> {
    await createBuiltInAgents(caller);
    answers = [
      (chunks) => {
        for (const [index, { name, params }] of calls.entries())
          chunks.call(index, `call_${index}`, name.replaceAll(".", "__"), [JSON.stringify(params)]);
        chunks.end("tool_calls", usage);
      },
      (chunks) => {
        chunks.text("Done.");
        chunks.end("stop", usage);
      },
    ];
    return startRun(caller, { agentKey: "assistant", prompt: "Do it" });
  }

  it("are decided independently and in any order", async () => {
    const caller = aCaller();
    const approver = aColleagueOf(caller);
    const titles = ["first", "second", "third"];
    const runId = await aRunThatCalls(
      caller,
      titles.map((title) => call("task.create", { title })),
    );
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL" });
    const [first, second, third] = await findApprovalsOfRuns(caller, [runId]);
    await decide(approver, third!, "APPROVED");
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL" });
    expect(await tasksOf(caller)).toEqual(["third"]);
    await decide(approver, second!, "DENIED");
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL" });
    expect(await reread(caller, first!.id)).toMatchObject({ status: "PENDING" });
    await decide(approver, first!, "APPROVED");
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(await tasksOf(caller)).toEqual(["first", "third"]);
  });

  it("may be decided before the run comes to wait: the decision is kept, and used once", async () => {
    const caller = aCaller();
    const runId = await aRunThatCalls(caller, [
      call("knowledge.search", { query: "leases" }),
      call("task.create", { title: "Renew the lease" }),
    ]);
    const { owner } = database();
    // The look-up waits for this lock, so that the run is still at its first call when the second is decided.
    await owner.query("BEGIN; LOCK TABLE knowledge.document IN ACCESS EXCLUSIVE MODE");
    const driven = driveRun(caller, runId);
    const approval = await eventually(async () => (await findApprovalsOfRuns(caller, [runId]))[0]);
    expect(await getRun(caller, runId)).toMatchObject({ status: "WAITING_TOOL" });
    await decide(aColleagueOf(caller), approval, "APPROVED");
    expect(await tasksOf(caller)).toEqual([]);
    await owner.query("ROLLBACK");
    expect(await driven).toMatchObject({ status: "COMPLETED" });
    expect(await statusesOf(caller, runId)).not.toContain("AWAITING_APPROVAL");
    expect(await tasksOf(caller)).toEqual(["Renew the lease"]);
    const made = await withTenant(caller, (tx) => getToolCall(tx, caller, approval.toolCallId!));
    expect(made).toMatchObject({ status: "SUCCEEDED" });
  });
});
