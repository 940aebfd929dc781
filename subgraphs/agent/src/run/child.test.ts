import { setBudget, subscribeToPlan } from "@sba/billing/index";
import { withTenant } from "@sba/platform/db";
import type { Caller } from "@sba/platform/caller";
import { encodeId } from "@sba/platform/ids";
import { aCaller, eventually } from "@sba/testkit/fixtures";
import { expectData } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { beforeEach, describe, expect, it } from "vitest";
import { inTurn, says, useScriptedModels, type Answer } from "../model/testing.ts";
import { schema } from "../schema.ts";
import { driveRun, journalOf } from "../testing.ts";
import { cancelOrphans, cancelRun } from "./cancel.ts";
import { pauseRun, resumeRun } from "./pause.ts";
import type { Run } from "./read.ts";
import { findChildrenOfRuns, getRun, startRun, type RunOptions } from "./run.ts";
import { anAgent, auditedRuns, calls, expectSoundRuns, holds, untilShown, workOn } from "./testing.ts";

const database = useDatabase();
const model = useScriptedModels().server;

let caller: Caller;
beforeEach(() => {
  caller = aCaller();
  model().received.length = 0;
});

interface Cast {
  /** What the model of the coordinator says, turn by turn. */
  readonly lead: Answer;
  readonly help: Answer;
  readonly helperTools?: readonly string[];
  readonly options?: RunOptions;
}

/** A coordinator and the helper that it may delegate to; both are told apart by their instructions. */
async function aCast({ lead, help, helperTools = [], options = {} }: Cast) {
  const helper = await anAgent(caller, { instructions: "You are the helper.", tools: helperTools });
  const leader = await anAgent(caller, { instructions: "You lead.", tools: ["agent.delegate", "task.create"] });
  model().answer = (response, request) =>
    (String(request.body.messages[0]!.content).startsWith("You lead") ? lead : help)(response, request);
  const runId = await startRun(caller, { agentKey: leader, prompt: "Plan the week.", options });
  return { helper, leader, runId };
}

/** As the model of a coordinator asks for it; the helper's key is known only afterwards. */
const delegates =
  (helper: () => string, ...tasks: readonly object[]): Answer =>
  (response, request) =>
    calls(...tasks.map((task) => ["agent.delegate", { agentKey: helper(), prompt: "Look it up.", ...task }] as const))(
      response,
      request,
    );

/** A coordinator that has delegated these tasks and waits. */
async function aRunThatDelegates(given: Partial<Cast> & { readonly tasks?: readonly object[] } = {}) {
  let key = "";
  const { tasks = [{}], ...cast } = given;
  const lead = inTurn(
    delegates(() => key, ...tasks),
    says("All done."),
  );
  const { runId, helper } = await aCast({ lead, help: says("Found it."), ...cast });
  key = helper;
  const parent = await driveRun(caller, runId);
  return { runId, helper, parent, children: await childrenOf(runId) };
}

const childrenOf = (runId: string): Promise<Run[]> => findChildrenOfRuns(caller, [runId]);

/** What the leader's model was told last. */
function lastTold(): unknown[] {
  const leads = model().received.filter(({ body }) => String(body.messages[0]!.content).startsWith("You lead"));
  return leads.at(-1)!.body.messages.map(({ content }) => content);
}

async function spentBy(runIds: readonly string[]): Promise<bigint> {
  const { rows } = await database().owner.query<{ micros: string }>(
    "SELECT coalesce(sum(amount_micros), 0)::text AS micros FROM billing.usage_record WHERE run_id = ANY($1)",
    [runIds],
  );
  return BigInt(rows[0]!.micros);
}

const WAITS = { status: "WAITING_TOOL", dueAt: null, leaseExpiresAt: null };

