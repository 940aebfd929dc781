import { DecideApprovalDocument, RunDocument, SendRunInputDocument, StartRunDocument } from "@sba/client";
import { describe, expect, it } from "vitest";
import { collectEvents, eventually, pendingApproval, useSystem } from "../story.ts";

const story = useSystem();

describe("steer, queue, interrupt", () => {
  it("says three things to a run that waits for a person: one to the run, one after it, one in its place", async () => {
    const [operator, owner] = [story().client("operator"), story().client("owner")];
    const { startRun } = await operator.mutate(StartRunDocument, {
      agentKey: "assistant",
      prompt: "Create a task to order a new wind tunnel fan",
    });
    const runId = startRun.id;
    const { id: approvalId, fingerprint, version: expectedVersion } = await pendingApproval(owner, runId);

    const steered = await operator.mutate(SendRunInputDocument, {
      runId,
      input: "What is known about flutter?",
      mode: "STEER",
    });
    expect(steered.sendRunInput).toEqual({ id: runId, status: "AWAITING_APPROVAL" });
    const queued = await operator.mutate(SendRunInputDocument, {
      ...{ runId, input: "What is known about heat transfer?", mode: "QUEUE" },
    });
    expect(queued.sendRunInput).toMatchObject({ status: "CREATED" });
    const nextId = queued.sendRunInput.id;
    expect(nextId).not.toBe(runId);

    await owner.mutate(DecideApprovalDocument, { approvalId, fingerprint, expectedVersion, decision: "APPROVED" });
    const types = (await collectEvents(operator, runId)).map(({ __typename }) => __typename);
    expect(types.filter((type) => type.startsWith("RunInput"))).toEqual([
      ...["RunInputReceived", "RunInputReceived", "RunInputTold"],
    ]);
    const answer = await collectEvents(operator, nextId);
    expect(answer.at(-1)).toMatchObject({ __typename: "RunFinished", run: { status: "COMPLETED" } });
    const [first, next] = await Promise.all([runId, nextId].map((id) => operator.query(RunDocument, { id })));
    expect(Date.parse(next!.run.startedAt!)).toBeGreaterThanOrEqual(Date.parse(first!.run.endedAt!));

    const { startRun: again } = await operator.mutate(StartRunDocument, {
      ...{ agentKey: "assistant", prompt: "Create a task to sell the old fan", threadId: startRun.thread.id },
    });
    await pendingApproval(owner, again.id);
    const instead = await operator.mutate(SendRunInputDocument, {
      ...{ runId: again.id, input: "What is known about flutter at high speed?", mode: "INTERRUPT" },
    });
    const stopped = await collectEvents(operator, again.id);
    expect(stopped.at(-1)).toMatchObject({ __typename: "RunFinished", run: { status: "CANCELLED" } });
    const [ended] = (await collectEvents(operator, instead.sendRunInput.id)).slice(-1);
    expect(ended).toMatchObject({ __typename: "RunFinished", run: { status: "COMPLETED" } });
    await eventually(async () => {
      const { run } = await operator.query(RunDocument, { id: again.id });
      return run.approvals.every(({ status }) => status === "CANCELLED");
    });
  });
});
