import { AppError } from "@sba/platform/errors";
import { aCaller, eventually } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { inTrials, pick, trialsOf } from "@sba/testkit/trials";
import { expect, test } from "vitest";
import { createAgent } from "../agent/agent.ts";
import { driveRun } from "../testing.ts";
import { pauseRun, resumeRun } from "./pause.ts";
import type { Run } from "./read.ts";
import { getRun, startRun } from "./run.ts";
import { aDispatcher, expectSoundRuns } from "./testing.ts";

const database = useDatabase();
const TRIALS = { trials: trialsOf(300), atOnce: 8, timeout: 600_000 };
const PATIENCE = { timeoutMs: 60_000 };

test("a run that is paused while it ends has ended, or rests and ends after it has gone on", TRIALS, async () => {
  const caller = aCaller();
  await createAgent(caller, { key: "a", name: "A", instructions: "Help.", model: "local", tools: [] });
  const start = () => startRun(caller, { agentKey: "a", prompt: "What is there to tell about leave?" });
  const { lastSeq } = await driveRun(caller, await start());
  const drain = await aDispatcher({ capacity: 8 });
  const outcomes = new Map<string, number>();
  await inTrials(TRIALS.trials, TRIALS.atOnce, async (trial) => {
    const runId = await start();
    // After any of its events. In how many pieces its text comes is the machine's to say: it may have fewer than the first.
    const seq = pick(trial, lastSeq + 1);
    const hasCome = ({ lastSeq: last, endedAt }: Run): boolean => last >= seq || endedAt !== null;
    await eventually(async () => hasCome(await getRun(caller, runId)), PATIENCE);
    const outcome = await pauseRun(caller, runId).then(
      () => "paused",
      (error: unknown) => (error instanceof AppError ? error.code : String(error)),
    );
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if (outcome === "paused") {
      await eventually(async () => (await getRun(caller, runId)).leaseExpiresAt === null, PATIENCE);
      expect(await getRun(caller, runId)).toMatchObject({ status: "PAUSED", dueAt: null });
      await resumeRun(caller, runId);
    }
    await eventually(async () => (await getRun(caller, runId)).endedAt !== null, PATIENCE);
    expect(await getRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
  });
  await drain();
  expect([...outcomes.keys()].toSorted()).toEqual(["AGENT_RUN_ENDED", "paused"]);
  await expectSoundRuns(database(), caller);
});
