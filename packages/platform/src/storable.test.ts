import { parse } from "graphql";
import { describe, expect, it } from "vitest";
import { requireStorable, requireStorableLiterals } from "./storable.ts";

const INVALID = { code: "INPUT_INVALID", kind: "invalid_input" };

function nested(levels: number): unknown {
  let value: unknown = "leaf";
  for (let i = 0; i < levels; i++) value = [value];
  return value;
}

describe("what no column can hold", () => {
  it.each([
    ["a NUL character", "a\0b"],
    ["a lone high surrogate", "\ud83d"],
    ["a lone low surrogate", "x\ude00y"],
    ["a NUL deep inside", { a: [{ b: "\0" }] }],
    ["a NUL in a key", { "a\0": 1 }],
    ["thousands of levels", nested(10_000)],
  ])("is refused: %s", (_name, value) => {
    expect(() => requireStorable({ input: value })).toThrow(expect.objectContaining(INVALID));
  });

  it("is refused in the document as well, every time", () => {
    const document = parse(String.raw`{ run(id: "a\u0000b") { id } }`);
    for (let i = 0; i < 2; i++)
      expect(() => requireStorableLiterals(document)).toThrow(expect.objectContaining(INVALID));
  });
});

describe("everything else", () => {
  it.each([
    ["text of any script", "naïve 日本語 🚀 \u0001 \t\n"],
    ["numbers, booleans and nothing", [1, true, null, undefined]],
    ["what is nested as deeply as any input of ours", nested(60)],
  ])("passes: %s", (_name, value) => {
    expect(() => {
      requireStorable({ input: value });
    }).not.toThrow();
    expect(() => {
      requireStorableLiterals(parse(`{ search(query: "plain \\\\u0000 text") }`));
    }).not.toThrow();
  });
});
