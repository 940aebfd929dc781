import { expect, it } from "vitest";
import { fold, BLANK, screensOf } from "./screen.ts";
import type { RunEvent } from "../timeline.ts";

const event = (seq: number, what: object) => ({ seq, cursor: "", level: "INFO", at: "", ...what }) as RunEvent;
const delta = (seq: number, stepNumber: number) =>
  event(seq, { __typename: "TokenDelta", stepNumber, text: `${seq} ` });

it("is at every event what folding from the beginning gives, whichever was asked for before", () => {
  const events = Array.from({ length: 1_203 }, (_, index) => delta(index + 1, index < 700 ? 1 : 2));
  const screens = screensOf(events);
  for (const count of [1_203, 1, 0, 250, 251, 499, 700, 1_000])
    expect(screens.at(count)).toEqual(fold(BLANK, events.slice(0, count)));
  expect(screens.at(701).steps.map(({ number }) => number)).toEqual([1, 2]);
});

it("shows what was true then: restarted text is gone, calls are as they were, costs are added up", () => {
  const call = { id: "tcl_1", name: "knowledge.search" };
  const cost = (amountMicros: string) => ({
    usage: [{ meter: "modelCalls", quantity: "1", cost: { amountMicros, currency: "USD" } }],
  });
  const screens = screensOf([
    event(1, { __typename: "RunStatusChanged", to: "EXECUTING" }),
    delta(2, 1),
    event(3, { __typename: "StepRestarted", step: { number: 1 } }),
    event(4, { __typename: "ToolRequested", toolCall: { ...call, status: "REQUESTED" } }),
    event(5, { __typename: "UsageRecorded", ...cost("70") }),
    event(6, { __typename: "ToolResulted", toolCall: { ...call, status: "SUCCEEDED" } }),
    event(7, { __typename: "UsageRecorded", ...cost("500") }),
  ]);
  expect(screens.at(2)).toMatchObject({ run: { status: "EXECUTING", cost: null }, text: "2 " });
  expect(screens.at(3).text).toBe("");
  expect(screens.at(5)).toMatchObject({ toolCalls: [{ status: "REQUESTED" }], run: { cost: { amountMicros: "70" } } });
  expect(screens.at(7)).toMatchObject({
    toolCalls: [{ status: "SUCCEEDED" }],
    run: { cost: { amountMicros: "570", currency: "USD" } },
  });
});
