import {
  BudgetsDocument,
  CreateAgentDocument,
  RunDocument,
  SetBudgetDocument,
  StartRunDocument,
  UsageDocument,
} from "@sba/client";
import { describe, expect, it } from "vitest";
import { collectEvents, useSystem } from "../story.ts";

const story = useSystem();

/**
 * An agent that looks a question up, answers it and then writes the answer to a document. A start costs 1,000 micro-dollars, a
 * tool call 500, and a turn of the built-in model some ten: enough for the answer, and not for the document.
 */
const ENOUGH_FOR_AN_ANSWER = 1_950;
const INSTRUCTIONS =
  "You answer questions from the tenant's documents. Look the question up with knowledge.search first. Answer only from what it " +
  "returns. Then write the answer to a document with document.render.";

describe("a budget stops the run", () => {
  it("before it spends a micro too much, keeps what it has done, and lets nothing else begin until it is raised", async () => {
    const [owner, operator, viewer] = [story().client("owner"), story().client("operator"), story().client("viewer")];
    const key = `frugal-${Date.now().toString(36)}`;
    const tools = ["knowledge.search", "document.render"];
    const { createAgent } = await owner.mutate(CreateAgentDocument, {
      input: { key, name: "Frugal", instructions: INSTRUCTIONS, tools },
    });
    const setLimit = (micros: number) =>
      owner.mutate(SetBudgetDocument, {
        input: { scope: "AGENT", scopeId: createAgent.id, period: "MONTH", limitMicros: String(micros) },
      });
    const start = () =>
      operator.mutate(StartRunDocument, {
        agentKey: key,
        prompt: "what is known about heat transfer at a stagnation point",
      });
    const { setBudget } = await setLimit(ENOUGH_FOR_AN_ANSWER);

    const { startRun } = await start();
    const events = await collectEvents(operator, startRun.id);
    expect(events.at(-1)).toMatchObject({
      __typename: "RunFailed",
      run: { status: "FAILED" },
      error: { code: "BILLING_BUDGET_EXHAUSTED" },
    });
    const { run } = await operator.query(RunDocument, { id: startRun.id });
    expect(run.output).toMatch(/\[1\]/);
    expect(run.steps.edges.flatMap(({ node }) => node.toolCall?.name ?? [])).toContain("knowledge.search");

    const { budgets } = await viewer.query(BudgetsDocument);
    const budget = budgets.find(({ id }) => id === setBudget.id)!;
    expect(budget).toMatchObject({
      scope: { kind: "AGENT", id: createAgent.id },
      period: "MONTH",
      reserved: { amountMicros: "0" },
    });
    const spent = Number(budget.spent.amountMicros);
    expect(spent).toBeLessThanOrEqual(ENOUGH_FOR_AN_ANSWER);
    expect(spent + Number(budget.remaining.amountMicros)).toBe(ENOUGH_FOR_AN_ANSWER);
    expect(run.cost).toMatchObject({ amountMicros: String(spent) });

    await expect(start()).rejects.toMatchObject({ code: "QUOTA_EXCEEDED", reason: "BILLING_BUDGET_EXHAUSTED" });
    await setLimit(1_000_000);
    const second = await collectEvents(operator, (await start()).startRun.id);
    expect(second.at(-1)).toMatchObject({ __typename: "RunFinished", run: { status: "COMPLETED" } });

    const [from, to] = ["2026-01-01T00:00:00Z", "2100-01-01T00:00:00Z"];
    const { usage } = await viewer.query(UsageDocument, { from, to, granularity: "MONTH", groupBy: ["AGENT"] });
    const used = usage.edges
      .filter(({ node }) => node.agentKey === key)
      .reduce((sum, { node }) => sum + Number(node.cost.amountMicros), 0);
    const after = (await viewer.query(BudgetsDocument)).budgets.find(({ id }) => id === setBudget.id)!;
    expect(after).toMatchObject({ reserved: { amountMicros: "0" }, spent: { amountMicros: String(used) } });
  });

  it("is set by those who may, and by no other tenant", async () => {
    const input = { scope: "TENANT", period: "DAY", limitMicros: "1" } as const;
    for (const role of ["operator", "viewer", "partner"] as const) {
      const refused = story().client(role).mutate(SetBudgetDocument, { input });
      await expect(refused).rejects.toMatchObject({ code: "FORBIDDEN" });
    }
    const [ours, theirs] = [story().client("owner"), story().client("owner", 1)];
    const ids = new Set((await ours.query(BudgetsDocument)).budgets.map(({ id }) => id));
    expect(ids.size).toBeGreaterThan(0);
    for (const { id } of (await theirs.query(BudgetsDocument)).budgets) expect(ids.has(id)).toBe(false);
  });
});
