import { expect, test } from "vitest";
import { excerptOf, toBlocks, toPieces, type Passage } from "./passages.ts";

const WHOLE = "One. Two. Three. Four. Five.";
const passage = (number: number, start: number, end: number): Passage => ({
  id: `chk_${number}`,
  number,
  start,
  text: WHOLE.slice(start, end),
});
const overlapping = [passage(1, 0, 9), passage(2, 5, 16), passage(3, 10, 22), passage(4, 23, 28)];
const shown = (sought?: number): string[] =>
  toBlocks(overlapping, sought).map(({ passage: { text }, from, to }) => text.slice(from, to));

test("shows each part of a text once, and the passage that is sought whole", () => {
  expect(shown()).toEqual(["One. Two.", "Three.", "Four.", "Five."]);
  expect(shown(2)).toEqual(["One. ", "Two. Three.", "Four.", "Five."]);
  expect(shown(1)).toEqual(["One. Two.", "Three.", "Four.", "Five."]);
  for (const sought of [undefined, 1, 2, 3, 4])
    expect(shown(sought).join("").replaceAll(" ", "")).toBe(WHOLE.replaceAll(" ", ""));
  const unplaced = overlapping.map((each) => ({ ...each, start: null }));
  expect(toBlocks(unplaced, 2).map(({ from, to }) => to - from)).toEqual([9, 11, 12, 5]);
});

test("marks what is in the ranges, in the part that is shown", () => {
  const ranges = [
    { start: 0, length: 3 },
    { start: 5, length: 3 },
  ];
  const pieces = (from?: number, to?: number) =>
    toPieces(WHOLE, ranges, from, to).map(({ text, isMarked }) => (isMarked ? `[${text}]` : text));
  expect(pieces()).toEqual(["[One]", ". ", "[Two]", ". Three. Four. Five."]);
  expect(pieces(2, 6)).toEqual(["[e]", ". ", "[T]"]);
  expect(pieces(10, 12)).toEqual(["Th"]);
});

test("takes an excerpt where most of what was asked for stands, from word to word", () => {
  const text = `${"before ".repeat(100)}wing lift ${"after ".repeat(100)}`;
  const at = (word: string) => ({ start: text.indexOf(word), length: word.length });
  const { from, to } = excerptOf(text, [{ start: 0, length: 6 }, at("wing"), at("lift")]);
  const excerpt = text.slice(from, to);
  expect(excerpt).toContain("wing lift");
  expect(excerpt).toMatch(/^before /);
  expect(excerpt.length).toBeLessThan(480);
  expect(excerptOf("short", [])).toEqual({ from: 0, to: 5 });
});