describe("a run that delegates work", () => {
  it("waits for it without being held, and is told the result", async () => {
    const { runId, parent, children, helper } = await aRunThatDelegates();
    expect(parent).toMatchObject({ ...WAITS, childCount: 1 });
    expect(children).toMatchObject([
      { agentKey: helper, prompt: "Look it up.", depth: 1, status: "CREATED", startedBy: caller.principalId },
    ]);
    await expectSoundRuns(database(), caller);
    await driveRun(caller, children[0]!.id);
    expect((await getRun(caller, runId)).dueAt).not.toBeNull();
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "All done." });
    const result = { runId: encodeId("Run", children[0]!.id), output: "Found it." };
    expect(JSON.parse(String(lastTold().at(-1)))).toEqual(result);
    const types = (await journalOf(caller, runId)).map(({ type }) => type.replace("agent.run.", ""));
    expect(types.filter((type) => type.startsWith("tool"))).toEqual(["toolRequested", "toolResulted"]);
    await expectSoundRuns(database(), caller);
  });

  it("has several done at once, and goes on when the last is back", async () => {
    const { runId, children } = await aRunThatDelegates({ tasks: [{ prompt: "One." }, { prompt: "Two." }] });
    expect(children.map(({ prompt }) => prompt)).toEqual(["One.", "Two."]);
    await driveRun(caller, children[1]!.id);
    expect(await driveRun(caller, runId)).toMatchObject({ ...WAITS });
    await driveRun(caller, children[0]!.id);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
  });

  it("is shown with its tree, and with what the tree cost", async () => {
    const { runId, children } = await aRunThatDelegates();
    await driveRun(caller, children[0]!.id);
    await driveRun(caller, runId);
    const document = `query ($id: ID!) { run(id: $id) { parent { id } children { id status parent { id } children { id } } } }`;
    const id = encodeId("Run", runId);
    const { run } = await expectData(schema, caller, document, { id });
    const child = { id: encodeId("Run", children[0]!.id), status: "COMPLETED", parent: { id }, children: [] };
    expect(run).toEqual({ parent: null, children: [child] });
    const { listRunUsage } = await import("@sba/billing/index");
    const usage = await listRunUsage(caller, [runId]);
    expect(usage.reduce((sum, { cost }) => sum + cost.amountMicros, 0n)).toBe(await spentBy([runId, children[0]!.id]));
    const after = await getRun(caller, runId);
    expect(after.spentMicros).toBe(await spentBy([runId]));
    expect(after.childrenMicros).toBe(await spentBy([children[0]!.id]));
  });

  it("is told of a failure and of a cancellation, and goes on", async () => {
    for (const [end, code] of [
      ["fails", "AGENT_RUN_STEPS_EXHAUSTED"],
      ["is cancelled", "AGENT_CHILD_RUN_CANCELLED"],
    ] as const) {
      const { runId, children } = await aRunThatDelegates();
      const childId = children[0]!.id;
      if (end === "fails")
        await database().owner.query(`UPDATE agent.run SET options = '{"maxSteps":0}' WHERE id = $1`, [childId]);
      else await cancelRun(caller, { runId: childId });
      expect((await driveRun(caller, childId)).endedAt).not.toBeNull();
      expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "All done." });
      const { error } = JSON.parse(String(lastTold().at(-1))) as { error: { code: string } };
      expect(error.code).toBe(code);
    }
  });

  it("is told what keeps work from being delegated: an unknown agent, too often, too deep", async () => {
    const unknown = await aRunThatDelegates({ tasks: [{ agentKey: "nobody" }] });
    expect(unknown).toMatchObject({ children: [], parent: { status: "COMPLETED" } });
    expect(String(lastTold().at(-1))).toContain("AGENT_AGENT_NOT_FOUND");
    const often = await aRunThatDelegates({ tasks: Array.from({ length: 11 }, () => ({})) });
    expect(often.children).toHaveLength(10);
    for (const { id } of often.children) await driveRun(caller, id);
    await driveRun(caller, often.runId);
    expect(JSON.stringify(lastTold())).toContain("AGENT_DELEGATION_TOO_MANY");
    let key = "";
    const { leader, runId } = await aCast({ lead: delegates(() => key, {}), help: says("unused") });
    key = leader;
    let deepest = runId;
    for (let depth = 0; depth < 3; depth++) {
      await driveRun(caller, deepest);
      const [child] = await childrenOf(deepest);
      expect(child).toMatchObject({ depth: depth + 1 });
      deepest = child!.id;
    }
    model().answer = inTurn(
      delegates(() => key, {}),
      says("Too deep."),
    );
    expect(await driveRun(caller, deepest)).toMatchObject({ status: "COMPLETED", output: "Too deep.", childCount: 0 });
    expect(JSON.stringify(model().received.at(-1)!.body.messages)).toContain("AGENT_DELEGATION_TOO_DEEP");
  });

  it("gives no tool that it does not have, and no permission, time or step more than it has", async () => {
    const { children, parent } = await aRunThatDelegates({
      helperTools: ["task.create", "document.render"],
      tasks: [{ maxSteps: 200, timeoutSeconds: 604_800 }],
      options: { maxSteps: 7, timeoutSeconds: 600, locale: "fr" },
    });
    const [child] = children;
    expect(Object.keys(child!.toolHashes as object)).toEqual(["task.create"]);
    expect(child!.permissions).toEqual(parent.permissions);
    const { maxSteps, timeoutSeconds, locale } = child!.options as RunOptions;
    expect({ maxSteps, locale }).toEqual({ maxSteps: 7, locale: "fr" });
    expect(timeoutSeconds).toBeLessThanOrEqual(600);
    model().answer = inTurn(calls(["document.render", { title: "x", markdown: "x" }]), says("Not allowed."));
    expect(await driveRun(caller, child!.id)).toMatchObject({ status: "COMPLETED" });
    const { tools, messages } = model().received.at(-1)!.body;
    expect(tools!.map((tool) => tool.function.name)).not.toContain("document_render");
    expect(JSON.stringify(messages)).toContain("AGENT_TOOL_NOT_ALLOWED");
  });

  it("goes on after a crash between the beginning of the work and its own commit, with the same run", async () => {
    const { runId, children } = await aRunThatDelegates();
    // As it was before that commit: the step is open, and somebody else takes it up.
    await database().owner.query("UPDATE agent.step SET ended_at = NULL WHERE run_id = $1 AND number = 2", [runId]);
    await database().owner.query("UPDATE agent.run SET due_at = now() WHERE id = $1", [runId]);
    await database().owner.query("DELETE FROM billing.usage_record WHERE key = $1", [children[0]!.id]);
    expect(await driveRun(caller, runId)).toMatchObject({ ...WAITS, childCount: 1 });
    expect(await childrenOf(runId)).toHaveLength(1);
    await driveRun(caller, children[0]!.id);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
  });

  it("that is paused lets the work go on, and takes its result when it goes on itself", async () => {
    const { runId, children } = await aRunThatDelegates();
    await pauseRun(caller, runId);
    expect(await driveRun(caller, children[0]!.id)).toMatchObject({ status: "COMPLETED" });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "PAUSED", dueAt: null });
    await resumeRun(caller, runId);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
  });

  it("holds one slot for all of it, and none when it has ended", async () => {
    const { runId, children } = await aRunThatDelegates({ tasks: [{}, {}] });
    const running = async (): Promise<number> => {
      const text = "SELECT running FROM billing.quota_use WHERE tenant_id = $1";
      return (await database().owner.query<{ running: number }>(text, [caller.tenantId])).rows[0]!.running;
    };
    expect(await running()).toBe(1);
    for (const { id } of children) await driveRun(caller, id);
    expect(await running()).toBe(1);
    await driveRun(caller, runId);
    expect(await running()).toBe(0);
    const { rows } = await database().owner.query(
      `SELECT u.tokens = sum(r.quantity) AS exact FROM billing.quota_use u JOIN billing.usage_record r USING (tenant_id)
       WHERE tenant_id = $1 AND r.meter IN ('model.inputTokens', 'model.outputTokens') GROUP BY u.tokens`,
      [caller.tenantId],
    );
    expect(rows).toEqual([{ exact: true }]);
  });
});

