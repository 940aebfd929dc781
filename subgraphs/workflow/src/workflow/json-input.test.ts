import { describe, expect, it } from "vitest";
import { findJsonProblem } from "./json-input.ts";

const LIMITS = { maxBytes: 1024 * 1024, maxDepth: 8 };
const TOO_LARGE = "must not exceed 1048576 bytes as JSON";

function nested(levels: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = { inner: [value] };
  return value;
}

describe("findJsonProblem", () => {
  it.each<[string, unknown, string | undefined]>([
    ["what is within the limits", { a: [1, "two", null, { b: true }] }, undefined],
    ["what is as deep as it may be", nested(4), undefined],
    ["what is a level deeper", [nested(4)], "must not be nested deeper than 8 levels"],
    ["what is far deeper than the stack", nested(50_000), "must not be nested deeper than 8 levels"],
    ["a NUL in a key", { "a\0": 1 }, "must not contain NUL or lone surrogate characters"],
    ["a lone surrogate", ["\ud800"], "must not contain NUL or lone surrogate characters"],
    ["a text that just fits", "x".repeat(LIMITS.maxBytes - 2), undefined],
    ["a text that does not", "x".repeat(LIMITS.maxBytes - 1), TOO_LARGE],
    ["a text of fewer characters than bytes", "é".repeat(600_000), TOO_LARGE],
    ["many small items", Array.from({ length: 600_000 }, () => 0), TOO_LARGE],
  ])("judges %s", (_name, value, problem) => {
    expect(findJsonProblem(value, LIMITS)).toBe(problem);
  });

  it.each<[string, unknown]>([
    ["a list", Array.from({ length: 130_000 }, () => 0)],
    ["a text", "x".repeat(260_000)],
    ["an object", Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`key${index}`, index]))],
  ])("walks no more than the limit of a value that holds %s many times", (_name, part) => {
    const value = Array.from({ length: 18_000 }, () => part);
    const [heap, beganAt] = [process.memoryUsage().heapUsed, performance.now()];
    expect(findJsonProblem(value, LIMITS)).toBe(TOO_LARGE);
    expect(performance.now() - beganAt).toBeLessThan(10_000);
    expect(process.memoryUsage().heapUsed - heap).toBeLessThan(256 * 1024 * 1024);
  });

  it("takes a value that holds the same part a few times", () => {
    const part = { text: "x".repeat(100_000) };
    expect(findJsonProblem([part, part, part], LIMITS)).toBeUndefined();
  });
});
