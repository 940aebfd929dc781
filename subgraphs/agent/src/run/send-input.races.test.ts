import { AppError } from "@sba/platform/errors";
import { aCaller, eventually } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { inTrials, pick, trialsOf } from "@sba/testkit/trials";
import { expect, test } from "vitest";
import { says, useScriptedModels } from "../model/testing.ts";
import { driveRun, journalOf } from "../testing.ts";
import { getRun, startRun } from "./run.ts";
import { sendRunInput } from "./send-input.ts";
import { aDispatcher, anAgent, expectSoundRuns } from "./testing.ts";

const database = useDatabase();
const model = useScriptedModels().server;
const TRIALS = { trials: trialsOf(100), atOnce: 4, timeout: 300_000 };
const PATIENCE = { timeoutMs: 60_000 };

test("a steer while the run ends is told, or refused: none is taken and lost, none is told twice", TRIALS, async () => {
  const caller = aCaller();
  model().answer = says("Well.");
  const agentKey = await anAgent(caller);
  const { lastSeq } = await driveRun(caller, await startRun(caller, { agentKey, prompt: "Hello?" }));
  const drain = await aDispatcher({ capacity: 8 });
  const outcomes = new Set<string>();
  await inTrials(TRIALS.trials, TRIALS.atOnce, async (trial) => {
    const runId = await startRun(caller, { agentKey, prompt: "Hello?" });
    await eventually(async () => (await getRun(caller, runId)).lastSeq >= pick(trial, lastSeq + 1), PATIENCE);
    const sent = await Promise.all(
      ["1", "2"].map((input) =>
        sendRunInput(caller, { runId, input, mode: "STEER" }).then(
          () => "taken",
          (error: unknown) => (error instanceof AppError ? error.code : String(error)),
        ),
      ),
    );
    for (const outcome of sent) outcomes.add(outcome);
    await eventually(async () => (await getRun(caller, runId)).endedAt !== null, PATIENCE);
    expect(await getRun(caller, runId)).toMatchObject({ status: "COMPLETED", unreadInputs: 0 });
    const journal = await journalOf(caller, runId);
    const received = journal.filter(({ type }) => type === "agent.run.inputReceived");
    const told = journal.filter(({ type }) => type === "agent.run.inputTold");
    expect(told.flatMap(({ payload }) => payload["ordinals"])).toEqual(
      received.map(({ payload }) => payload["ordinal"]),
    );
    expect(received).toHaveLength(sent.filter((outcome) => outcome === "taken").length);
  });
  await drain();
  expect([...outcomes].toSorted()).toEqual(["AGENT_RUN_ENDED", "taken"]);
  await expectSoundRuns(database(), caller);
});
