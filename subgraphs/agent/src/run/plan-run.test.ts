import { setBudget } from "@sba/billing/index";
import { givenCollection } from "@sba/knowledge/testing";
import type { Caller } from "@sba/platform/caller";
import { encodeId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { createAgent, createBuiltInAgents } from "../agent/agent.ts";
import { setApprovalPolicy } from "../approval/policy.ts";
import { inTurn, openChunks, refuses, says, useScriptedModels, type Answer } from "../model/testing.ts";
import { schema } from "../schema.ts";
import { driveRun, journalOf } from "../testing.ts";
import { executeRun, planRun as planWith, type PlanRunInput } from "./plan-run.ts";
import { planOf } from "./plan.ts";
import { cancelRun } from "./cancel.ts";
import { getRun, listRuns, startRun } from "./run.ts";

const database = useDatabase();
useBlobs();
const { server } = useScriptedModels();

const PROMPT = "What about annual leave?";
const { signal } = new AbortController();
const planRun = (caller: Caller, input: Partial<PlanRunInput> = {}) =>
  planWith(caller, { agentKey: "handbook", prompt: PROMPT, signal, ...input });

/** With the built-in model, and an agent `clerk` of a scripted one. */
async function aTenant(): Promise<Caller> {
  const caller = aCaller();
  await createBuiltInAgents(caller);
  await givenCollection(caller, [{ title: "Leave", text: "Employees receive twenty five days of annual leave." }]);
  const tools = ["knowledge.search", "document.render"];
  await createAgent(caller, { key: "reader", name: "R", instructions: "Look it up.", model: "local", tools });
  await createAgent(caller, {
    key: "clerk",
    name: "C",
    instructions: "Help.",
    model: "gpt-4.1",
    tools: ["task.create"],
  });
  return caller;
}
const reader = { agentKey: "reader" };
const clerk = { agentKey: "clerk", prompt: "Remind Ada of the lease" };

const submits =
  (params: unknown, name = "submit_plan"): Answer =>
  (response) => {
    const chunks = openChunks(response);
    chunks.call(0, "p", name, [JSON.stringify(params)]);
    chunks.end("tool_calls", { prompt_tokens: 100, completion_tokens: 20 });
  };
const TASK_PLAN = submits({ steps: [{ title: "Write it down", tool: "task.create" }, { title: "Say so" }] });

const statuses = async (caller: Caller, runId: string) =>
  (await journalOf(caller, runId))
    .filter(({ type }) => type === "agent.run.statusChanged")
    .map(({ payload }) => payload["to"]);

describe("a planned run", () => {
  it("rests with its plan and its cost, and nothing has happened", async () => {
    const caller = await aTenant();
    server().answer = TASK_PLAN;
    const runId = await planRun(caller, clerk);
    const run = await getRun(caller, runId);
    expect(run).toMatchObject({ status: "PLANNING", leaseExpiresAt: null, stepNumber: 0, startedAt: null });
    const { steps, expiresAt } = planOf(run)!;
    // A turn that reads 100 tokens, then 600 more, and writes 250, at 2 and 8 micros a token; a call at 500.
    expect(steps).toEqual([
      {
        title: "Write it down",
        tool: "task.create",
        estimatedCost: { amountMicros: String(100 * 2 + 250 * 8 + 500), currency: "USD" },
        requiresApproval: true,
      },
      {
        title: "Say so",
        tool: null,
        estimatedCost: { amountMicros: String(700 * 2 + 250 * 8), currency: "USD" },
        requiresApproval: false,
      },
    ]);
    expect(run.dueAt).toEqual(new Date(expiresAt));
    expect(await driveRun(caller, runId)).toMatchObject({ status: "PLANNING", fence: 0 });
    const { rows } = await database().owner.query(
      "SELECT (SELECT count(*) FROM integrations.tool_call WHERE run_id = $1)::int AS calls, (SELECT count(*) FROM agent.step WHERE run_id = $1)::int AS steps",
      [runId],
    );
    expect(rows).toEqual([{ calls: 0, steps: 0 }]);
  });

  it("charges its planning turn, as readers and the run are told", async () => {
    const caller = await aTenant();
    server().answer = TASK_PLAN;
    const run = await getRun(caller, await planRun(caller, clerk));
    const { rows } = await database().owner.query(
      "SELECT key, meter, model, quantity::int, amount_micros::int AS micros FROM billing.usage_record WHERE run_id = $1 ORDER BY key, meter",
      [run.id],
    );
    expect(rows).toEqual([
      { key: `run:${run.id}`, meter: "run.started", model: null, quantity: 1, micros: 1000 },
      { key: `run:${run.id}:plan:1`, meter: "model.inputTokens", model: "gpt-4.1", quantity: 100, micros: 200 },
      { key: `run:${run.id}:plan:1`, meter: "model.outputTokens", model: "gpt-4.1", quantity: 20, micros: 160 },
    ]);
    expect(run.spentMicros).toBe(1360n);
    const journal = await journalOf(caller, run.id);
    expect(journal.map(({ type }) => type.slice("agent.run.".length))).toEqual([
      "statusChanged",
      "usageRecorded",
      "statusChanged",
      "usageRecorded",
    ]);
    expect(await statuses(caller, run.id)).toEqual(["CREATED", "PLANNING"]);
  });

  it("is executed by the ordinary loop, with the plan before the model's eyes", async () => {
    const caller = await aTenant();
    server().answer = inTurn(TASK_PLAN, says("Done."));
    const runId = await planRun(caller, clerk);
    await executeRun(caller, { runId });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Done." });
    expect(await statuses(caller, runId)).toEqual(["CREATED", "PLANNING", "EXECUTING", "COMPLETED"]);
    const [planning, turn] = server().received.map(({ body }) => JSON.stringify(body.messages[0]));
    expect(planning).toContain("- task.create: Creates a task");
    expect(turn).toContain("1. Write it down (task.create)\\n2. Say so");
    const { rows } = await database().owner.query(
      "SELECT principal_id, target FROM platform.audit_entry WHERE tenant_id = $1 AND action = 'agent.run.executed'",
      [caller.tenantId],
    );
    expect(rows).toEqual([{ principal_id: caller.principalId, target: encodeId("Run", runId) }]);
  });

  it("is planned and executed by the built-in model", async () => {
    const caller = await aTenant();
    const runId = await planRun(caller, reader);
    const { steps } = planOf(await getRun(caller, runId))!;
    expect(steps.map(({ tool }) => tool)).toEqual(["knowledge.search", null, "document.render"]);
    await executeRun(caller, { runId });
    const run = await driveRun(caller, runId);
    expect(run).toMatchObject({ status: "COMPLETED" });
    expect(run.output).toContain("twenty five days of annual leave [1]");
  });

  it("is executed once, whoever asks at the same moment", async () => {
    const caller = await aTenant();
    for (let trial = 0; trial < 20; trial++) {
      const runId = await planRun(caller, reader);
      const callers = [caller, aColleagueOf(caller), caller];
      const outcomes = await Promise.allSettled(callers.map((each) => executeRun(each, { runId })));
      expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      for (const outcome of outcomes) {
        if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "AGENT_RUN_NOT_PLANNED" });
      }
      expect(await statuses(caller, runId)).toEqual(["CREATED", "PLANNING", "EXECUTING"]);
    }
  });

  it("ends cancelled when it is cancelled while somebody has it executed, and is never executed after that", async () => {
    const caller = await aTenant();
    for (let trial = 0; trial < 20; trial++) {
      const runId = await planRun(caller, reader);
      const both = [() => executeRun(caller, { runId }), () => cancelRun(caller, { runId })];
      const [first, second] = trial % 2 === 0 ? both : both.toReversed();
      await Promise.allSettled([first!(), second!()]);
      expect(await driveRun(caller, runId)).toMatchObject({ status: "CANCELLED" });
      const moves = await statuses(caller, runId);
      expect(moves.filter((to) => to === "EXECUTING").length).toBeLessThanOrEqual(1);
      expect(moves.slice(-2)).toEqual(["CANCELLING", "CANCELLED"]);
      await expect(executeRun(caller, { runId })).rejects.toMatchObject({
        code: "AGENT_RUN_NOT_PLANNED",
        details: { status: "CANCELLED" },
      });
    }
  });

  it("ends when nobody has it executed before it expires, and not a moment earlier", async () => {
    const caller = await aTenant();
    const runId = await planRun(caller, reader);
    const rest = () => database().owner.query("UPDATE agent.run SET due_at = now() WHERE id = $1", [runId]);
    await rest();
    const { expiresAt } = planOf(await getRun(caller, runId))!;
    const resting = await driveRun(caller, runId);
    expect(resting).toMatchObject({ status: "PLANNING", leaseExpiresAt: null });
    expect(resting.dueAt!.getTime()).toBeGreaterThan(Date.parse(expiresAt) - 60_000);
    await database().owner.query(
      "UPDATE agent.run SET plan = jsonb_set(plan, '{expiresAt}', to_jsonb(now()::text)) WHERE id = $1",
      [runId],
    );
    await rest();
    expect(await driveRun(caller, runId)).toMatchObject({ status: "FAILED", errorCode: "AGENT_PLAN_EXPIRED" });
    await expect(executeRun(caller, { runId })).rejects.toMatchObject({ code: "AGENT_RUN_NOT_PLANNED" });
    expect((await journalOf(caller, runId)).at(-1)).toMatchObject({ type: "agent.run.failed" });
  });

  it("is the same run for the same idempotency key, planned and charged once", async () => {
    const caller = await aTenant();
    server().answer = TASK_PLAN;
    const input = { ...clerk, idempotencyKey: "plan" };
    const ids = await Promise.all([planRun(caller, input), planRun(caller, input)]);
    expect(new Set(ids).size).toBe(1);
    server().received.length = 0;
    expect(await planRun(caller, input)).toBe(ids[0]);
    expect(server().received).toEqual([]);
    expect((await listRuns(caller, { first: 10 })).items).toHaveLength(1);
    await expect(planRun(caller, { ...input, prompt: "Another" })).rejects.toMatchObject({
      code: "IDEMPOTENCY_KEY_REUSED",
    });
    const execute = { runId: ids[0], idempotencyKey: "go" };
    await executeRun(caller, execute);
    expect(await executeRun(caller, execute)).toBe(ids[0]);
  });

  it("goes on with a thread that no run is under way in, and knows what was said", async () => {
    const caller = await aTenant();
    server().answer = says("Ada leads the project.");
    const first = await startRun(caller, { ...clerk, prompt: "Who leads the project?" });
    const { threadId } = await getRun(caller, first);
    await expect(planRun(caller, { ...clerk, threadId })).rejects.toMatchObject({ code: "AGENT_THREAD_BUSY" });
    await driveRun(caller, first);
    server().received.length = 0;
    server().answer = TASK_PLAN;
    await planRun(caller, { ...clerk, threadId });
    const { messages } = server().received[0]!.body;
    expect(JSON.stringify(messages)).toContain("Ada leads the project.");
    const refused = startRun(caller, { ...clerk, threadId, options: { onBusyThread: "REJECT" } });
    await expect(refused).rejects.toMatchObject({ code: "AGENT_THREAD_BUSY" });
  });

  it("goes on from what another run said in its thread while it was being planned", async () => {
    const caller = await aTenant();
    server().answer = says("Ada leads the project.");
    const first = await startRun(caller, { ...clerk, prompt: "Who leads the project?" });
    const { threadId } = await driveRun(caller, first);
    const [asked, release] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    server().answer = async (response, request) => {
      asked.resolve();
      await release.promise;
      await TASK_PLAN(response, request);
    };
    const planning = planRun(caller, { ...clerk, threadId });
    await asked.promise;
    server().answer = says("Grace leads it from June.");
    const meanwhile = await startRun(caller, { ...clerk, prompt: "And then?", threadId });
    await driveRun(caller, meanwhile);
    release.resolve();
    const runId = await planning;
    server().received.length = 0;
    server().answer = says("Done.");
    await executeRun(caller, { runId });
    await driveRun(caller, runId);
    const said = server()
      .received[0]!.body.messages.slice(1)
      .map(({ content }) => content);
    expect(said.slice(-2)).toEqual(["Grace leads it from June.", clerk.prompt]);
  });

  it("is refused when it should wait for a thread, or end what is under way in it", async () => {
    const caller = await aTenant();
    const planned = planRun(caller, { ...clerk, options: { onBusyThread: "ENQUEUE" } });
    await expect(planned).rejects.toMatchObject({ code: "AGENT_PLAN_THREAD_POLICY" });
  });

  it.each([
    ["no plan at all", says("I would write it down.")],
    ["a plan without steps", submits({ steps: [] })],
    ["a tool that the agent does not have", submits({ steps: [{ title: "Pay", tool: "bank.transfer" }] })],
    ["another call", submits({ title: "now" }, "task__create")],
  ])("is not made of %s", async (_what, answer) => {
    const caller = await aTenant();
    server().answer = answer;
    await expect(planRun(caller, clerk)).rejects.toMatchObject({ code: "AGENT_PLAN_INVALID", retryable: true });
    expect((await listRuns(caller, { first: 1 })).items).toEqual([]);
  });

  it("says what kept it from being planned, and leaves nothing behind", async () => {
    const caller = await aTenant();
    server().answer = refuses(401);
    await expect(planRun(caller, clerk)).rejects.toMatchObject({ code: "AGENT_MODEL_CREDENTIALS_REFUSED" });
    await expect(planRun(caller, { ...clerk, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "OPERATION_CANCELLED",
    });
    await expect(planRun(caller, { ...clerk, options: { budgetMicros: "1100" } })).rejects.toMatchObject({
      code: "BILLING_BUDGET_EXHAUSTED",
    });
    await expect(planRun(caller, { agentKey: "nobody" })).rejects.toMatchObject({ code: "AGENT_AGENT_NOT_FOUND" });
    expect((await listRuns(caller, { first: 1 })).items).toEqual([]);
    const { rows } = await database().owner.query(
      "SELECT 1 FROM billing.usage_record WHERE tenant_id = $1 AND run_id IS NOT NULL",
      [caller.tenantId],
    );
    expect(rows).toEqual([]);
  });

  it("is paid from the tenant's budgets, holds nothing of them while it rests, and is not made without them", async () => {
    const caller = await aTenant();
    const limit = { scope: "TENANT", period: "DAY" } as const;
    await setBudget(caller, { ...limit, limitMicros: 10_000n });
    server().answer = TASK_PLAN;
    await planRun(caller, clerk);
    const { rows } = await database().owner.query(
      "SELECT reserved_micros::int AS reserved, spent_micros::int AS spent FROM billing.budget_period WHERE tenant_id = $1",
      [caller.tenantId],
    );
    expect(rows).toEqual([{ reserved: 0, spent: 1_360 }]);
    await setBudget(caller, { ...limit, limitMicros: 1_360n });
    await expect(planRun(caller, clerk)).rejects.toMatchObject({ code: "BILLING_BUDGET_EXHAUSTED" });
    await setBudget(caller, { ...limit, limitMicros: 2_719n });
    await expect(planRun(caller, clerk)).rejects.toMatchObject({ code: "BILLING_BUDGET_EXHAUSTED" });
    expect((await listRuns(caller, { first: 10 })).items).toHaveLength(1);
  });

  it("is not asked of a model when a budget is used up", async () => {
    const caller = await aTenant();
    await setBudget(caller, { scope: "TENANT", period: "DAY", limitMicros: 0n });
    server().answer = TASK_PLAN;
    await expect(planRun(caller, clerk)).rejects.toMatchObject({ code: "BILLING_BUDGET_EXHAUSTED" });
    expect(server().received).toEqual([]);
  });

  it.each([
    ["TOKENS", 0, 10_000_000],
    ["CONCURRENT_RUNS", 100, 0],
  ])("is not asked of a model when the quota of %s is used up", async (quota, running, tokens) => {
    const caller = await aTenant();
    await database().owner.query(
      `INSERT INTO billing.quota_use (tenant_id, running, month, tokens, tool_calls)
       VALUES ($1, $2, date_trunc('month', now(), 'UTC'), $3, 0)`,
      [caller.tenantId, running, tokens],
    );
    server().answer = TASK_PLAN;
    const refused = { code: "BILLING_QUOTA_EXCEEDED", details: { quota } };
    await expect(planRun(caller, clerk)).rejects.toMatchObject(refused);
    expect(server().received).toEqual([]);
  });

  it("holds nothing of budgets and quotas while the model plans", async () => {
    const caller = await aTenant();
    await setBudget(caller, { scope: "TENANT", period: "DAY", limitMicros: 20_000n });
    let held: unknown;
    server().answer = async (response, request) => {
      const text = `SELECT (SELECT sum(reserved_micros)::int FROM billing.budget_period WHERE tenant_id = $1) AS reserved,
                           (SELECT running FROM billing.quota_use WHERE tenant_id = $1) AS running`;
      held = (await database().owner.query(text, [caller.tenantId])).rows;
      await TASK_PLAN(response, request);
    };
    await planRun(caller, clerk);
    expect(held).toEqual([{ reserved: 0, running: 0 }]);
  });

  it("leaves what was used to the platform when the model made none, or when the budget went to others meanwhile", async () => {
    const caller = await aTenant();
    const limit = { scope: "TENANT", period: "DAY" } as const;
    const recorded = async () => {
      const { rows } = await database().owner.query(
        `SELECT meter, agent_key, sum(quantity)::int AS quantity, sum(amount_micros)::int AS micros FROM billing.usage_record
         WHERE tenant_id = $1 AND run_id IS NULL AND meter LIKE 'overage.%' GROUP BY meter, agent_key ORDER BY meter`,
        [caller.tenantId],
      );
      return rows;
    };
    const overage = (input: number, output: number) => [
      { meter: "overage.inputTokens", agent_key: "clerk", quantity: input, micros: 0 },
      { meter: "overage.outputTokens", agent_key: "clerk", quantity: output, micros: 0 },
    ];
    server().answer = says("I would write it down.");
    await expect(planRun(caller, clerk)).rejects.toMatchObject({ code: "AGENT_PLAN_INVALID" });
    // It is asked three times.
    expect(await recorded()).toEqual(overage(60, 3));
    await setBudget(caller, { ...limit, limitMicros: 20_000n });
    server().answer = async (response, request) => {
      await setBudget(caller, { ...limit, limitMicros: 0n });
      await TASK_PLAN(response, request);
    };
    await expect(planRun(caller, clerk)).rejects.toMatchObject({ code: "BILLING_BUDGET_EXHAUSTED" });
    expect(await recorded()).toEqual(overage(160, 23));
    expect((await listRuns(caller, { first: 1 })).items).toEqual([]);
  });

  it("shows which steps the tenant's policy lets nobody take alone", async () => {
    const caller = await aTenant();
    await setApprovalPolicy(caller, { tool: "knowledge.search", quorum: 1, allowRequester: false });
    const { steps } = planOf(await getRun(caller, await planRun(caller, reader)))!;
    expect(steps.map(({ requiresApproval }) => requiresApproval)).toEqual([true, false, false]);
  });

  it("is not executed by another tenant", async () => {
    const [caller, other] = [await aTenant(), await aTenant()];
    const runId = await planRun(caller, reader);
    await expect(executeRun(other, { runId })).rejects.toMatchObject({ code: "AGENT_RUN_NOT_FOUND" });
    expect(await getRun(caller, runId)).toMatchObject({ status: "PLANNING" });
  });
});

