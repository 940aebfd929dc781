import { loadConfig } from "@sba/platform/config";
import type { Caller } from "@sba/platform/caller";
import { aCaller, eventually } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { createAgent } from "../agent/agent.ts";
import { useModels, useWindow } from "../model/index.ts";
import {
  breaksOffAfter,
  inTurn,
  says,
  useScriptedModels,
  type Answer,
  type ReceivedRequest,
} from "../model/testing.ts";
import { getRun, startRun } from "../run/run.ts";
import { driveRun, journalOf } from "../testing.ts";

const database = useDatabase();
const { server } = useScriptedModels();

beforeEach(() => {
  useWindow(4_000);
});
afterAll(() => {
  useWindow(undefined);
});

const isSummary = ({ body }: ReceivedRequest): boolean =>
  JSON.stringify(body.messages[0]).includes("Summarise the conversation");
const withSummary =
  (summary: Answer, turn: Answer): Answer =>
  (response, request) =>
    (isSummary(request) ? summary : turn)(response, request);

/** About 2,300 tokens each by the rule of thumb: one has room in a window of 4,000, two have not. */
const LONG = "What about this? ".repeat(400);
const NEXT = "And about that? ".repeat(425);

async function aThread(caller: Caller): Promise<string> {
  await createAgent(caller, { key: "support", name: "S", instructions: "Help.", model: "other-model", tools: [] });
  server().answer = says("First answer.");
  const { threadId } = await driveRun(caller, await startRun(caller, { agentKey: "support", prompt: LONG }));
  server().received.length = 0;
  return threadId;
}

const goOn = (caller: Caller, threadId: string, prompt: string) =>
  startRun(caller, { agentKey: "support", prompt, threadId });

async function summariesOf(runId: string): Promise<{ text: string }[]> {
  const { rows } = await database().owner.query(
    "SELECT text FROM agent.message WHERE run_id = $1 AND role = 'summary'",
    [runId],
  );
  return rows as { text: string }[];
}

async function usageOf(runId: string): Promise<unknown[]> {
  const { rows } = await database().owner.query(
    "SELECT split_part(key, ':', 5) AS part, meter, quantity::int FROM billing.usage_record WHERE run_id = $1 AND meter LIKE 'model.%' ORDER BY key, meter",
    [runId],
  );
  return rows;
}

describe("a thread that outgrows its model's window", () => {
  it("is summarised by the model, once, and goes on with the summary and what came since", async () => {
    const caller = aCaller();
    const threadId = await aThread(caller);
    server().answer = withSummary(says("They asked about this."), says("Second answer."));
    const run = await driveRun(caller, await goOn(caller, threadId, NEXT));
    expect(run).toMatchObject({ status: "COMPLETED", output: "Second answer." });

    const [summary, turn] = server().received;
    expect(isSummary(summary!)).toBe(true);
    expect(summary!.body.tools ?? []).toEqual([]);
    expect(JSON.stringify(summary!.body.messages)).toContain("Person: What about this?");
    expect(turn!.body.messages.slice(1)).toMatchObject([
      { role: "user", content: expect.stringContaining("They asked about this.") },
      { role: "user", content: NEXT },
    ]);
    expect(await summariesOf(run.id)).toHaveLength(1);

    server().received.length = 0;
    await driveRun(caller, await goOn(caller, threadId, "And then?"));
    expect(server().received).toHaveLength(1);
    expect(JSON.stringify(server().received[0]!.body.messages)).toContain("They asked about this.");
  });

  it("pays for its summary, under the model that made it, as readers and the run are told", async () => {
    const caller = aCaller();
    const threadId = await aThread(caller);
    server().answer = withSummary(says("They asked."), says("Second answer."));
    const { id, spentMicros } = await driveRun(caller, await goOn(caller, threadId, NEXT));
    expect(await usageOf(id)).toEqual([
      { part: "", meter: "model.inputTokens", quantity: 20 },
      { part: "", meter: "model.outputTokens", quantity: 1 },
      { part: "summary", meter: "model.inputTokens", quantity: 20 },
      { part: "summary", meter: "model.outputTokens", quantity: 1 },
    ]);
    const events = (await journalOf(caller, id)).filter(({ type }) => type === "agent.run.usageRecorded");
    const told = events.flatMap(({ payload }) => payload["usage"] as { cost: { amountMicros: string } }[]);
    expect(told.reduce((sum, { cost }) => sum + BigInt(cost.amountMicros), 0n)).toBe(spentMicros);
  });

  it("shows readers nothing of its summary", async () => {
    const caller = aCaller();
    const threadId = await aThread(caller);
    server().answer = withSummary(says("They asked."), says("Second answer."));
    const { id } = await driveRun(caller, await goOn(caller, threadId, NEXT));
    const shown = (await journalOf(caller, id)).filter(({ type }) => type === "agent.run.tokenDelta");
    expect(shown.map(({ payload }) => payload["text"]).join("")).toBe("Second answer.");
  });

  it("has one summary when the turn after it fails and is tried again, and pays for both that were made", async () => {
    const caller = aCaller();
    const threadId = await aThread(caller);
    const turns = inTurn(breaksOffAfter("Half "), says("Second answer."));
    server().answer = withSummary(says("They asked."), turns);
    const runId = await goOn(caller, threadId, NEXT);
    await eventually(async () => (await driveRun(caller, runId)).status === "COMPLETED");
    expect(await summariesOf(runId)).toHaveLength(1);
    expect(
      (await usageOf(runId)).filter((line) => (line as { meter: string }).meter === "model.inputTokens"),
    ).toHaveLength(4);
  });

  it("ends when it cannot pay for a summary, before the model is asked", async () => {
    const caller = aCaller();
    const threadId = await aThread(caller);
    const options = { budgetMicros: "1500" };
    const runId = await startRun(caller, { agentKey: "support", prompt: NEXT, threadId, options });
    expect(await driveRun(caller, runId)).toMatchObject({ status: "FAILED", errorCode: "BILLING_BUDGET_EXHAUSTED" });
    expect(server().received).toEqual([]);
  });

  it("is summarised by the built-in model, too", async () => {
    const caller = aCaller();
    useModels(loadConfig({}));
    await createAgent(caller, { key: "support", name: "S", instructions: "Help.", model: "local", tools: [] });
    // One token a word: more than fits beside the answer into a window of 32,768.
    const prompt = `The gate is blue. ${"And so on and on. ".repeat(5_500)}`;
    const { threadId } = await driveRun(caller, await startRun(caller, { agentKey: "support", prompt }));
    const run = await driveRun(caller, await goOn(caller, threadId, "Which colour is the gate?"));
    expect(await getRun(caller, run.id)).toMatchObject({
      status: "COMPLETED",
      output: expect.stringContaining("gate is blue"),
    });
    const [summary] = await summariesOf(run.id);
    expect(summary!.text).toContain("The gate is blue.");
    expect(summary!.text.length).toBeLessThan(2_000);
  });
});