describe("the money of a tree", () => {
  /** A coordinator with a budget; what the helper says costs, so that it can use up what it is given. */
  const withBudget = (budgetMicros: string, task: object = {}) =>
    aRunThatDelegates({
      options: { budgetMicros },
      tasks: [task],
      help: says(...Array.from({ length: 50 }, () => "word ")),
    });

  it("is the coordinator's: what it lends it cannot spend, and what comes back it can", async () => {
    const { parent, children, runId } = await withBudget("1000000", { budgetMicros: 400_000 });
    expect(children[0]!.options).toMatchObject({ budgetMicros: "400000" });
    expect(parent.childrenMicros).toBe(400_000n);
    await driveRun(caller, children[0]!.id);
    const spent = await spentBy([children[0]!.id]);
    expect(await getRun(caller, runId)).toMatchObject({ childrenMicros: spent });
    await driveRun(caller, runId);
  });

  it("is lent by halves when nothing is said, and never more than there is", async () => {
    const half = await withBudget("1000000");
    const { spentMicros } = half.parent;
    const lent = BigInt((half.children[0]!.options as RunOptions).budgetMicros!);
    expect(lent).toBeLessThanOrEqual((1_000_000n - spentMicros) / 2n + 100n);
    expect(lent).toBeGreaterThan(400_000n);
    const all = await withBudget("1000000", { budgetMicros: 9_000_000 });
    const most = BigInt((all.children[0]!.options as RunOptions).budgetMicros!);
    expect(most + all.parent.spentMicros).toBeLessThanOrEqual(1_000_000n);
  });

  it("is held against a budget of each run as one", async () => {
    await setBudget(caller, { scope: "RUN", period: "RUN", limitMicros: 500_000n });
    const { parent, children } = await aRunThatDelegates({ tasks: [{ budgetMicros: 9_000_000 }] });
    const lent = BigInt((children[0]!.options as RunOptions).budgetMicros!);
    expect(lent + parent.spentMicros).toBeLessThanOrEqual(500_000n);
  });

  it("never exceeds the budget by one micro, whatever the tree does", async () => {
    for (const budget of ["2600", "4000", "6000", "9000", "20000"]) {
      const { runId, children } = await withBudget(budget, { budgetMicros: 9_000_000 });
      for (const { id } of children) await driveRun(caller, id);
      const run = await driveRun(caller, runId);
      expect(run.endedAt, budget).not.toBeNull();
      expect(await spentBy([runId, ...children.map(({ id }) => id)]), budget).toBeLessThanOrEqual(BigInt(budget));
    }
  });
});

