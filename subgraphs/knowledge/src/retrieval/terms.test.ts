import { expect, test } from "vitest";
import { countTerms, termsOf } from "./terms.ts";

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
