import { describe, expect, it } from "vitest";
import { timelineOf, type RunEvent } from "./timeline.ts";

const at = (ms: number) => new Date(ms).toISOString();
let seq = 0;
const event = (ms: number, what: object) =>
  ({ seq: ++seq, cursor: "", level: "INFO", at: at(ms), ...what }) as RunEvent;
const step = (number: number, type: string, startMs: number, endMs?: number) => ({
  step: { number, type, startedAt: at(startMs), ...(endMs === undefined ? {} : { endedAt: at(endMs) }) },
});
const usage = (micros: string) => ({ __typename: "UsageRecorded", usage: [{ cost: { amountMicros: micros } }] });

describe("the timeline of a run", () => {
  const goesOn = { startedAt: null, endedAt: null };
  const call = { id: "tcl_1", name: "webhook.send", success: null };
  const approval = { id: "apr_1", action: "webhook.send" };
  const events = [
    event(0, { __typename: "RunStatusChanged", from: null, to: "CREATED" }),
    event(0, usage("1000")),
    event(8, { __typename: "RunStatusChanged", from: "CREATED", to: "EXECUTING" }),
    event(10, { __typename: "StepStarted", ...step(1, "MODEL", 10) }),
    event(20, { __typename: "StepRestarted", ...step(1, "MODEL", 20) }),
    event(40, usage("70")),
    event(40, { __typename: "ToolRequested", toolCall: call }),
    event(40, { __typename: "StepFinished", ...step(1, "MODEL", 10, 35) }),
    event(50, { __typename: "ApprovalRequested", approval: { ...approval, status: "PENDING" } }),
    event(60, { __typename: "ApprovalDecided", approval: { ...approval, status: "PENDING" } }),
    event(90, { __typename: "ApprovalDecided", approval: { ...approval, status: "APPROVED" } }),
    event(100, { __typename: "StepStarted", ...step(2, "TOOL", 95) }),
    event(110, { __typename: "ToolResulted", toolCall: { ...call, success: false } }),
    event(110, usage("500")),
    event(110, { __typename: "StepFinished", ...step(2, "TOOL", 95, 108) }),
  ];

  it("has a bar for each step and approval, with what was metered for it and not for the run's beginning", () => {
    expect(timelineOf(events, goesOn)).toEqual({
      startMs: 8,
      endMs: undefined,
      bars: [
        expect.objectContaining({
          kind: "MODEL",
          startMs: 10,
          endMs: 35,
          costMicros: 70n,
          restarts: 1,
          outcome: "done",
        }),
        expect.objectContaining({ kind: "APPROVAL", name: "webhook.send", startMs: 50, endMs: 90, outcome: "done" }),
        expect.objectContaining({
          kind: "TOOL",
          name: "webhook.send",
          endMs: 108,
          costMicros: 500n,
          outcome: "failed",
        }),
      ],
    });
  });

  it("begins and ends when the run did, as soon as that is known", () => {
    expect(timelineOf(events, { startedAt: at(9), endedAt: at(120) })).toMatchObject({ startMs: 9, endMs: 120 });
    expect(timelineOf(events.slice(0, 2), goesOn)).toEqual({ startMs: 0, endMs: undefined, bars: [] });
  });

  it("ends what went on when the run ended", () => {
    const failed = [...events.slice(0, 4), event(70, { __typename: "RunFailed", error: null })];
    const timeline = timelineOf(failed, goesOn);
    expect(timeline).toMatchObject({ endMs: 70, bars: [{ endMs: 70, outcome: "failed" }] });
  });

  it("is nothing before anything happened", () => {
    expect(timelineOf([], goesOn)).toBeUndefined();
  });
});
