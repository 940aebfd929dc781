import { expect, test } from "vitest";
import { blocksOf } from "./blocks.ts";

test("a text ends its parts at blank lines, and every part stays as it was while the text grows", () => {
  const text = "# One\n\nTwo\nlines\n\n> three\n\nfo";
  expect(blocksOf(text).map((block) => block.trim())).toEqual(["# One", "Two\nlines", "> three", "fo"]);
  expect(blocksOf(`${text}ur\n\nfive`).slice(0, 3)).toEqual(blocksOf(text).slice(0, 3));
});

test("code and lists stay whole", () => {
  const code = "```js\na;\n\nb;\n```";
  const list = "1. one\n\n2. two\n\n   still two\n\n3. three";
  expect(blocksOf(`${code}\n\n${list}\n\nafter`).map((block) => block.trim())).toEqual([code, list, "after"]);
  expect(blocksOf("```\nnot\n\nended")).toHaveLength(1);
});

test("nothing is lost", () => {
  const text = "a\n\n\n\nb\n\n- x\n- y\n\n\nc\n";
  expect(blocksOf(text).join("\n").replaceAll(/\s+/g, " ").trim()).toBe("a b - x - y c");
});
