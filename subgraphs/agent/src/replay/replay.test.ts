import { givenCollection } from "@sba/knowledge/testing";
import type { Caller } from "@sba/platform/caller";
import { newId } from "@sba/platform/ids";
import { aCaller, aColleagueOf, eventually } from "@sba/testkit/fixtures";
import { denyNetwork } from "@sba/testkit/network";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { beforeAll, describe, expect, it } from "vitest";
import { createAgent } from "../agent/agent.ts";
import { findApprovalsOfRuns } from "../approval/approval.ts";
import type { DecideApprovalInput } from "../approval/decide.ts";
import { lapseApprovals } from "../approval/lapse.ts";
import { setApprovalPolicy } from "../approval/policy.ts";
import { decide, letTimePass } from "../approval/testing.ts";
import { breaksOffAfter, inTurn, refuses, says, useScriptedModels } from "../model/testing.ts";
import { giveUpPoison } from "../run/poison.ts";
import { forkRun } from "../run/fork.ts";
import { pauseRun, resumeRun } from "../run/pause.ts";
import { executeRun, planRun } from "../run/plan-run.ts";
import { cancelRun } from "../run/cancel.ts";
import { continueRun, getRun, startRun, type RunOptions } from "../run/run.ts";
import { sendRunInput } from "../run/send-input.ts";
import { anAgent, asks, calls, holds, untilShown, workOn } from "../run/testing.ts";
import { driveRun } from "../testing.ts";
import { findTenantOfRun } from "./recording.ts";
import { replayRun } from "./replay.ts";

const database = useDatabase();
const { server } = useScriptedModels();
useBlobs();

const ENDED = /^(COMPLETED|FAILED|CANCELLED)$/;
const WRITES = calls(["task.create", { title: "Renew the lease" }]);
const TWICE = calls(["task.create", { title: "Renew the lease" }], ["task.create", { title: "Water the plants" }]);

let caller: Caller;
beforeAll(() => {
  caller = aCaller();
});

async function begin(tools: readonly string[] = [], options?: RunOptions): Promise<string> {
  const agentKey = await anAgent(caller, { tools: [...tools] });
  return startRun(caller, { agentKey, prompt: "Hello?", ...(options && { options }) });
}

async function toTheEnd(runId: string): Promise<string> {
  await eventually(async () => ENDED.test((await driveRun(caller, runId)).status), { timeoutMs: 20_000 });
  return runId;
}

async function decideAll(runId: string, decision: "APPROVED" | "DENIED", more: Partial<DecideApprovalInput> = {}) {
  await driveRun(caller, runId);
  const approvals = await findApprovalsOfRuns(caller, [runId]);
  for (const approval of approvals.filter(({ status }) => status === "PENDING"))
    await decide(aColleagueOf(caller), approval, decision, more);
  return runId;
}

/** A run in the middle of a turn. */
async function speaking(): Promise<{ runId: string; worker: Promise<void> }> {
  server().answer = inTurn(holds("Half ").answer, says("Whole."));
  const runId = await begin();
  const worker = workOn(caller, runId);
  await untilShown(caller, runId, "Half ");
  return { runId, worker };
}

/** Takes a run away from its worker, as if that had died. */
async function takeAway(runId: string): Promise<void> {
  await database().owner.query(
    "UPDATE agent.run SET fence = fence + 1, lease_expires_at = clock_timestamp() WHERE id = $1",
    [runId],
  );
}

async function aLookUp(): Promise<string> {
  await givenCollection(caller, [{ title: "Leave", text: "Employees receive twenty five days of annual leave." }]);
  const key = `l-${newId().slice(-12)}`;
  const tools = ["knowledge.search", "document.render"];
  await createAgent(caller, { key, name: "L", instructions: "Look it up.", model: "local", tools });
  return toTheEnd(await startRun(caller, { agentKey: key, prompt: "How many days of annual leave are there?" }));
}

