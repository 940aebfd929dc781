import { expect, test } from "vitest";
import { editedOf, paramsOf, textOf } from "./params.ts";

const params = paramsOf({ title: "42", count: 2, tags: ["a"], secret: "x" }, ["title", "count", "tags"]);

test("only what was changed and may be is sent, of the kind that it was", () => {
  const drafts = { title: "43", count: "3", tags: textOf(["a"]), secret: "y" };
  expect(editedOf(params, drafts)).toEqual({ params: { title: "43", count: 3 }, invalid: [] });
});

test("what cannot be read is named, and nothing changed is nothing sent", () => {
  expect(editedOf(params, { count: "three" })).toEqual({ params: undefined, invalid: ["count"] });
  expect(editedOf(params, { title: "42" })).toEqual({ params: undefined, invalid: [] });
  expect(paramsOf(null, [])).toEqual([]);
});
