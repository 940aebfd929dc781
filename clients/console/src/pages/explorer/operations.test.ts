import { expect, it } from "vitest";
import { operationIn, operationsOf } from "./operations.ts";

it("lists operations by name, each with the fragments that it uses, and no others", () => {
  const list = operationsOf([
    "query B { run(id: 1) { ...Row } } fragment Row on Run { id }",
    "subscription A { runEvents(runId: 1) { run { ...Row } } } fragment Other on Run { status }",
  ]);
  expect(list.map(({ name, type }) => [name, type])).toEqual([
    ["A", "subscription"],
    ["B", "query"],
  ]);
  expect(list[0]?.text).toContain("fragment Row");
  expect(list[0]?.text).not.toContain("Other");
});

it("finds the operation that is meant among several", () => {
  const text = "query A { a } mutation B { b }";
  expect([operationIn(text, "B").type, operationIn(text, undefined).type]).toEqual(["mutation", "query"]);
  expect(() => operationIn("{", undefined)).toThrow("Syntax Error");
});
