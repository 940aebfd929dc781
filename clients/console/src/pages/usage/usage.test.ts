import type { UsageRow } from "@sba/client";
import { expect, it } from "vitest";
import { OTHERS, seriesOf } from "./series.ts";
import { granularitiesOf, periodsOf, spanOf, spanOfDays } from "./span.ts";

const row = (periodStart: string, meter: string, agentKey: string | null, amountMicros: string, quantity = "1") =>
  ({
    periodStart,
    periodEnd: periodStart,
    meter,
    agentKey,
    quantity,
    cost: { amountMicros, currency: "USD" },
  }) as UsageRow;

const at = new Date("2026-11-28T19:30:00Z");

it("splits a span into all of its periods of UTC", () => {
  expect(periodsOf(spanOf("week", at), "DAY")).toHaveLength(7);
  expect(periodsOf(spanOf("day", at), "HOUR").at(-1)).toBe("2026-11-28T19:00:00.000Z");
  expect(periodsOf(spanOf("year", at), "MONTH")).toHaveLength(12);
  expect(periodsOf(spanOfDays("2026-10-31", "2026-11-01")!, "MONTH")).toHaveLength(2);
  expect(spanOfDays("2026-11-02", "2026-11-01")).toBeUndefined();
  expect(spanOfDays("", "2026-11-01")).toBeUndefined();
});

it("offers no more periods than can be seen", () => {
  expect(granularitiesOf(spanOf("day", at))).toEqual(["HOUR", "DAY", "MONTH"]);
  expect(granularitiesOf(spanOf("quarter", at))).toEqual(["DAY", "MONTH"]);
  expect(granularitiesOf(spanOf("year", at))).toEqual(["MONTH"]);
});

it("draws what costs most first, each in its period, and nothing where nothing was used", () => {
  const starts = periodsOf(spanOfDays("2026-11-01", "2026-11-03")!, "DAY");
  const rows = [
    row("2026-11-01T00:00:00.000Z", "tool.called", "a", "1000000"),
    row("2026-11-03T00:00:00.000Z", "run.started", "a", "2500000", "5"),
    row("2026-11-03T00:00:00.000Z", "run.started", null, "500000", "7"),
  ];
  const cost = seriesOf(rows, { split: "meter", measure: "cost", starts });
  expect(cost.names).toEqual(["run.started", "tool.called"]);
  expect(cost.points).toEqual([
    { "run.started": 0, "tool.called": 1 },
    { "run.started": 0, "tool.called": 0 },
    { "run.started": 3, "tool.called": 0 },
  ]);
  const quantity = seriesOf(rows, { split: "agent", measure: "run.started", starts });
  expect(quantity.points[2]).toEqual({ a: 5, "": 7 });
});

it("joins what it has no colours for", () => {
  const starts = periodsOf(spanOfDays("2026-11-01", "2026-11-01")!, "DAY");
  const rows = Array.from({ length: 12 }, (_, index) => row(starts[0]!, "run.started", `agent-${index}`, "1000000"));
  const { names, points } = seriesOf(rows, { split: "agent", measure: "cost", starts });
  expect(names).toHaveLength(8);
  expect(points[0]![OTHERS]).toBe(5);
});
