import { setBudget } from "@sba/billing/index";
import type { Caller } from "@sba/platform/caller";
import { aCaller, eventually } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { createAgent } from "../agent/agent.ts";
import { inTurn, openChunks, useScriptedModels, type Answer } from "../model/testing.ts";
import { driveRun, journalOf } from "../testing.ts";
import { planRun } from "./plan-run.ts";
import { getRun, startRun } from "./run.ts";

const database = useDatabase();
const { server } = useScriptedModels();

interface Line {
  readonly meter: string;
  readonly quantity: number;
  readonly micros: number;
}

async function linesOf(runId: string): Promise<Line[]> {
  const { rows } = await database().owner.query<Line>(
    `SELECT meter, quantity::int, amount_micros::int AS micros FROM billing.usage_record
     WHERE run_id = $1 AND meter <> 'run.started' ORDER BY meter`,
    [runId],
  );
  return rows;
}

/** Says this, and reports that it wrote so many tokens. */
const reports =
  (text: string, completionTokens: number): Answer =>
  (response) => {
    const chunks = openChunks(response);
    chunks.text(text);
    chunks.end("stop", { prompt_tokens: 20, completion_tokens: completionTokens });
  };

/** Fails in the middle, and reports that it wrote far more than it may. */
const breaksOff: Answer = (response) => {
  const chunks = openChunks(response);
  chunks.text("Half ", { usage: { prompt_tokens: 20, completion_tokens: 100_000 } });
  chunks.send({ error: { message: "overloaded" } });
  response.end();
};

/** The same of a plan that is one. */
const plansAtLength: Answer = (response) => {
  const chunks = openChunks(response);
  chunks.call(0, "p", "submit_plan", [JSON.stringify({ steps: [{ title: "Say so" }] })]);
  chunks.end("tool_calls", { prompt_tokens: 20, completion_tokens: 100_000 });
};

/** A run of gpt-4.1, whose tokens cost 2 micros in and 8 micros out. */
async function answer(caller: Caller): Promise<Awaited<ReturnType<typeof driveRun>>> {
  await createAgent(caller, { key: "a", name: "A", instructions: "Help.", model: "gpt-4.1", tools: [] });
  return driveRun(caller, await startRun(caller, { agentKey: "a", prompt: "Hello?" }));
}

describe("what a provider reports beyond what was reserved", () => {
  it("is recorded at no cost, and counted in no budget", async () => {
    const caller = aCaller();
    await setBudget(caller, { scope: "TENANT", period: "MONTH", limitMicros: 20_000n });
    server().answer = reports("Said much.", 1_000_000);
    const run = await answer(caller);
    expect(run).toMatchObject({ status: "COMPLETED", output: "Said much." });
    const [input, output, overage, ...others] = await linesOf(run.id);
    expect(others).toEqual([]);
    expect(input).toEqual({ meter: "model.inputTokens", quantity: 20, micros: 40 });
    expect(output).toEqual({ meter: "model.outputTokens", quantity: output!.quantity, micros: output!.quantity * 8 });
    expect(overage).toEqual({ meter: "overage.outputTokens", quantity: 1_000_000 - output!.quantity, micros: 0 });
    const { rows } = await database().owner.query(
      "SELECT reserved_micros::int AS reserved, spent_micros::int AS spent FROM billing.budget_period WHERE tenant_id = $1",
      [caller.tenantId],
    );
    expect(rows).toEqual([{ reserved: 0, spent: 1_000 + input!.micros + output!.micros }]);
    expect(run.spentMicros).toBe(BigInt(1_000 + input!.micros + output!.micros));
  });

  it("is told to readers as it is recorded, and is not charged without a budget either", async () => {
    const caller = aCaller();
    server().answer = reports("Said much.", 5_000);
    const run = await answer(caller);
    const told = (await journalOf(caller, run.id))
      .filter(({ type }) => type === "agent.run.usageRecorded")
      .flatMap(
        ({ payload }) => payload["usage"] as { meter: string; quantity: string; cost: { amountMicros: string } }[],
      )
      .filter(({ meter }) => meter !== "run.started")
      .map(({ meter, quantity, cost }) => ({ meter, quantity: Number(quantity), micros: Number(cost.amountMicros) }));
    expect(told).toEqual(await linesOf(run.id));
    // What was reserved is its longest answer, and a token for each byte of what it was asked.
    expect(told.map(({ meter }) => meter)).toEqual(["model.inputTokens", "model.outputTokens", "overage.outputTokens"]);
    expect(told[1]!.quantity).toBeGreaterThanOrEqual(4_096);
  });

  it("leaves attempts that came to nothing within the budget, too", async () => {
    const caller = aCaller();
    await setBudget(caller, { scope: "TENANT", period: "MONTH", limitMicros: 6_000n });
    server().answer = inTurn(breaksOff, reports("Whole.", 10));
    const { id } = await answer(caller);
    const run = await eventually(async () => {
      const tried = await driveRun(caller, id);
      return tried.endedAt !== null && tried;
    });
    expect(run).toMatchObject({ status: "FAILED", errorCode: "BILLING_BUDGET_EXHAUSTED" });
    const charged = (await linesOf(run.id)).reduce((sum, { micros }) => sum + micros, 1_000);
    expect(run.spentMicros).toBe(BigInt(charged));
    expect(charged).toBeLessThanOrEqual(6_000);
    const { rows } = await database().owner.query(
      "SELECT reserved_micros + spent_micros <= 6000 AS within FROM billing.budget_period WHERE tenant_id = $1",
      [caller.tenantId],
    );
    expect(rows).toEqual([{ within: true }]);
  });

  it.each([
    ["the run's", "6000", 1_000_000n],
    ["the tenant's", "1000000", 6_000n],
  ])("leaves a plan and the attempts at it within %s budget", async (_whose, budgetMicros, limitMicros) => {
    const caller = aCaller();
    await setBudget(caller, { scope: "TENANT", period: "MONTH", limitMicros });
    await createAgent(caller, { key: "a", name: "A", instructions: "Help.", model: "gpt-4.1", tools: [] });
    server().answer = inTurn(breaksOff, plansAtLength);
    const { signal } = new AbortController();
    const input = { agentKey: "a", prompt: "Hello?", options: { budgetMicros }, signal };
    const run = await getRun(caller, await planRun(caller, input));
    expect(run.status).toBe("PLANNING");
    expect(run.spentMicros).toBeLessThanOrEqual(6_000n);
    const lines = await linesOf(run.id);
    expect(run.spentMicros).toBe(BigInt(lines.reduce((sum, { micros }) => sum + micros, 1_000)));
    const written = lines.filter(({ meter }) => meter.endsWith(".outputTokens"));
    expect(written.reduce((sum, { quantity }) => sum + quantity, 0)).toBe(200_000);
    expect(written.filter(({ meter }) => meter === "overage.outputTokens")).toHaveLength(2);
  });
});