/** How runs can go, each to its end. */
const STORIES: Readonly<Record<string, () => Promise<string>>> = {
  "looks passages up and writes a document": aLookUp,
  "calls a tool that a person approved": async () => {
    server().answer = inTurn(WRITES, says("Do", "ne."));
    return toTheEnd(await decideAll(await begin(["task.create"]), "APPROVED", { reason: "go" }));
  },
  "is denied one of two calls": async () => {
    server().answer = inTurn(TWICE, says("Done."));
    const runId = await begin(["task.create"]);
    await driveRun(caller, runId);
    const [first] = await findApprovalsOfRuns(caller, [runId]);
    await decide(aColleagueOf(caller), first!, "DENIED", { reason: "not now" });
    await driveRun(caller, runId);
    return toTheEnd(await decideAll(runId, "APPROVED"));
  },
  "calls what a person made of its params": async () => {
    server().answer = inTurn(WRITES, says("Done."));
    return toTheEnd(await decideAll(await begin(["task.create"]), "APPROVED", { editedParams: { title: "Sell it" } }));
  },
  "asks by a policy, two people, of whom one comes after its deadline": async () => {
    const agentKey = await anAgent(caller, { tools: ["memory.write"] });
    await setApprovalPolicy(caller, {
      ...{ tool: "memory.write", agentKey, quorum: 2, approverRoles: ["operator"], approverIds: undefined },
      ...{ allowRequester: false, expiresAfterSeconds: 3_600 },
    });
    server().answer = inTurn(calls(["memory.write", { key: "k", text: "t" }]), says("Nobody came."));
    const runId = await startRun(caller, { agentKey, prompt: "Hello?" });
    await driveRun(caller, runId);
    const [approval] = await findApprovalsOfRuns(caller, [runId]);
    await letTimePass(database().owner, approval!);
    await lapseApprovals();
    // As if its second deadline were now: to the millisecond that an event can carry.
    await database().owner.query(
      "UPDATE agent.approval SET expires_at = escalated_at + interval '3600 seconds' WHERE id = $1",
      [approval!.id],
    );
    await cancelRun(caller, { runId });
    return toTheEnd(runId);
  },
  "fails while it waits for a person": async () => {
    server().answer = inTurn(TWICE, says("Done."));
    const runId = await begin(["task.create"], { maxSteps: 1 });
    await driveRun(caller, runId);
    const [first] = await findApprovalsOfRuns(caller, [runId]);
    await decide(aColleagueOf(caller), first!, "APPROVED");
    return toTheEnd(runId);
  },
  "asks the person, and is answered": async () => {
    server().answer = inTurn(asks("Which one?"), says("That one."));
    const runId = await begin();
    expect(await driveRun(caller, runId)).toMatchObject({ status: "AWAITING_INPUT" });
    await continueRun(caller, { runId, input: "The left one." });
    return toTheEnd(runId);
  },
  "is cut off in its answer and tries again": async () => {
    server().answer = inTurn(breaksOffAfter("Half "), says("Who", "le."));
    return toTheEnd(await begin());
  },
  "is billed for an attempt that said nothing": async () => {
    server().answer = inTurn(breaksOffAfter(""), says("Whole."));
    return toTheEnd(await begin());
  },
  "is refused by its provider": async () => {
    server().answer = refuses(400);
    return toTheEnd(await begin());
  },
  "loses its worker in the middle of a turn": async () => {
    const { runId, worker } = await speaking();
    await takeAway(runId);
    await toTheEnd(runId);
    await worker;
    return runId;
  },
  "is drained out of its worker": async () => {
    const drain = new AbortController();
    server().answer = inTurn(holds("Half ").answer, says("Whole."));
    const runId = await begin();
    const worker = workOn(caller, runId, drain.signal);
    await untilShown(caller, runId, "Half ");
    drain.abort();
    await worker;
    return toTheEnd(runId);
  },
  "is given up by those who cannot even begin it": async () => {
    server().answer = says("Whole.");
    const runId = await begin();
    await giveUpPoison(await getRun(caller, runId));
    return runId;
  },
  "is paused in the middle of a turn, and goes on": async () => {
    const { runId, worker } = await speaking();
    await pauseRun(caller, runId);
    await worker;
    await resumeRun(caller, runId);
    return toTheEnd(runId);
  },
  "is cancelled in the middle of a turn": async () => {
    const { runId, worker } = await speaking();
    await cancelRun(caller, { runId });
    await worker;
    return toTheEnd(runId);
  },
  "is cancelled while it waits for two people": async () => {
    server().answer = inTurn(TWICE, says("Done."));
    const runId = await begin(["task.create"]);
    await driveRun(caller, runId);
    await cancelRun(caller, { runId });
    return toTheEnd(runId);
  },
  "is steered in the middle of a turn, and sent what another run answers": async () => {
    const { runId, worker } = await speaking();
    await sendRunInput(caller, { runId, input: "Shorter, please.", mode: "STEER" });
    await sendRunInput(caller, { runId, input: "And then?", mode: "QUEUE" });
    await takeAway(runId);
    await worker;
    return toTheEnd(runId);
  },
  "is steered where it asked": async () => {
    server().answer = inTurn(asks("Which one?"), says("That one."));
    const runId = await begin();
    await driveRun(caller, runId);
    await sendRunInput(caller, { runId, input: "The left one.", mode: "STEER" });
    return toTheEnd(runId);
  },
  "was planned before": async () => {
    const plan = { steps: [{ title: "Say so" }] };
    server().answer = inTurn(calls(["submit_plan", plan]), says("Whole."));
    const { signal } = new AbortController();
    const runId = await planRun(caller, { agentKey: await anAgent(caller), prompt: "Hello?", signal });
    await executeRun(caller, { runId });
    return toTheEnd(runId);
  },
  "goes on from another, with a call of its own": async () => {
    server().answer = inTurn(WRITES, says("Done."));
    const original = await decideAll(await begin(["task.create"]), "APPROVED");
    await toTheEnd(original);
    const asked = await database().owner.query<{ seq: number }>(
      "SELECT min(seq) AS seq FROM platform.event WHERE stream = $1 AND type = 'agent.run.toolRequested'",
      [`run:${original}`],
    );
    server().answer = says("Done.");
    const runId = await forkRun(caller, { runId: original, fromSeq: asked.rows[0]!.seq });
    return toTheEnd(await decideAll(runId, "APPROVED"));
  },
  "runs out of its budget": async () => {
    server().answer = inTurn(calls(["memory.read", {}]), says("Done."));
    return toTheEnd(await begin(["memory.read"], { budgetMicros: "2500" }));
  },
};

