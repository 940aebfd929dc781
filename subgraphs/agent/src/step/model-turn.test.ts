import type { Caller } from "@sba/platform/caller";
import { encodeId, newId } from "@sba/platform/ids";
import { aCaller, eventually } from "@sba/testkit/fixtures";
import { expectData } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { createAgent, type CreateAgentInput } from "../agent/agent.ts";
import { breaksOffAfter, inTurn, openChunks, refuses, says, useScriptedModels } from "../model/testing.ts";
import { replayRun } from "../replay/replay.ts";
import { getRun, startRun } from "../run/run.ts";
import { schema } from "../schema.ts";
import { driveRun, journalOf } from "../testing.ts";

const database = useDatabase();
const { server, configure } = useScriptedModels();

async function startAgent(
  caller: Caller,
  input: Partial<CreateAgentInput> = {},
  budgetMicros?: string,
): Promise<string> {
  const key = `a-${newId().slice(-12)}`;
  await createAgent(caller, { key, name: "A", instructions: "Help.", model: "gpt-4.1", tools: [], ...input });
  return startRun(caller, { agentKey: key, prompt: "Hello?", ...(budgetMicros ? { options: { budgetMicros } } : {}) });
}

/** What billing has of a run: meter, model and quantity. */
async function billed(runId: string): Promise<unknown[]> {
  const { rows } = await database().owner.query(
    `SELECT meter, model, quantity::int, price_list_version AS prices FROM billing.usage_record
     WHERE run_id = $1 AND meter <> 'run.started' ORDER BY key, meter`,
    [runId],
  );
  return rows;
}

/** That what readers were told, what the run counts and what billing has are one. */
async function expectAgreement(caller: Caller, runId: string): Promise<void> {
  const events = (await journalOf(caller, runId)).filter(({ type }) => type === "agent.run.usageRecorded");
  const told = events.flatMap(({ payload }) => payload["usage"] as { cost: { amountMicros: string } }[]);
  const { rows } = await database().owner.query(
    "SELECT count(*)::int AS lines, coalesce(sum(amount_micros), 0)::text AS micros FROM billing.usage_record WHERE run_id = $1",
    [runId],
  );
  const micros = told.reduce((sum, { cost }) => sum + BigInt(cost.amountMicros), 0n);
  expect({ lines: told.length, micros: String(micros) }).toEqual(rows[0]);
  expect((await getRun(caller, runId)).spentMicros).toBe(micros);
}

const STEPS = "query ($id: ID!) { run(id: $id) { steps(first: 10) { edges { node { type model } } } } }";

async function stepModels(caller: Caller, runId: string): Promise<unknown> {
  const { run } = await expectData(schema, caller, STEPS, { id: encodeId("Run", runId) });
  return run.steps.edges.map(({ node }: { node: { model: string } }) => node.model);
}

