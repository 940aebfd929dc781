import { aCaller, eventually } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { inTrials, pick, trialsOf } from "@sba/testkit/trials";
import { expect, test } from "vitest";
import { says, useScriptedModels } from "../model/testing.ts";
import { getRun, startRun } from "./run.ts";
import { aDispatcher, anAgent, expectSoundRuns, statusesOf } from "./testing.ts";

const database = useDatabase();
const model = useScriptedModels().server;
const TRIALS = { trials: trialsOf(100), atOnce: 4, timeout: 300_000 };
const PATIENCE = { timeoutMs: 60_000 };

test("two inputs at once, while the run before them ends, each begin once and in turn", TRIALS, async () => {
  const caller = aCaller();
  model().answer = says("Well.");
  const agentKey = await anAgent(caller);
  const drain = await aDispatcher({ capacity: 8 });
  await inTrials(TRIALS.trials, TRIALS.atOnce, async (trial) => {
    const first = await startRun(caller, { agentKey, prompt: "0" });
    const { threadId } = await getRun(caller, first);
    await eventually(async () => (await getRun(caller, first)).lastSeq >= pick(trial, 9), PATIENCE);
    const onBusyThread = (["ENQUEUE", "ENQUEUE", "INTERRUPT"] as const)[trial % 3]!;
    const ids = await Promise.all(
      ["1", "2"].map((prompt) => startRun(caller, { agentKey, prompt, threadId, options: { onBusyThread } })),
    );
    for (const runId of ids) await eventually(async () => (await getRun(caller, runId)).endedAt !== null, PATIENCE);
    const runs = (await Promise.all([first, ...ids].map((id) => getRun(caller, id)))).toSorted((a, b) =>
      a.id < b.id ? -1 : 1,
    );
    expect(runs[0]!.id).toBe(first);
    for (const [index, run] of runs.entries()) {
      expect(run.status).toMatch(onBusyThread === "ENQUEUE" ? /COMPLETED/ : /COMPLETED|CANCELLED/);
      const statuses = await statusesOf(caller, run.id);
      expect(statuses.filter((status) => status === "EXECUTING").length).toBeLessThanOrEqual(1);
      if (index > 0 && run.status === "COMPLETED") {
        expect(run.startedAt!.getTime()).toBeGreaterThanOrEqual(runs[index - 1]!.endedAt!.getTime());
      }
    }
    expect(runs.at(-1)!.status).toBe("COMPLETED");
  });
  await drain();
  await expectSoundRuns(database(), caller);
});
