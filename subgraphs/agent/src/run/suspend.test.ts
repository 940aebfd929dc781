import { resumeTenant, suspendTenant } from "@sba/identity/index";
import { givenTenant } from "@sba/identity/testing";
import { createWebhookEndpoint } from "@sba/integrations/index";
import type { Caller } from "@sba/platform/caller";
import { useSecretKey } from "@sba/platform/secrets";
import { aColleagueOf } from "@sba/testkit/fixtures";
import { expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { findApprovalsOfRuns } from "../approval/approval.ts";
import { decide } from "../approval/testing.ts";
import { inTurn, says, useScriptedModels } from "../model/testing.ts";
import { schema } from "../schema.ts";
import { driveRun, journalOf } from "../testing.ts";
import { leaseDueRuns } from "./dispatch.ts";
import { forkRun } from "./fork.ts";
import { pauseRun, resumeRun } from "./pause.ts";
import { getRun, startRun } from "./run.ts";
import { anAgent, calls, expectSoundRuns, holds, shownText, statusesOf, untilShown, workOn } from "./testing.ts";

const database = useDatabase();
const model = useScriptedModels().server;

/** Due, and held by nobody. */
const LEFT_ALONE = { dueAt: expect.any(Date) as Date, leaseExpiresAt: null };
const ALL = { free: 8, most: 8, held: [] };
const START = `mutation ($agentKey: String!) { startRun(input: { agentKey: $agentKey, prompt: "Hello?" }) { id } }`;

beforeAll(() => {
  useSecretKey("a-secret-key-that-only-tests-know");
});
let caller: Caller;
beforeEach(async () => {
  caller = (await givenTenant()).owner;
});

const suspend = (): Promise<void> => suspendTenant(caller, { by: "OWNER", reason: "An incident" });
const resume = (): Promise<void> => resumeTenant(caller, { by: "OWNER" });
const leased = async (): Promise<string[]> => (await leaseDueRuns(ALL)).map(({ id }) => id);

describe("runs of a suspended tenant", () => {
  it("are cut off in the middle of a turn, are taken by no worker, and go on when it is resumed", async () => {
    const turn = holds("Half ");
    model().answer = inTurn(turn.answer, says("Whole."));
    const runId = await startRun(caller, { agentKey: await anAgent(caller), prompt: "Hello?" });
    const worker = workOn(caller, runId);
    await untilShown(caller, runId, "Half ");
    await suspend();
    await worker;
    expect(await getRun(caller, runId)).toMatchObject({ ...LEFT_ALONE, status: "EXECUTING" });
    expect(await driveRun(caller, runId)).toMatchObject({ ...LEFT_ALONE, status: "EXECUTING" });
    expect(await leased()).toEqual([]);
    await resume();
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Whole." });
    expect(await statusesOf(caller, runId)).toEqual(["CREATED", "EXECUTING", "COMPLETED"]);
    expect((await journalOf(caller, runId)).filter(({ type }) => type === "agent.run.stepRestarted")).toMatchObject([
      { payload: { attempt: 1, step: { number: 1 } } },
    ]);
    expect(await shownText(caller, runId)).toBe("Half Whole.");
    await expectSoundRuns(database(), caller);
  });

  it("keep what came of a tool that must not be called twice", async () => {
    await createWebhookEndpoint(caller, {
      name: "orders",
      url: `${model().url}/orders`,
      honoursIdempotencyKeys: false,
    });
    const speaks = inTurn(calls(["webhook.send", { endpoint: "orders", payload: {} }]), says("Sent."));
    const sent = Promise.withResolvers<() => void>();
    let sentTimes = 0;
    model().answer = (response, request) => {
      if (!request.path.endsWith("/orders")) return speaks(response, request);
      sentTimes++;
      sent.resolve(() => response.end("ok"));
    };
    const agentKey = await anAgent(caller, { tools: ["webhook.send"] });
    const runId = await startRun(caller, { agentKey, prompt: "Hello?" });
    const worker = workOn(caller, runId);
    const finish = await sent.promise;
    await suspend();
    finish();
    await worker;
    const stopped = (await journalOf(caller, runId)).map(({ type }) => type);
    await resume();
    expect(await driveRun(caller, runId)).toMatchObject({ status: "COMPLETED", output: "Sent." });
    expect(sentTimes).toBe(1);
    expect(stopped).not.toContain("agent.run.stepRestarted");
    await expectSoundRuns(database(), caller);
  });

  it("wait for what they waited for, and stay paused where a person paused them", async () => {
    model().answer = inTurn(calls(["task.create", { title: "Renew the lease" }]), says("Done."), says("Paused."));
    const asking = await startRun(caller, {
      agentKey: await anAgent(caller, { tools: ["task.create"] }),
      prompt: "Hello?",
    });
    expect(await driveRun(caller, asking)).toMatchObject({ status: "AWAITING_APPROVAL" });
    const paused = await startRun(caller, { agentKey: await anAgent(caller), prompt: "Hello?" });
    await pauseRun(caller, paused);
    await suspend();
    // What a person decides meanwhile, by a link for one, is kept.
    const [approval] = await findApprovalsOfRuns(caller, [asking]);
    await decide(aColleagueOf(caller), approval!, "APPROVED");
    expect(await leased()).toEqual([]);
    await resume();
    expect(await driveRun(caller, asking)).toMatchObject({ status: "COMPLETED", output: "Done." });
    expect(await driveRun(caller, paused)).toMatchObject({ status: "PAUSED" });
    await resumeRun(caller, paused);
    expect(await driveRun(caller, paused)).toMatchObject({ status: "COMPLETED" });
    await expectSoundRuns(database(), caller);
  });

  it("are not started, forked or begun anew, nor are others' held up; a repeat of an earlier start finds its run", async () => {
    model().answer = says("Hello.");
    const other = (await givenTenant()).owner;
    const [agentKey, othersKey] = [await anAgent(caller), await anAgent(other)];
    const input = { agentKey, prompt: "Hello?", idempotencyKey: "k" };
    const runId = await startRun(caller, input);
    await driveRun(caller, runId);
    const waiting = await startRun(caller, { agentKey, prompt: "Hello?" });
    await suspend();
    expect(await expectRefusal(schema, caller, START, { agentKey })).toMatchObject({
      code: "FORBIDDEN",
      reason: "TENANT_SUSPENDED",
      retryable: false,
    });
    await expect(startRun(caller, { ...input, idempotencyKey: "l" })).rejects.toMatchObject({
      code: "TENANT_SUSPENDED",
    });
    await expect(forkRun(caller, { runId, fromSeq: 1 })).rejects.toMatchObject({ code: "TENANT_SUSPENDED" });
    expect(await startRun(caller, input)).toBe(runId);
    const { rows } = await database().owner.query("SELECT id FROM agent.run WHERE tenant_id = $1", [caller.tenantId]);
    expect(rows).toHaveLength(2);
    const theirs = await startRun(other, { agentKey: othersKey, prompt: "Hello?" });
    expect(await leased()).toEqual([theirs]);
    await resume();
    expect(await leased()).toEqual([waiting]);
  });
});