describe("the end of a coordinator", () => {
  it("cancels what it delegated, all the way down, while that works", async () => {
    let key = "";
    const { leader, runId } = await aCast({ lead: delegates(() => key, {}), help: says("unused") });
    key = leader;
    await driveRun(caller, runId);
    const [child] = await childrenOf(runId);
    await driveRun(caller, child!.id);
    const [grandchild] = await childrenOf(child!.id);
    const turn = holds("Half ");
    model().answer = turn.answer;
    const worker = workOn(caller, grandchild!.id);
    await untilShown(caller, grandchild!.id, "Half ");
    await cancelRun(caller, { runId });
    await worker;
    expect(await getRun(caller, grandchild!.id)).toMatchObject({ status: "CANCELLED", output: "Half " });
    for (const id of [runId, child!.id]) expect(await driveRun(caller, id)).toMatchObject({ status: "CANCELLED" });
    // Only what somebody asked for.
    expect(await auditedRuns(database(), caller)).toMatchObject([{ target: encodeId("Run", runId) }]);
    await expectSoundRuns(database(), caller);
  });

  it("cancels what it delegated when its time is over", async () => {
    const { runId, parent, children } = await aRunThatDelegates({ options: { timeoutSeconds: 600 } });
    expect(parent.dueAt!.getTime()).toBeGreaterThanOrEqual(parent.createdAt.getTime() + 600_000);
    await database().owner.query(
      "UPDATE agent.run SET created_at = created_at - interval '10 minutes', due_at = now() WHERE id = $1",
      [runId],
    );
    expect(await driveRun(caller, runId)).toMatchObject({ status: "FAILED", errorCode: "AGENT_RUN_TIMED_OUT" });
    await eventually(async () => (await getRun(caller, children[0]!.id)).status === "CANCELLING");
    expect(await driveRun(caller, children[0]!.id)).toMatchObject({ status: "CANCELLED" });
  });

  it("is found by the schedule when whoever should have cancelled died", async () => {
    const { runId, children } = await aRunThatDelegates();
    await database().owner.query("UPDATE agent.run SET child_count = 0 WHERE id = $1", [runId]);
    await cancelRun(caller, { runId });
    await driveRun(caller, runId);
    expect(await getRun(caller, children[0]!.id)).toMatchObject({ status: "CREATED" });
    expect(await cancelOrphans()).toBe(1);
    expect(await driveRun(caller, children[0]!.id)).toMatchObject({ status: "CANCELLED" });
    expect(await cancelOrphans()).toBe(0);
  });
});

it("is asked nothing of by a run that delegates nothing", async () => {
  model().answer = says("Well.");
  const agentKey = await anAgent(caller);
  await withTenant(caller, (tx) => subscribeToPlan(tx, caller, "enterprise"));
  const runId = await startRun(caller, { agentKey, prompt: "Hello?" });
  const { statements } = await countStatements(() => driveRun(caller, runId));
  expect(statements.filter((text) => /parent_run_id|run_link|run_input\b/.test(text))).toEqual([]);
});
