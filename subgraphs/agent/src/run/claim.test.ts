import { setBudget } from "@sba/billing/index";
import { suspendTenant } from "@sba/identity/index";
import { givenTenant } from "@sba/identity/testing";
import type { Caller } from "@sba/platform/caller";
import { logger } from "@sba/platform/log";
import { pubsub } from "@sba/platform/pubsub";
import { eventually } from "@sba/testkit/eventually";
import { aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { beforeEach, describe, expect, it } from "vitest";
import { aRunThatAsks, decide } from "../approval/testing.ts";
import { journalOf } from "../testing.ts";
import { advanceTaken } from "./advance.ts";
import { cancelRun } from "./cancel.ts";
import { claimAccepted, claimWoken, takeFound, type Taken } from "./claim.ts";
import { leaseDueRuns } from "./dispatch.ts";
import { getRun, startRun } from "./run.ts";
import { aDispatcher, anAgent, expectSoundRuns, workOn } from "./testing.ts";
import { RUNS_DUE, type DueRuns } from "./wake.ts";

const database = useDatabase();
const context = { signal: new AbortController().signal, log: logger };

let caller: Caller;
let agentKey: string;
beforeEach(async () => {
  caller = (await givenTenant()).owner;
  agentKey = await anAgent(caller, { model: "local" });
});

const start = (): Promise<string> => startRun(caller, { agentKey, prompt: "Who are you?" });

/** What was written of a run, without what differs from run to run. */
async function writtenOf(runId: string) {
  const { rows } = await database().owner.query(
    "SELECT number, type, model, tool_call_id, ended_at IS NULL AS is_open FROM agent.step WHERE run_id = $1",
    [runId],
  );
  const { status, stepNumber, stepAttempt, fence, takeovers, revision, spentMicros } = await getRun(caller, runId);
  const journal = JSON.stringify(await journalOf(caller, runId)).replace(/\d{4}-\d\d-\d\dT[^"]*/g, "then");
  return { status, stepNumber, stepAttempt, fence, takeovers, revision, spentMicros, rows, journal };
}

const outcomeOf = (claim: Promise<Taken | undefined>): Promise<string> =>
  claim.then(
    (taken) => (taken ? "taken" : "left"),
    (error: unknown) => (error as Error).message,
  );

describe("a run that was accepted just now", () => {
  it("is begun as one that was looked for, in one round trip", async () => {
    const [claimed, found] = [await start(), await start()];
    const { result: taken, trips } = await countStatements(() => claimAccepted(caller, { id: claimed }));
    expect(trips).toBe(1);
    const [run] = (await leaseDueRuns({ free: 8, most: 8, held: [] })).filter(({ id }) => id === found);
    const { session } = await takeFound(run!).begin();
    expect(await writtenOf(claimed)).toEqual(await writtenOf(found));
    const begun = await taken.begin();
    expect(begun.session.history).toMatchObject([{ text: "Who are you?" }]);
    expect(begun.session.policies).toEqual(session.policies);
    await advanceTaken(taken, context);
    expect(await getRun(caller, claimed)).toMatchObject({ status: "COMPLETED" });
    await expectSoundRuns(database(), caller);
  });

  it("is begun once, and each of several for itself", async () => {
    const ids = await Promise.all([start(), start(), start()]);
    // One that somebody has touched must not keep the others.
    await cancelRun(caller, { runId: ids[1] });
    const claimAll = () => Promise.all(ids.map((id) => outcomeOf(claimAccepted(caller, { id }))));
    expect(await claimAll()).toEqual(["taken", "AGENT_RUN_NOT_NEW", "taken"]);
    expect(await claimAll()).toEqual(ids.map(() => "AGENT_RUN_NOT_NEW"));
  });

  it("is one worker's, whether that looked or heard of it", async () => {
    for (let trial = 0; trial < 10; trial++) {
      const ids = await Promise.all([start(), start(), start()]);
      const claims = ids.map((id) => outcomeOf(claimAccepted(caller, { id })));
      const [found, outcomes] = await Promise.all([leaseDueRuns({ free: 8, most: 8, held: [] }), Promise.all(claims)]);
      const claimed = ids.filter((_, index) => outcomes[index] === "taken");
      const leased = found.map(({ id }) => id).filter((id) => ids.includes(id));
      expect([...claimed, ...leased].toSorted()).toEqual(ids.toSorted());
    }
  });

  it("is not begun by its id alone when more has to be known of it", async () => {
    await setBudget(caller, { scope: "TENANT", limitMicros: 1_000_000n, period: "DAY" });
    const budgeted = await start();
    expect(await outcomeOf(claimAccepted(caller, { id: budgeted }))).toBe("AGENT_RUN_NOT_NEW");
    expect(await getRun(caller, budgeted)).toMatchObject({ status: "CREATED", fence: 0, leaseExpiresAt: null });
  });

  it("is left alone when its tenant is suspended", async () => {
    const runId = await start();
    await suspendTenant(caller, { by: "OWNER", reason: "An incident" });
    expect(await outcomeOf(claimAccepted(caller, { id: runId }))).toMatch(/suspended/i);
    expect(await outcomeOf(claimWoken(caller, { id: runId }))).toBe("left");
    expect(await getRun(caller, runId)).toMatchObject({ status: "CREATED", fence: 0 });
  });
});

describe("a run that had waited", () => {
  it("is leased with all that it decides from in one round trip, by one of many", async () => {
    const { runId, approval } = await aRunThatAsks(caller);
    await decide(aColleagueOf(caller), approval, "APPROVED");
    const woken = { id: runId, callId: approval.toolCallId! };
    const { result: claims, trips } = await countStatements(() =>
      Promise.all(Array.from({ length: 5 }, () => claimWoken(caller, woken))),
    );
    expect(trips).toBe(5);
    const [taken, ...others] = claims.filter((claim) => claim !== undefined);
    expect(others).toEqual([]);
    await advanceTaken(taken!, context);
    expect(await getRun(caller, runId)).toMatchObject({ status: "COMPLETED" });
    await expectSoundRuns(database(), caller);
  });

  it("is taken up as it is when its lease is free, whoever else moves it meanwhile", async () => {
    const runId = await start();
    // Each waits for the row that another moves on and lets go of.
    const takers = Array.from({ length: 6 }, async (_, index) => {
      if (index % 2 === 0) return workOn(caller, runId, AbortSignal.timeout(0));
      const taken = await claimWoken(caller, { id: runId });
      if (taken) await advanceTaken(taken, context);
    });
    await Promise.all(takers);
    const started = (await journalOf(caller, runId)).filter(({ type }) => type === "agent.run.stepStarted");
    const numbers = started.map(({ payload }) => (payload["step"] as { number: number }).number);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  });
});

describe("a worker", () => {
  it("takes what a wake-up names without looking, and looks again after it was too late", async () => {
    const heard: DueRuns[] = [];
    const leave = await pubsub().subscribe(RUNS_DUE, (message) => heard.push(JSON.parse(message!) as DueRuns));
    const drain = await aDispatcher({ capacity: 8 });
    const ended = (id: string) => eventually(async () => (await getRun(caller, id)).endedAt !== null);
    const first = await start();
    await ended(first);
    expect(heard).toMatchObject([{ tenantId: caller.tenantId, accepted: [{ id: first }], woken: [] }]);
    // Named again: it is nobody's to begin.
    pubsub().publish(RUNS_DUE, JSON.stringify({ tenantId: caller.tenantId, accepted: [{ id: first }], woken: [] }));
    await ended(await start());
    await drain();
    await leave();
    await expectSoundRuns(database(), caller);
  });
});
