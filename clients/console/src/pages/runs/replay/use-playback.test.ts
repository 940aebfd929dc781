import { expect, it } from "vitest";
import { showTimesOf, shownBy } from "./use-playback.ts";

it("plays events as they came, and cuts long waits", () => {
  const times = showTimesOf([0, 40, 40, 7_200_000, 7_200_100].map((ms) => ({ at: new Date(ms).toISOString() })));
  expect(times).toEqual([0, 40, 40, 1_040, 1_140]);
  expect([-1, 0, 39, 40, 1_039, 1_140].map((ms) => shownBy(times, ms))).toEqual([0, 1, 1, 3, 3, 5]);
});
