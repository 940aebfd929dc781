import type { Caller } from "@sba/platform/caller";
import { encodeId } from "@sba/platform/ids";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { expectData } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { beforeEach, describe, expect, it } from "vitest";
import { inTurn, says, useScriptedModels } from "../model/testing.ts";
import { executeRun, planRun } from "../run/plan-run.ts";
import { continueRun, findChildrenOfRuns, startRun } from "../run/run.ts";
import { sendRunInput } from "../run/send-input.ts";
import { anAgent, asks, calls, expectSoundRuns } from "../run/testing.ts";
import { schema } from "../schema.ts";
import { driveRun } from "../testing.ts";
import { findApprovalsOfRuns, listApprovals, type Approval } from "./approval.ts";
import { setApprovalPolicy } from "./policy.ts";
import { decide, reread } from "./testing.ts";

const database = useDatabase();
const model = useScriptedModels().server;

let starter: Caller;
let teller: Caller;
let other: Caller;
beforeEach(() => {
  starter = aCaller();
  teller = aColleagueOf(starter);
  other = aColleagueOf(starter);
});

const creates = calls(["task.create", { title: "Renew the lease" }]);

async function start(): Promise<string> {
  return startRun(starter, { agentKey: await anAgent(starter, { tools: ["task.create"] }), prompt: "Hello?" });
}

async function askedBy(runId: string): Promise<Approval> {
  expect(await driveRun(starter, runId)).toMatchObject({ status: "AWAITING_APPROVAL" });
  const [approval] = await findApprovalsOfRuns(starter, [runId]);
  return approval!;
}

/** A run that asked the person, and that `answer` has do something for which it needs an approval. */
async function aRunThatIsAnswered(answer: (runId: string) => Promise<unknown>): Promise<Approval> {
  model().answer = inTurn(asks("What now?"), creates, says("Done."));
  const runId = await start();
  expect(await driveRun(starter, runId)).toMatchObject({ status: "AWAITING_INPUT" });
  await answer(runId);
  return askedBy(runId);
}

const steer = (runId: string): Promise<string> =>
  sendRunInput(teller, { runId, input: "Create a task.", mode: "STEER" });

/** What the list and the approval itself say of it. */
async function mayDecide(caller: Caller, { id }: Approval): Promise<boolean> {
  const { items } = await listApprovals(caller, { first: 10 }, { mayDecide: true });
  const listed = items.some((item) => item.id === id);
  const source = `query ($id: ID!) { approval(id: $id) { mayDecide } }`;
  const { approval } = await expectData(schema, caller, source, { id: encodeId("Approval", id) });
  expect(approval).toEqual({ mayDecide: listed });
  return listed;
}

/** Neither of the two decides, somebody else does. */
async function expectNeitherDecides(approval: Approval): Promise<void> {
  for (const caller of [starter, teller]) {
    expect(await mayDecide(caller, approval)).toBe(false);
    await expect(decide(caller, approval, "APPROVED")).rejects.toMatchObject({ code: "AGENT_APPROVAL_BY_REQUESTER" });
    // Alone, as one that edits is.
    const edits = { editedParams: { title: "Another" } };
    await expect(decide(caller, approval, "APPROVED", edits)).rejects.toMatchObject({
      code: "AGENT_APPROVAL_BY_REQUESTER",
    });
  }
  expect(await mayDecide(other, approval)).toBe(true);
  await decide(other, approval, "APPROVED");
  expect(await reread(other, approval.id)).toMatchObject({ status: "APPROVED" });
}

describe("whoever has told a run what to do", () => {
  it("does not approve what it asks, having answered it", async () => {
    const approval = await aRunThatIsAnswered((runId) => continueRun(teller, { runId, input: "Create a task." }));
    expect(approval.requestedBy).toBe(starter.principalId);
    await expectNeitherDecides(approval);
    expect(await driveRun(starter, approval.runId!)).toMatchObject({ status: "COMPLETED" });
    await expectSoundRuns(database(), starter);
  });

  it("does not, having sent it something", async () => {
    await expectNeitherDecides(await aRunThatIsAnswered(steer));
    model().answer = inTurn(creates, says("Done."));
    const runId = await start();
    await steer(runId);
    await expectNeitherDecides(await askedBy(runId));
  });

  it("does not, having had its plan executed", async () => {
    model().answer = inTurn(calls(["submit_plan", { steps: [{ title: "Create it" }] }]), creates, says("Done."));
    const agentKey = await anAgent(starter, { tools: ["task.create"] });
    const { signal } = new AbortController();
    const runId = await planRun(starter, { agentKey, prompt: "Hello?", signal });
    await executeRun(teller, { runId });
    await expectNeitherDecides(await askedBy(runId));
  });

  it("does not approve what a run asks to which that one delegates", async () => {
    const helper = await anAgent(starter, { instructions: "You help.", tools: ["task.create"] });
    const leads = inTurn(calls(["agent.delegate", { agentKey: helper, prompt: "Create a task." }]), says("Done."));
    const helps = inTurn(creates, says("Done."));
    model().answer = (response, request) =>
      (request.body.messages[0]!.content === "You help." ? helps : leads)(response, request);
    const agentKey = await anAgent(starter, { tools: ["agent.delegate", "task.create"] });
    const runId = await startRun(starter, { agentKey, prompt: "Hello?" });
    await steer(runId);
    expect(await driveRun(starter, runId)).toMatchObject({ status: "WAITING_TOOL" });
    const [child] = await findChildrenOfRuns(starter, [runId]);
    await expectNeitherDecides(await askedBy(child!.id));
  });

  it("does, when the run had asked before its model knew of that", async () => {
    model().answer = inTurn(creates, says("Done."));
    const runId = await start();
    const approval = await askedBy(runId);
    await steer(runId);
    expect(await driveRun(starter, runId)).toMatchObject({ status: "AWAITING_APPROVAL", unreadInputs: 1 });
    expect(await mayDecide(teller, approval)).toBe(true);
    await decide(teller, approval, "APPROVED");
    expect(await driveRun(starter, runId)).toMatchObject({ status: "COMPLETED", toldBy: [teller.principalId] });
  });

  it("does, when the policy lets who asks decide", async () => {
    await setApprovalPolicy(starter, { tool: "task.create", quorum: 1, allowRequester: true });
    const approval = await aRunThatIsAnswered((runId) => continueRun(teller, { runId, input: "Create a task." }));
    expect(await mayDecide(teller, approval)).toBe(true);
    await decide(teller, approval, "APPROVED");
    expect(await driveRun(starter, approval.runId!)).toMatchObject({ status: "COMPLETED" });
  });

  it("is kept once, however often", async () => {
    model().answer = inTurn(asks("What?"), asks("What else?"), says("Done."));
    const runId = await start();
    for (const input of ["This.", "That."]) {
      expect(await driveRun(starter, runId)).toMatchObject({ status: "AWAITING_INPUT" });
      await continueRun(teller, { runId, input });
    }
    expect(await driveRun(starter, runId)).toMatchObject({ status: "COMPLETED", toldBy: [teller.principalId] });
  });

  it("costs a decision no statement", async () => {
    const approval = await aRunThatIsAnswered(steer);
    const { statements } = await countStatements(() => decide(other, approval, "APPROVED"));
    expect(statements).toHaveLength(9);
  });
});
