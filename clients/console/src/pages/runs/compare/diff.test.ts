import { describe, expect, it } from "vitest";
import { diffOf } from "./diff.ts";

const sideOf = (parts: ReturnType<typeof diffOf>, kind: "one" | "other") =>
  parts
    .filter((part) => part.kind === "same" || part.kind === kind)
    .map(({ text }) => text)
    .join("");

describe("the difference of two texts", () => {
  it("is what only one of them has", () => {
    expect(diffOf("Flutter grows with speed.", "Flutter grows slowly with speed.")).toEqual([
      { kind: "same", text: "Flutter grows " },
      { kind: "other", text: "slowly " },
      { kind: "same", text: "with speed." },
    ]);
    expect(diffOf("same\n", "same\n")).toEqual([{ kind: "same", text: "same\n" }]);
    expect(diffOf("", "new")).toEqual([{ kind: "other", text: "new" }]);
  });

  it("loses no word of either, however long they are", () => {
    const [one, other] = ["a b ", "c a "].map((words) => words.repeat(3_000));
    for (const [left, right] of [
      ["the cat sat on the mat", "a cat sat near the old mat"],
      [one ?? "", other ?? ""],
    ] as const) {
      const parts = diffOf(left, right);
      expect([sideOf(parts, "one"), sideOf(parts, "other")]).toEqual([left, right]);
    }
  });
});
