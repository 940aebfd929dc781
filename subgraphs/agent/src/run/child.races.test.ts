import { aCaller, eventually } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { inTrials, pick, trialsOf } from "@sba/testkit/trials";
import { expect, test } from "vitest";
import { says, useScriptedModels } from "../model/testing.ts";
import { cancelRun } from "./cancel.ts";
import { findChildrenOfRuns, getRun, startRun } from "./run.ts";
import { aDispatcher, anAgent, calls, expectSoundRuns } from "./testing.ts";

const database = useDatabase();
const model = useScriptedModels().server;
const TRIALS = { trials: trialsOf(100), atOnce: 4, timeout: 300_000 };
const PATIENCE = { timeoutMs: 60_000 };

test("a coordinator that is cancelled while its work begins leaves none of it behind", TRIALS, async () => {
  const caller = aCaller();
  const helper = await anAgent(caller, { instructions: "You are the helper." });
  const leader = await anAgent(caller, { instructions: "You lead.", tools: ["agent.delegate"] });
  const delegation = ["agent.delegate", { agentKey: helper, prompt: "Look it up." }] as const;
  const childrenOf = (runId: string) => findChildrenOfRuns(caller, [runId]);
  model().answer = (response, request) => {
    const { messages } = request.body;
    const leads = String(messages[0]!.content).startsWith("You lead") && messages.length === 2;
    return (leads ? calls(delegation, delegation) : says("Well."))(response, request);
  };
  const drain = await aDispatcher({ capacity: 8 });
  const left = new Set<number>();
  await inTrials(TRIALS.trials, TRIALS.atOnce, async (trial) => {
    const runId = await startRun(caller, { agentKey: leader, prompt: "Plan." });
    await eventually(async () => (await getRun(caller, runId)).lastSeq >= pick(trial, 20), PATIENCE);
    await cancelRun(caller, { runId }).catch(() => undefined);
    await eventually(async () => (await getRun(caller, runId)).endedAt !== null, PATIENCE);
    await eventually(async () => (await childrenOf(runId)).every(({ endedAt }) => endedAt !== null), PATIENCE);
    left.add((await childrenOf(runId)).length);
  });
  await drain();
  expect([...left].toSorted()).toEqual([0, 1, 2]);
  await expectSoundRuns(database(), caller);
});
