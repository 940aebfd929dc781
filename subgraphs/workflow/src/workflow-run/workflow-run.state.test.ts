import { describe, expect, it } from "vitest";
import {
  canMove,
  isEnded,
  isWorkflowRunStatus,
  nextAction,
  WORKFLOW_RUN_STATUSES,
  type Situation,
} from "./workflow-run.state.ts";

const situation = (given: Partial<Situation>): Situation => ({
  status: "RUNNING",
  openStep: undefined,
  stepsDone: 0,
  stepsTotal: 2,
  ...given,
});

describe("the states of a workflow run", () => {
  it("lead to an end from everywhere, and nowhere from an end", () => {
    for (const status of WORKFLOW_RUN_STATUSES) {
      const next = WORKFLOW_RUN_STATUSES.filter((to) => canMove(status, to));
      expect(next.length === 0).toBe(["COMPLETED", "FAILED", "CANCELLED"].includes(status));
      expect(isEnded(status)).toBe(next.length === 0);
    }
  });

  it("let cancelling end in nothing but cancelled", () => {
    expect(WORKFLOW_RUN_STATUSES.filter((to) => canMove("CANCELLING", to))).toEqual(["CANCELLED"]);
  });

  it("are a closed set", () => {
    expect([isWorkflowRunStatus("RUNNING"), isWorkflowRunStatus("running"), isEnded("something")]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe("nextAction", () => {
  it.each<[string, Partial<Situation>, object]>([
    ["begins the first step", { status: "CREATED" }, { kind: "begin", number: 1 }],
    ["begins the step after those that are done", { stepsDone: 1 }, { kind: "begin", number: 2 }],
    ["completes after the last step", { stepsDone: 2 }, { kind: "complete" }],
    ["looks at what a waiting step waits for", { status: "WAITING", openStep: "WAITING" }, { kind: "look" }],
    ["performs a step again whose worker died", { openStep: "RUNNING" }, { kind: "performAgain" }],
    ["cancels the open step first", { status: "CANCELLING", openStep: "WAITING" }, { kind: "cancelStep" }],
    [
      "cancels when no step is open, whatever is left to do",
      { status: "CANCELLING", stepsDone: 1 },
      { kind: "cancel" },
    ],
  ])("%s", (_name, given, action) => {
    expect(nextAction(situation(given))).toEqual(action);
  });
});
