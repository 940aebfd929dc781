import { describe, expect, test } from "vitest";
import type { RunLiveSnapshotQuery, RunLiveSubscription } from "../generated/graphql.ts";
import { runModel } from "./run.ts";
import { workflowRunModel } from "./workflow-run.ts";

/** What a reader of a run sees, by what was read and what happens since. */

type RunEvent = RunLiveSubscription["runEvents"];
const MONEY = { amountMicros: "0", currency: "USD" };
const SNAPSHOT: RunLiveSnapshotQuery = {
  run: {
    cursor: "c0",
    id: "run_1",
    status: "EXECUTING",
    prompt: "why",
    output: null,
    createdAt: "2026-01-01T00:00:00Z",
    startedAt: null,
    endedAt: null,
    model: "local",
    agent: { id: "agt_1", key: "handbook", name: "Handbook" },
    startedBy: null,
    thread: { id: "thr_1" },
    error: null,
    forkedFrom: null,
    cost: { ...MONEY, amountMicros: "7" },
    usage: [],
    artifacts: [],
    citations: [],
    approvals: [],
  },
};
const event = (fields: object): RunEvent =>
  ({ cursor: "c", seq: 1, at: "2026-01-01T00:00:00Z", level: "INFO", ...fields }) as RunEvent;
const step = (number: number) => ({ number, type: "MODEL", startedAt: "2026-01-01T00:00:00Z" });
const tokens = (stepNumber: number, text: string) => event({ __typename: "TokenDelta", stepNumber, text });
const usage = (amountMicros: string) =>
  event({
    __typename: "UsageRecorded",
    usage: [{ meter: "tokens", quantity: "10", cost: { ...MONEY, amountMicros } }],
  });
const fold = (events: readonly RunEvent[], { isPast = false, isWhole = true, snapshot = SNAPSHOT } = {}) =>
  runModel.fold(
    runModel.begin(snapshot, isWhole),
    events.map((runEvents) => ({ data: { runEvents }, isPast })),
  );

describe("a run's text", () => {
  test("is what its steps streamed, in their order", () => {
    const { text, steps } = fold([
      event({ __typename: "StepStarted", step: step(1) }),
      tokens(1, "Heat "),
      tokens(1, "flows. "),
      event({ __typename: "StepFinished", step: { ...step(1), endedAt: "2026-01-01T00:00:01Z" } }),
      event({ __typename: "StepStarted", step: step(2) }),
      tokens(2, "Always."),
    ]);
    expect(text).toBe("Heat flows. Always.");
    expect(steps).toMatchObject([
      { number: 1, text: "Heat flows. ", endedAt: "2026-01-01T00:00:01Z" },
      { number: 2, text: "Always.", endedAt: null },
    ]);
  });

  test("loses what a step had streamed when it is started over, and only that", () => {
    const { text } = fold([
      event({ __typename: "StepStarted", step: step(1) }),
      tokens(1, "Kept. "),
      event({ __typename: "StepStarted", step: step(2) }),
      tokens(2, "Half an ans"),
      event({ __typename: "StepRestarted", step: step(2), attempt: 2, cause: "WORKER_LOST" }),
      tokens(2, "An answer."),
    ]);
    expect(text).toBe("Kept. An answer.");
  });
});

describe("what the run was read with", () => {
  test("stands against what had happened before it was read", () => {
    const snapshot = { run: { ...SNAPSHOT.run, approvals: [{ id: "apr_1", status: "APPROVED" }] } } as never;
    const past = [
      event({ __typename: "RunStatusChanged", from: "CREATED", to: "CREATED" }),
      event({ __typename: "ApprovalRequested", approval: { id: "apr_1", status: "PENDING" } }),
      usage("3"),
    ];
    const { run, approvals } = fold(past, { isPast: true, snapshot });
    expect(run).toMatchObject({ status: "EXECUTING", cost: { amountMicros: "7" } });
    expect(approvals).toMatchObject([{ status: "APPROVED" }]);
  });

  test("gives way to what happens since", () => {
    const { run, approvals, toolCalls, artifacts } = fold([
      event({ __typename: "ToolRequested", toolCall: { id: "tcl_1", status: "REQUESTED" } }),
      event({ __typename: "ToolResulted", toolCall: { id: "tcl_1", status: "SUCCEEDED" } }),
      event({ __typename: "ApprovalRequested", approval: { id: "apr_1", status: "PENDING" } }),
      event({ __typename: "ApprovalDecided", approval: { id: "apr_1", status: "DENIED" } }),
      event({ __typename: "ArtifactCreated", artifact: { id: "art_1" } }),
      event({ __typename: "RunStatusChanged", from: "EXECUTING", to: "COMPLETED" }),
      event({ __typename: "RunFinished", run: { id: "run_1", status: "COMPLETED", output: "So.", cost: null } }),
    ]);
    // The cost could not be joined to the last event: that does not undo what is known.
    expect(run).toMatchObject({ status: "COMPLETED", output: "So.", cost: { amountMicros: "7" } });
    expect(toolCalls).toEqual([{ id: "tcl_1", status: "SUCCEEDED" }]);
    expect(approvals).toMatchObject([{ id: "apr_1", status: "DENIED" }]);
    expect(artifacts).toEqual([{ id: "art_1" }]);
  });

  test("of a failed run has its reason", () => {
    const { run } = fold([event({ __typename: "RunFailed", run: null, error: { code: "X", message: "No." } })]);
    expect(run).toMatchObject({ status: "FAILED", error: { code: "X" } });
  });
});

test("what a person said to a run is there, and in which step its model was told", () => {
  const said = (ordinal: number | null, text: string) =>
    event({ __typename: "RunInputReceived", text, mode: "STEER", ordinal, answeringRunId: "run_1", sentBy: null });
  const { inputs } = fold([
    said(1, "shorter"),
    said(2, "in French"),
    said(null, "and then?"),
    event({ __typename: "RunInputTold", ordinals: [1], stepNumber: 3 }),
  ]);
  expect(inputs).toMatchObject([
    { text: "shorter", toldInStep: 3 },
    { text: "in French", toldInStep: undefined },
    { text: "and then?", toldInStep: undefined },
  ]);
});

test("an event that a newer API has added changes nothing, of a run or of a workflow's", () => {
  const added = { __typename: "SomethingNew", cursor: "c", seq: 1 };
  expect(fold([event(added)])).toEqual(fold([]));
  const workflowRun = { id: "wfr_1", status: "RUNNING", steps: [] } as never;
  const events = [{ data: { workflowRunEvents: added as never }, isPast: false }];
  expect(workflowRunModel.fold(workflowRun, events)).toBe(workflowRun);
});

describe("a run's cost", () => {
  test("is the sum of all that was recorded, also before it was read: never counted twice", () => {
    const begun = runModel.begin(SNAPSHOT, true);
    const past = runModel.fold(begun, [{ data: { runEvents: usage("3") }, isPast: true }]);
    const { run } = runModel.fold(past, [{ data: { runEvents: usage("9007199254740993") }, isPast: false }]);
    expect(run.cost).toEqual({ ...MONEY, amountMicros: "9007199254740996" });
    expect(run.usage).toEqual([{ meter: "tokens", quantity: "20", cost: run.cost }]);
  });
});
