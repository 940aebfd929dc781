import { expect, test } from "vitest";
import { numbersIn, remarkCitations } from "./citations.ts";

test("markers are found in the order of their first mention, and links are none", () => {
  expect(numbersIn("So [2], and [1, 3]; again [2]. See [4](https://x.example) and [12345].")).toEqual([2, 1, 3]);
});

test("markers in prose become citations; code and links stay as they are", () => {
  const text = (value: string) => ({ type: "text", value });
  const tree = {
    type: "root",
    children: [
      { type: "paragraph", children: [text("Heat flows [1, 2].")] },
      { type: "link", children: [text("[3]")] },
      { type: "inlineCode", value: "a[1]" },
    ],
  };
  remarkCitations()(tree);
  expect(tree.children[0]?.children?.map(({ type }) => type)).toEqual(["text", "citation", "citation", "text"]);
  expect(tree.children[1]?.children).toEqual([text("[3]")]);
  expect(tree.children[2]).toEqual({ type: "inlineCode", value: "a[1]" });
});
