import { describe, expect, it } from "vitest";
import { canMove, isEnded, nextAction, RUN_STATUSES, type PendingCall, type Situation } from "./run.state.ts";

const situation: Situation = {
  status: "EXECUTING",
  nextStepNumber: 1,
  maxSteps: 10,
  pendingCalls: [],
  lastSpeaker: "user",
  asksPerson: false,
  hasUnread: false,
};

describe("the next action of a run", () => {
  it("lets the model speak after the person and after a tool", () => {
    expect(nextAction(situation)).toEqual({ kind: "model" });
    expect(nextAction({ ...situation, lastSpeaker: "tool" })).toEqual({ kind: "model" });
  });

  it("completes when the model spoke last and asked for nothing", () => {
    expect(nextAction({ ...situation, lastSpeaker: "assistant" })).toEqual({ kind: "complete" });
  });

  it("waits for the person whom the model asked", () => {
    expect(nextAction({ ...situation, lastSpeaker: "assistant", asksPerson: true })).toEqual({ kind: "awaitInput" });
  });

  it("lets the model speak once more rather than end or wait for the person, while it has not been told everything", () => {
    const unread = { ...situation, lastSpeaker: "assistant" as const, hasUnread: true };
    expect(nextAction(unread)).toEqual({ kind: "model" });
    expect(nextAction({ ...unread, asksPerson: true })).toEqual({ kind: "model" });
    expect(nextAction({ ...unread, nextStepNumber: 11 })).toEqual({ kind: "stepsExhausted" });
    const pendingCalls: PendingCall[] = [{ id: "a", approval: "PENDING", outcome: "REQUESTED" }];
    expect(nextAction({ ...unread, pendingCalls })).toEqual({ kind: "awaitApproval" });
    expect(nextAction({ ...unread, status: "CANCELLING" })).toEqual({ kind: "cancel" });
  });

  it("calls what needs no approval before it waits for one", () => {
    const pendingCalls: PendingCall[] = [
      { id: "a", approval: "PENDING", outcome: "REQUESTED" },
      { id: "b", approval: undefined, outcome: "REQUESTED" },
    ];
    expect(nextAction({ ...situation, lastSpeaker: "assistant", pendingCalls })).toEqual({ kind: "tool", callId: "b" });
    expect(nextAction({ ...situation, lastSpeaker: "assistant", pendingCalls: pendingCalls.slice(0, 1) })).toEqual({
      kind: "awaitApproval",
    });
  });

  it("calls what was approved and refuses what was not", () => {
    const call = (approval: "APPROVED" | "DENIED" | "EXPIRED" | "CANCELLED") =>
      nextAction({
        ...situation,
        lastSpeaker: "assistant",
        pendingCalls: [{ id: "a", approval, outcome: "REQUESTED" }],
      });
    expect(call("APPROVED")).toEqual({ kind: "tool", callId: "a" });
    expect(call("DENIED")).toEqual({ kind: "refuse", callId: "a" });
    expect(call("EXPIRED")).toEqual({ kind: "refuse", callId: "a" });
    expect(call("CANCELLED")).toEqual({ kind: "refuse", callId: "a" });
  });

  it("goes on with other calls while the outcome of one is unknown, then waits for who decides and for the operator", () => {
    const unknown: PendingCall = { id: "a", approval: "APPROVED", outcome: "UNKNOWN" };
    const after = (...others: PendingCall[]) =>
      nextAction({ ...situation, lastSpeaker: "tool", pendingCalls: [unknown, ...others] });
    expect(after({ id: "b", approval: undefined, outcome: "REQUESTED" })).toEqual({ kind: "tool", callId: "b" });
    expect(after({ id: "b", approval: "PENDING", outcome: "REQUESTED" })).toEqual({ kind: "awaitApproval" });
    expect(after()).toEqual({ kind: "awaitOperator" });
  });

  it("tells the model what an operator said of a call, whatever was decided before and also as the last step", () => {
    for (const outcome of ["SUCCEEDED", "FAILED"] as const) {
      const pendingCalls: PendingCall[] = [{ id: "a", approval: "APPROVED", outcome }];
      expect(nextAction({ ...situation, pendingCalls, nextStepNumber: 11 })).toEqual({ kind: "answer", callId: "a" });
    }
  });

  it("ends the run when its steps are used up, but still lets it complete", () => {
    const spent = { ...situation, nextStepNumber: 11 };
    expect(nextAction(spent)).toEqual({ kind: "stepsExhausted" });
    expect(nextAction({ ...spent, lastSpeaker: "assistant" })).toEqual({ kind: "complete" });
  });

  it("rests while the run is paused, whatever is due", () => {
    const pendingCalls = [{ id: "a", approval: undefined, outcome: "REQUESTED" as const }];
    expect(nextAction({ ...situation, status: "PAUSED" })).toEqual({ kind: "rest" });
    expect(nextAction({ ...situation, status: "PAUSED", pendingCalls })).toEqual({ kind: "rest" });
  });

  it("cancels before anything else", () => {
    expect(
      nextAction({
        ...situation,
        status: "CANCELLING",
        pendingCalls: [{ id: "a", approval: undefined, outcome: "UNKNOWN" }],
      }),
    ).toEqual({ kind: "cancel" });
  });
});

describe("the statuses of a run", () => {
  it("leave every status that is not an end, and no end", () => {
    for (const from of RUN_STATUSES) {
      const ways = RUN_STATUSES.filter((to) => canMove(from, to));
      expect(ways.length === 0, from).toBe(isEnded(from));
    }
  });

  it("come back from PAUSED to wherever they were", () => {
    for (const from of RUN_STATUSES.filter((status) => canMove(status, "PAUSED"))) {
      expect(canMove("PAUSED", from), from).toBe(true);
    }
  });

  it("reach CANCELLED only through CANCELLING", () => {
    expect(RUN_STATUSES.filter((from) => canMove(from, "CANCELLED"))).toEqual(["CANCELLING"]);
  });
});
