import { expect, test } from "vitest";
import { countTerms, findTerms, termsOf } from "./terms.ts";

test("leaves out stop words and stems the rest", () => {
  expect(termsOf("The wings were connected to the connecting wing")).toEqual(["wing", "connect", "connect", "wing"]);
});

test("treats contractions and possessives as their words", () => {
  expect(termsOf("Don't touch the pilot’s controls; O'Brien")).toEqual(["touch", "pilot", "control", "obrien"]);
});

test("folds case, accents and compatibility forms", () => {
  expect(termsOf("MÜLLER Ｆｕｌｌ ﬁle")).toEqual(termsOf("muller full file"));
});

test("makes pairs of scripts without spaces", () => {
  expect(termsOf("航空機 機")).toEqual(["航空", "空機", "機"]);
});

test("keeps numbers and words of other scripts whole", () => {
  expect(termsOf("1969 самолёт طائرة")).toHaveLength(3);
});

test("cuts a term that no index could hold", () => {
  expect(termsOf("x".repeat(100_000))).toEqual(["x".repeat(64)]);
});

test("finds no term in punctuation", () => {
  expect(termsOf("… --- !!! 🙂 \u0000")).toEqual([]);
});

test("counts repeats", () => {
  expect([...countTerms(["a", "b", "a"])]).toEqual([
    ["a", 2],
    ["b", 1],
  ]);
});

test("finds where a text has words of a query, in any of their forms and scripts", () => {
  const find = (text: string, query: string) =>
    findTerms(text, new Set(termsOf(query))).map(({ start, length }) => text.slice(start, start + length));
  expect(find("The \u{1F680} Connecting wings, and connections.", "a connected wing")).toEqual([
    "Connecting",
    "wings",
    "connections",
  ]);
  expect(find("Mu\u0308ller\u2019s \ufb01le", "muller FILE")).toEqual(["Mu\u0308ller\u2019s", "\ufb01le"]);
  expect(find("これは航空機です。航空", "航空機")).toEqual(["航空機", "航空"]);
  expect(find("Nothing of it.", "it of")).toEqual([]);
  expect(findTerms("wing wing", new Set(["wing"]))).toEqual([
    { start: 0, length: 4 },
    { start: 5, length: 4 },
  ]);
});