describe("replaying a run", () => {
  it(
    "does it again with the same events, whatever became of it, and without the network",
    { timeout: 120_000 },
    async () => {
      const runs = new Map<string, string>();
      for (const [story, tell] of Object.entries(STORIES)) runs.set(await tell(), story);
      const network = denyNetwork({ exceptPort: Number(new URL(database().urls.app).port) });
      try {
        await expect(fetch(server().url)).rejects.toThrow();
        expect(network.refused).toHaveLength(1);
        for (const [runId, story] of runs) {
          const verdict = await replayRun(await findTenantOfRun(runId), runId);
          expect(verdict, story).toMatchObject({ difference: undefined, changedTools: [] });
          expect(verdict.hash).toMatch(/^[0-9a-f]{64}$/);
          expect(verdict.replayedHash).toBe(verdict.hash);
          expect(verdict.events).toBe((await getRun(caller, runId)).lastSeq);
        }
        expect(network.refused).toHaveLength(1);
      } finally {
        network.restore();
      }
    },
  );

  it.each([
    [
      "an event that says something else",
      "UPDATE platform.event SET payload = jsonb_set(payload, '{usage,0,quantity}', '\"7\"') WHERE stream = 'run:' || $1 AND type = 'agent.run.usageRecorded' AND seq > 3",
    ],
    [
      "an event too many",
      "WITH at AS (UPDATE platform.stream SET last_seq = last_seq + 1 WHERE id = 'run:' || $1 RETURNING last_seq) INSERT INTO platform.event SELECT e.stream, at.last_seq, e.tenant_id, e.type, e.version, e.payload, e.at, e.trace_id FROM platform.event e, at WHERE e.stream = 'run:' || $1 AND e.seq = at.last_seq - 1",
    ],
    [
      "another answer of the model",
      "UPDATE agent.message SET text = 'Dane.' WHERE run_id = $1 AND role = 'assistant' AND text <> ''",
    ],
    [
      "another result of a tool",
      'UPDATE integrations.tool_call SET status = \'FAILED\', error = \'{"code":"X","message":"x","retryable":false}\' WHERE run_id = $1',
    ],
    [
      "another price",
      "UPDATE billing.usage_record SET quantity = quantity + 1 WHERE run_id = $1 AND meter = 'model.outputTokens'",
    ],
    [
      "another decision",
      "UPDATE agent.approval_decision SET reason = 'stop' WHERE approval_id IN (SELECT id FROM agent.approval WHERE run_id = $1)",
    ],
    ["other permissions", "UPDATE agent.run SET permissions = '{}' WHERE id = $1"],
    ["a step at another time", "UPDATE agent.step SET ended_at = ended_at + interval '1 second' WHERE run_id = $1"],
  ])("finds %s", async (_what, tampering) => {
    const runId = await STORIES["calls a tool that a person approved"]!();
    const untouched = await replayRun(caller, runId);
    expect(untouched.difference).toBeUndefined();
    await database().owner.query(tampering, [runId]);
    const { hash, replayedHash, difference } = await replayRun(caller, runId);
    expect(replayedHash).not.toBe(hash);
    expect(JSON.stringify(difference?.recorded)).not.toBe(JSON.stringify(difference?.replayed));
  });

  it("is of a run that has ended, of the tenant's own, and of which every event is left", async () => {
    server().answer = says("Whole.");
    const runId = await begin();
    await expect(replayRun(caller, runId)).rejects.toMatchObject({ code: "AGENT_REPLAY_RUN_NOT_ENDED" });
    await toTheEnd(runId);
    await expect(replayRun(aCaller(), runId)).rejects.toMatchObject({ code: "AGENT_RUN_NOT_FOUND" });
    await expect(findTenantOfRun(newId())).rejects.toMatchObject({ code: "AGENT_RUN_NOT_FOUND" });
    await database().owner.query("DELETE FROM platform.event WHERE stream = $1 AND seq = 1", [`run:${runId}`]);
    await expect(replayRun(caller, runId)).rejects.toMatchObject({ code: "AGENT_REPLAY_JOURNAL_INCOMPLETE" });
  });
});
