import { encodeId } from "@sba/platform/ids";
import type { Caller } from "@sba/platform/caller";
import { aCaller, aColleagueOf, eventually } from "@sba/testkit/fixtures";
import { expectData } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { beforeEach, describe, expect, it } from "vitest";
import type { BusyThreadPolicy } from "../agent/agent.ts";
import { inTurn, says, useScriptedModels } from "../model/testing.ts";
import { schema } from "../schema.ts";
import { driveRun } from "../testing.ts";
import { letRunsOfFreeThreadsIn } from "./busy-thread.ts";
import { cancelRun } from "./cancel.ts";
import { pauseRun, resumeRun } from "./pause.ts";
import { getRun, listRuns, startRun } from "./run.ts";
import {
  anAgent,
  asks,
  auditedRuns,
  calls,
  expectSoundRuns,
  holds,
  statusesOf,
  untilShown,
  workOn,
} from "./testing.ts";

const database = useDatabase();
const model = useScriptedModels().server;

/** A row, and nothing else: no lease, nobody's turn, no slot of the concurrent runs. */
const WAITS = { status: "CREATED", waitsForThread: true, dueAt: null, leaseExpiresAt: null, slot: null };

let caller: Caller;
beforeEach(() => {
  caller = aCaller();
});

/** A run in the middle of a model turn, its thread, and the worker that is at it. */
async function aBusyThread(onBusyThread: BusyThreadPolicy = "ENQUEUE") {
  const turn = holds("Half ");
  model().answer = inTurn(turn.answer, says("Whole."));
  model().received.length = 0;
  const agentKey = await anAgent(caller, { onBusyThread });
  const first = await startRun(caller, { agentKey, prompt: "First?" });
  const { threadId } = await getRun(caller, first);
  const worker = workOn(caller, first);
  await untilShown(caller, first, "Half ");
  const say = (prompt: string, policy?: BusyThreadPolicy, idempotencyKey?: string, who = caller): Promise<string> =>
    startRun(who, { agentKey, prompt, threadId, options: policy ? { onBusyThread: policy } : {}, idempotencyKey });
  // The worker may have had its turn by then, and leave what follows to the next.
  const finish = async (rest?: string): Promise<void> => {
    turn.finish(rest);
    await worker;
    await driveRun(caller, first);
  };
  return { first, threadId, worker, turn, finish, say };
}

/** What the model was told in its last turn, but the instructions. */
function lastTold(): unknown[] {
  return model()
    .received.at(-1)!
    .body.messages.slice(1)
    .map(({ role, content }) => [role, content]);
}

const isDue = (runId: string) => eventually(async () => (await getRun(caller, runId)).dueAt !== null);

async function usageOf(runIds: readonly string[]): Promise<unknown> {
  const { rows } = await database().owner.query<{ micros: string }>(
    "SELECT coalesce(sum(amount_micros), 0)::text AS micros FROM billing.usage_record WHERE run_id = ANY($1)",
    [runIds],
  );
  return rows[0]!.micros;
}

