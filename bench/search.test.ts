import { expect, test } from "vitest";
import { judge } from "./search.ts";

const relevance = new Map([
  ["a", 4],
  ["b", 2],
  ["c", 1],
  ["none", 0],
]);

test("the ideal order scores 1, and no relevant document 0", () => {
  expect(judge(["a", "b", "c"], relevance)).toEqual({ ndcg: 1, recall: 1 });
  expect(judge(["x", "none"], relevance)).toEqual({ ndcg: 0, recall: 0 });
  expect(judge(["a"], new Map())).toEqual({ ndcg: 0, recall: 0 });
});

test("a relevant document further down counts less, beyond the tenth place nothing", () => {
  const { ndcg, recall } = judge(["x", "a"], relevance);
  expect(ndcg).toBeCloseTo(4 / Math.log2(3) / (4 + 2 / Math.log2(3) + 1 / 2), 10);
  expect(recall).toBeCloseTo(1 / 3, 10);
  expect(judge([..."0123456789", "a"], relevance)).toEqual({ ndcg: 0, recall: 0 });
});
