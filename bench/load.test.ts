import { expect, test } from "vitest";
import { perSecond, repeat, repeatFor } from "./load.ts";

test("keeps so many going, and no more", async () => {
  let [now, most] = [0, 0];
  const work = async (index: number): Promise<number> => {
    most = Math.max(most, ++now);
    await new Promise<void>((resolve) => setImmediate(resolve));
    now -= 1;
    return index;
  };
  expect((await repeat(10, 3, work)).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(most).toBe(3);
  // Time that is over before it begins: each does one.
  const { results } = await repeatFor(0, 3, work);
  expect(results).toEqual([0, 1, 2]);
});

test("a failure ends it", async () => {
  await expect(
    repeatFor(60_000, 2, (index) => (index < 3 ? Promise.resolve() : Promise.reject(new Error("no")))),
  ).rejects.toThrow("no");
});

test("counts what ended by the time that it took", () => {
  expect(perSecond({ results: [1, 2, 3], tookMs: 500 })).toBe(6);
});