describe("new input for a busy thread", () => {
  it("is refused where the agent says so, and by a call that says so of an agent that does not", async () => {
    for (const policy of ["REJECT", "ENQUEUE"] as const) {
      const { say, finish } = await aBusyThread(policy);
      await expect(say("Second?", policy === "REJECT" ? undefined : "REJECT")).rejects.toMatchObject({
        code: "AGENT_THREAD_BUSY",
        kind: "conflict",
      });
      await finish();
    }
    expect((await listRuns(caller, { first: 10 })).items).toHaveLength(2);
  });

  it("waits by default, holding nothing, and begins in the order of acceptance when the run before it has ended", async () => {
    const { first, say, finish } = await aBusyThread();
    const second = await say("Second?");
    const third = await say("Third?");
    for (const runId of [second, third]) expect(await getRun(caller, runId)).toMatchObject(WAITS);
    expect(await driveRun(caller, second)).toMatchObject({ stepNumber: 0, waitsForThread: true });
    await expectSoundRuns(database(), caller);
    await finish("done.");
    await isDue(second);
    expect(await getRun(caller, third)).toMatchObject(WAITS);
    expect(await driveRun(caller, second)).toMatchObject({ status: "COMPLETED", slot: "HELD" });
    expect(lastTold()).toEqual([
      ["user", "First?"],
      ["assistant", "Half done."],
      ["user", "Second?"],
    ]);
    await isDue(third);
    expect(await driveRun(caller, third)).toMatchObject({ status: "COMPLETED" });
    expect(lastTold()).toHaveLength(5);
    expect(await statusesOf(caller, third)).toEqual(["CREATED", "EXECUTING", "COMPLETED"]);
    expect(await getRun(caller, first)).toMatchObject({ status: "COMPLETED" });
    await expectSoundRuns(database(), caller);
  });

  it("is the same run for the same key, also when the thread has become free", async () => {
    const { say, finish, threadId } = await aBusyThread();
    const ids = await Promise.all([say("Second?", undefined, "k"), say("Second?", undefined, "k")]);
    await finish();
    await isDue(ids[0]);
    await driveRun(caller, ids[0]);
    ids.push(await say("Second?", undefined, "k"));
    expect(new Set(ids).size).toBe(1);
    expect((await listRuns(caller, { first: 10 }, { threadId })).items).toHaveLength(2);
    await expect(say("Another?", undefined, "k")).rejects.toMatchObject({ code: "IDEMPOTENCY_KEY_REUSED" });
  });

  it("waits while the run rests for a person, and begins when that run is cancelled", async () => {
    const agentKey = await anAgent(caller);
    model().answer = inTurn(asks("Which one?"), says("Well."));
    const first = await startRun(caller, { agentKey, prompt: "First?" });
    const { threadId } = await driveRun(caller, first);
    const second = await startRun(caller, { agentKey, prompt: "Second?", threadId });
    expect(await letRunsOfFreeThreadsIn()).toBe(0);
    expect(await getRun(caller, second)).toMatchObject(WAITS);
    await cancelRun(caller, { runId: first });
    await driveRun(caller, first);
    await isDue(second);
  });

  it("is taken over by the schedule when whoever ended the run before it died before it could let it in", async () => {
    const { first, say, finish } = await aBusyThread();
    const [second, third] = [await say("Second?"), await say("Third?")];
    // As if its worker died before it could tell anybody: nobody knows of those who wait.
    await database().owner.query("UPDATE agent.run SET followed = false WHERE id = $1", [first]);
    await finish();
    expect(await getRun(caller, second)).toMatchObject(WAITS);
    expect(await letRunsOfFreeThreadsIn()).toBe(1);
    expect(await letRunsOfFreeThreadsIn()).toBe(0);
    expect(await getRun(caller, second)).toMatchObject({ waitsForThread: false, slot: "HELD" });
    expect(await getRun(caller, third)).toMatchObject(WAITS);
  });

  it("that waits can be cancelled and paused without those behind it being lost", async () => {
    const { say, finish } = await aBusyThread();
    const [second, third, fourth] = [await say("Second?"), await say("Third?"), await say("Fourth?")];
    await cancelRun(caller, { runId: second });
    expect(await driveRun(caller, second)).toMatchObject({
      status: "CANCELLED",
      startedAt: expect.any(Date) as unknown,
    });
    await pauseRun(caller, third);
    expect(await getRun(caller, third)).toMatchObject({ status: "PAUSED", waitsForThread: true, dueAt: null });
    await finish();
    await eventually(async () => !(await getRun(caller, third)).waitsForThread);
    expect(await getRun(caller, third)).toMatchObject({ status: "PAUSED", dueAt: null });
    expect(await getRun(caller, fourth)).toMatchObject(WAITS);
    await resumeRun(caller, third);
    expect(await driveRun(caller, third)).toMatchObject({ status: "COMPLETED" });
    await isDue(fourth);
    await expectSoundRuns(database(), caller);
  });

  it("waits for a slot as well when the thread is free and all concurrent runs are under way", async () => {
    const { say, finish } = await aBusyThread();
    const second = await say("Second?");
    // The plan has room for 100; those of others take what the first gives back.
    const others = (runs: number) =>
      database().owner.query("UPDATE billing.quota_use SET running = running + $2 WHERE tenant_id = $1", [
        caller.tenantId,
        runs,
      ]);
    await others(100);
    await finish();
    await eventually(async () => (await getRun(caller, second)).slot === "WAITING");
    expect(await getRun(caller, second)).toMatchObject({ waitsForThread: false, dueAt: null });
    await others(-100);
  });

  it("is refused when a hundred wait", async () => {
    const { first, say, finish } = await aBusyThread();
    await database().owner.query(
      `INSERT INTO agent.run (tenant_id, id, thread_id, agent_id, agent_version_id, agent_key, model, tool_hashes, price_list_version, status, prompt, options,
                              started_by, started_by_kind, permissions, request_id, waits_for_thread)
       SELECT tenant_id, gen_random_uuid(), thread_id, agent_id, agent_version_id, agent_key, model, tool_hashes, price_list_version, 'CREATED', prompt, options,
              started_by, started_by_kind, permissions, request_id, true FROM agent.run, generate_series(1, 99) WHERE id = $1`,
      [first],
    );
    await expect(say("One more?")).rejects.toMatchObject({ code: "AGENT_THREAD_QUEUE_FULL" });
    await finish();
  });

  it("interrupts what is under way, which is kept with what it had said, and begins when that has ended", async () => {
    const { first, say, worker } = await aBusyThread();
    const waiting = await say("Never mind?");
    const second = await say("Shorter?", "INTERRUPT");
    expect(await getRun(caller, second)).toMatchObject(WAITS);
    await worker;
    expect(await getRun(caller, first)).toMatchObject({ status: "CANCELLED", output: "Half ", replacedBy: null });
    expect(await driveRun(caller, waiting)).toMatchObject({ status: "CANCELLED" });
    await isDue(second);
    expect(await driveRun(caller, second)).toMatchObject({ status: "COMPLETED", output: "Whole." });
    expect(lastTold()).toEqual([
      ["user", "First?"],
      ["assistant", "Half "],
      ["user", "Never mind?"],
      ["user", "Shorter?"],
    ]);
    const ended = { action: "agent.run.cancelled", by: caller.principalId };
    expect(await auditedRuns(database(), caller)).toMatchObject(
      [first, waiting].map((runId) => ({ ...ended, target: encodeId("Run", runId) })),
    );
    await expectSoundRuns(database(), caller);
  });

  it("rolls back what is under way: later turns see nothing of it, and what it cost stays", async () => {
    const { first, say, worker } = await aBusyThread("ROLLBACK");
    const charged = await usageOf([first]);
    const second = await say("Instead?");
    await worker;
    expect(await getRun(caller, first)).toMatchObject({ status: "CANCELLED", output: "Half ", replacedBy: second });
    await isDue(second);
    await driveRun(caller, second);
    expect(lastTold()).toEqual([["user", "Instead?"]]);
    expect(await usageOf([first])).toBe(charged);
    const { run } = await expectData(schema, caller, "query ($id: ID!) { run(id: $id) { status output } }", {
      id: encodeId("Run", first),
    });
    expect(run).toEqual({ status: "CANCELLED", output: "Half " });
  });

  it("leaves a call that was cut off answered for models that take no other history", async () => {
    const agentKey = await anAgent(caller, { tools: ["task.create"] });
    model().answer = inTurn(calls(["task.create", { title: "Renew" }]), says("Whole."));
    const first = await startRun(caller, { agentKey, prompt: "First?" });
    const { threadId } = await driveRun(caller, first);
    const options = { onBusyThread: "INTERRUPT" } as const;
    const second = await startRun(caller, { agentKey, prompt: "No, wait.", threadId, options });
    await driveRun(caller, first);
    await isDue(second);
    await driveRun(caller, second);
    expect(lastTold()).toEqual([
      ["user", "First?"],
      ["assistant", null],
      ["tool", expect.stringContaining("AGENT_RUN_ENDED")],
      ["user", "No, wait."],
    ]);
  });

  it("ends nothing for who may not cancel runs", async () => {
    const { first, say, finish } = await aBusyThread();
    const starter = aColleagueOf(caller, ["run:start"]);
    for (const policy of ["INTERRUPT", "ROLLBACK"] as const) {
      await expect(say("Stop!", policy, undefined, starter)).rejects.toMatchObject({ code: "PERMISSION_MISSING" });
    }
    await finish();
    expect(await getRun(caller, first)).toMatchObject({ status: "COMPLETED" });
  });

  it("of another tenant finds no such thread", async () => {
    const { threadId, finish } = await aBusyThread();
    const stranger = aCaller();
    const options = { onBusyThread: "INTERRUPT" } as const;
    const start = startRun(stranger, { agentKey: await anAgent(stranger), prompt: "?", threadId, options });
    await expect(start).rejects.toMatchObject({ code: "AGENT_THREAD_NOT_FOUND" });
    await finish();
  });

  it("takes its policy from the options of startRun", async () => {
    const { threadId, say, turn, worker } = await aBusyThread();
    const { agentKey } = await getRun(caller, await say("Second?"));
    const document = `mutation ($agentKey: String!, $options: RunOptionsInput, $threadId: ID) {
      startRun(input: { agentKey: $agentKey, prompt: "Third?", options: $options, threadId: $threadId }) { id status } }`;
    const variables = { agentKey, threadId: encodeId("Thread", threadId) };
    const { startRun: waits } = await expectData(schema, caller, document, { ...variables, options: {} });
    expect(waits.status).toBe("CREATED");
    const { startRun: interrupts } = await expectData(schema, caller, document, {
      ...variables,
      options: { onBusyThread: "INTERRUPT" },
    });
    expect(interrupts.status).toBe("CREATED");
    await worker;
    expect(() => {
      turn.finish();
    }).toThrow("nobody listens");
  });
});
