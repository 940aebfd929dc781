import { expect, it } from "vitest";
import { ticksOf } from "./bars.ts";

it("marks its axis at round steps", () => {
  expect(ticksOf(1_234)).toEqual([0, 500, 1_000]);
  expect(ticksOf(60_000)).toEqual([0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000]);
  expect(ticksOf(0)).toEqual([0]);
});