describe("planned runs as they are shown", () => {
  const PLAN = `mutation PlanRun($agentKey: String!, $prompt: String!) { planRun(input: { agentKey: $agentKey, prompt: $prompt }) {
    id status plan { expiresAt steps { title tool estimatedCost { amountMicros currency } requiresApproval } estimatedCost { amountMicros currency } } } }`;
  const EXECUTE = "mutation ExecuteRun($runId: ID!) { executeRun(input: { runId: $runId }) { id status } }";

  it("are planned, executed once, and refused with the state that they are in", async () => {
    const caller = await aTenant();
    const { planRun: planned } = await expectData(schema, caller, PLAN, { agentKey: "reader", prompt: PROMPT });
    expect(planned.status).toBe("PLANNING");
    const costs = planned.plan.steps.map(({ estimatedCost }: { estimatedCost: { amountMicros: string } }) =>
      BigInt(estimatedCost.amountMicros),
    );
    expect(costs).toHaveLength(3);
    const total = costs.reduce((sum: bigint, each: bigint) => sum + each, 0n);
    expect(planned.plan.estimatedCost).toEqual({ amountMicros: String(total), currency: "USD" });
    const executed = await expectData(schema, caller, EXECUTE, { runId: planned.id });
    expect(executed.executeRun).toEqual({ id: planned.id, status: "EXECUTING" });
    expect(await expectRefusal(schema, caller, EXECUTE, { runId: planned.id })).toMatchObject({
      code: "CONFLICT",
      reason: "AGENT_RUN_NOT_PLANNED",
      details: { status: "EXECUTING" },
    });
  });

  it("are for who may start runs", async () => {
    const visitor = aColleagueOf(await aTenant(), ["run:read"]);
    const refused = { code: "FORBIDDEN", reason: "PERMISSION_MISSING" };
    expect(await expectRefusal(schema, visitor, PLAN, { agentKey: "reader", prompt: "x" })).toMatchObject(refused);
    const runId = "run_00000000000000000000000000";
    expect(await expectRefusal(schema, visitor, EXECUTE, { runId })).toMatchObject(refused);
  });
});
