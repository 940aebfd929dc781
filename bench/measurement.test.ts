import { expect, test } from "vitest";
import { atLeast, atMost, below, fact, percentile, ratioOf, ratioTo, showNumber } from "./measurement.ts";

test("a percentile is a sample that its share of the samples does not exceed", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  expect(percentile(hundred, 0.5)).toBe(50);
  expect(percentile(hundred, 0.95)).toBe(95);
  expect(percentile(hundred, 1)).toBe(100);
  expect(percentile([7], 0.95)).toBe(7);
});

test("one slow sample in twenty is beyond p95, two are not", () => {
  const fast = Array.from({ length: 18 }, () => 1);
  expect(percentile([...fast, 1, 9], 0.95)).toBe(1);
  expect(percentile([...fast, 9, 9], 0.95)).toBe(9);
});

test("refuses a percentile of nothing", () => {
  expect(() => percentile([], 0.5)).toThrow(RangeError);
});

test("a limit is not below itself", () => {
  expect(below(50, fact("x", 49.9, "ms"))).toMatchObject({ target: "< 50", holds: true });
  expect(below(50, fact("x", 50, "ms"))).toMatchObject({ holds: false });
});

test("a limit that may be reached is reached by itself", () => {
  expect(atMost(2, fact("x", 2, "ms"))).toMatchObject({ target: "<= 2", holds: true });
  expect(atMost(2, fact("x", 2.01, "ms"))).toMatchObject({ holds: false });
  expect(atLeast(0.3, fact("x", 0.3, "x"))).toMatchObject({ target: ">= 0.3", holds: true });
  expect(atLeast(0.3, fact("x", 0.29, "x"))).toMatchObject({ holds: false });
});

test("a ratio is of rounds that belong together: one slow round of both changes nothing", () => {
  expect(ratioOf([10, 1, 10], [20, 2, 20])).toBe(0.5);
  expect(() => ratioOf([1, 2], [1])).toThrow(RangeError);
});

test("names what a ratio is of", () => {
  expect(ratioTo(30, 12, "bare transaction")).toBe("2.5 x bare transaction (12)");
});

test("shows three digits, and never fewer than a whole number has", () => {
  expect([0.123456, 12.345, 1234.5].map(showNumber)).toEqual(["0.123", "12.3", "1235"]);
});