describe("a model turn", () => {
  it("is billed under the fallback that answered, which its step names", async () => {
    const caller = aCaller();
    server().answer = (response, request) =>
      (request.body.model === "gpt-4.1" ? refuses(401) : says("From mini."))(response, request);
    const runId = await startAgent(caller, { fallbackModels: ["gpt-4.1-mini"] });
    expect(await driveRun(caller, runId)).toMatchObject({
      status: "COMPLETED",
      output: "From mini.",
      model: "gpt-4.1",
    });
    expect(await billed(runId)).toEqual([
      { meter: "model.inputTokens", model: "gpt-4.1-mini", quantity: 20, prices: 1 },
      { meter: "model.outputTokens", model: "gpt-4.1-mini", quantity: 1, prices: 1 },
    ]);
    expect(await stepModels(caller, runId)).toEqual(["gpt-4.1-mini"]);
    await expectAgreement(caller, runId);
  });

  it("is charged for an attempt that came to nothing, when the provider says what it billed", async () => {
    const caller = aCaller();
    server().answer = inTurn(breaksOffAfter(""), says("Fi", "ne."));
    const runId = await startAgent(caller);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Fine." });
    expect(await billed(runId)).toMatchObject([
      { meter: "model.inputTokens", quantity: 20 },
      { meter: "model.outputTokens", quantity: 2 },
      { meter: "model.inputTokens", quantity: 20 },
      { meter: "model.outputTokens", quantity: 1 },
    ]);
    await expectAgreement(caller, runId);
  });

  it("costs its run no attempt while its provider is left alone, however often it comes in vain", async () => {
    const caller = aCaller();
    configure({}, { failuresToOpen: 1, openForMs: 3_600_000 });
    server().answer = refuses(503);
    const runId = await startAgent(caller);
    const atOnce = "UPDATE agent.run SET due_at = clock_timestamp() WHERE id = $1";
    for (let times = 0; times < 7; times++) {
      await driveRun(caller, runId);
      const waits = await getRun(caller, runId);
      // The first found out that the provider is down; the others asked nobody.
      expect(waits).toMatchObject({ status: "EXECUTING", errorCode: "AGENT_MODEL_UNAVAILABLE", leaseExpiresAt: null });
      expect(waits.stepAttempt).toBe(1);
      expect(waits.dueAt!.getTime()).toBeGreaterThan(Date.now() + 3_000_000);
      await database().owner.query(atOnce, [runId]);
    }
    expect(server().received).toHaveLength(1);
    configure();
    server().answer = says("Fine.");
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Fine." });
    expect((await replayRun(caller, runId)).difference).toBeUndefined();
  });

  it("restarts its step when it fails after readers saw text, and is charged for both attempts", async () => {
    const caller = aCaller();
    server().answer = inTurn(breaksOffAfter("Half "), says("Whole."));
    const runId = await startAgent(caller);
    const restarted = async (): Promise<boolean> =>
      (await journalOf(caller, runId)).some(({ type }) => type === "agent.run.stepRestarted");
    await eventually(async () => (await driveRun(caller, runId)).status === "COMPLETED");
    expect(await restarted()).toBe(true);
    expect(await getRun(caller, runId)).toMatchObject({ output: "Whole." });
    expect(await billed(runId)).toHaveLength(4);
    await expectAgreement(caller, runId);
  });

  it("costs no tokens when its answer was cached, and says so by a meter", async () => {
    const caller = aCaller();
    server().answer = says("Fine.");
    const key = `a-${newId().slice(-12)}`;
    await createAgent(caller, {
      key,
      name: "A",
      instructions: "Help.",
      model: "gpt-4.1",
      tools: [],
      answerCacheSeconds: 60,
    });
    const ask = async () => driveRun(caller, await startRun(caller, { agentKey: key, prompt: "Hello?" }));
    await ask();
    const { id, output } = await ask();
    expect(output).toBe("Fine.");
    expect(server().received).toHaveLength(1);
    expect(await billed(id)).toMatchObject([
      { meter: "model.cachedAnswers", quantity: 1 },
      { meter: "model.inputTokens", quantity: 0 },
      { meter: "model.outputTokens", quantity: 0 },
    ]);
    expect((await journalOf(caller, id)).map(({ type }) => type)).toContain("agent.run.tokenDelta");
    await expectAgreement(caller, id);
  });

  it("waits for the person when the model asks", async () => {
    const caller = aCaller();
    server().answer = (response) => {
      const chunks = openChunks(response);
      chunks.call(0, "q", "ask_person", ['{"question":"Which year?"}']);
      chunks.end("tool_calls", { prompt_tokens: 20, completion_tokens: 3 });
    };
    const runId = await startAgent(caller);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_INPUT" });
  });

  it("limits each model to what the run can pay for at that model's price, and asks none that it cannot", async () => {
    const caller = aCaller();
    server().answer = (response, request) =>
      (request.body.model === "gpt-4.1-nano" ? refuses(401) : says("Fine."))(response, request);
    const runId = await startAgent(caller, { model: "gpt-4.1-nano", fallbackModels: ["dear", "gpt-4.1-mini"] }, "1300");
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    expect(server().received.map(({ body }) => body.model)).toEqual(["gpt-4.1-nano", "gpt-4.1-mini"]);
    const [nano, mini] = server().received.map(({ body }) => body.max_tokens!);
    expect(nano).toBeGreaterThan(mini!);
  });

  it("offers and calls only tools that are what they were when the run was accepted", async () => {
    const caller = aCaller();
    server().answer = inTurn((response) => {
      const chunks = openChunks(response);
      // By a name that it was not offered: it knows the tool from elsewhere.
      chunks.call(0, "c", "task.create", ['{"title":"x"}']);
      chunks.end("tool_calls", { prompt_tokens: 1, completion_tokens: 1 });
    }, says("Done."));
    const runId = await startAgent(caller, { tools: ["task.create"] });
    await database().owner.query("UPDATE agent.run SET tool_hashes = $2 WHERE id = $1", [
      runId,
      { "task.create": "old" },
    ]);
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Done." });
    expect(server().received[0]!.body.tools).toMatchObject([{ function: { name: "ask_person" } }]);
    expect(JSON.stringify(server().received[1]!.body.messages)).toContain("AGENT_TOOL_CHANGED");
  });
});
