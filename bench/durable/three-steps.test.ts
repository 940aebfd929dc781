import { createAgent } from "@sba/agent/agent/agent";
import { getRun, startRun } from "@sba/agent/index";
import { addProvider, useModels } from "@sba/agent/model/registry";
import { expectSoundRuns } from "@sba/agent/run/testing";
import { driveRun, journalOf } from "@sba/agent/testing";
import { loadConfig } from "@sba/platform/config";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { beforeAll, expect, test } from "vitest";
import { fillRuns } from "./fill.ts";
import { APPROVAL_PROMPT, scriptedProvider, TOKENS } from "./model.ts";
import { AGENT } from "./world.ts";

const database = useDatabase();
const caller = aCaller();

beforeAll(async () => {
  addProvider(scriptedProvider);
  useModels(loadConfig({}));
  await createAgent(caller, AGENT);
});

test("the run that is measured has three steps and keeps 50 tokens", async () => {
  const runId = await startRun(caller, { agentKey: AGENT.key, prompt: "look it up" });
  expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", stepNumber: 3, output: "done" });
  const events = await journalOf(caller, runId);
  const texts = events.filter(({ type }) => type === "agent.run.tokenDelta").map(({ payload }) => payload["text"]);
  expect(texts.join("")).toBe(`${TOKENS.join("")}done`);
  const steps = events.filter(({ type }) => type === "agent.run.stepStarted");
  expect(steps.map(({ payload }) => (payload as { step: { type: string } }).step.type)).toEqual([
    "MODEL",
    "TOOL",
    "MODEL",
  ]);
});

test("the run that is suspended waits for a person", async () => {
  const runId = await startRun(caller, { agentKey: AGENT.key, prompt: APPROVAL_PROMPT });
  expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_APPROVAL", leaseExpiresAt: null });
});

test("stored runs are whole copies of one that ran", async () => {
  expect(await fillRuns(database().urls.admin, 12)).toBe(12);
  await expectSoundRuns(database(), caller);
  const { rows } = await database().owner.query<{ id: string; rows: string }>(`
    SELECT r.id, format('%s threads, %s steps, %s messages, %s calls, %s usage, %s events',
      (SELECT count(*) FROM agent.thread t WHERE t.id = r.thread_id), (SELECT count(*) FROM agent.step WHERE run_id = r.id),
      (SELECT count(*) FROM agent.message WHERE run_id = r.id), (SELECT count(*) FROM integrations.tool_call WHERE run_id = r.id),
      (SELECT count(*) FROM billing.usage_record WHERE run_id = r.id), (SELECT count(*) FROM platform.event WHERE stream = 'run:' || r.id)) AS rows
    FROM agent.run r WHERE status = 'COMPLETED' ORDER BY id`);
  expect(new Set(rows.map((row) => row.rows)).size).toBe(1);
  expect(rows[0]!.rows).toMatch(/^1 threads, 3 steps, 4 messages, 1 calls, \d+ usage, \d+ events$/);
  expect(await getRun(caller, rows[0]!.id)).toMatchObject({
    output: "done",
    lastSeq: (await journalOf(caller, rows[0]!.id)).length,
  });
});
