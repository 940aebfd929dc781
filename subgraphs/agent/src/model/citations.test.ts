import { describe, expect, it } from "vitest";
import { citationsOf, splitSentences } from "./citations.ts";

const HITS = [
  { number: 1, text: "Lift grows with speed. Drag grows faster than lift does." },
  { number: 2, text: "A slipstream raises the lift of a wing." },
  { number: 3, text: "Heat flows through a slab." },
];
const numbers = (text: string): number[] => citationsOf(text, HITS).map(({ hit }) => hit.number);

describe("citationsOf", () => {
  it("names each hit once, in the order of its first mention", () => {
    expect(numbers("A slipstream helps [2]. So does speed [1], and a slipstream again [2].")).toEqual([2, 1]);
  });

  it("quotes for the claim that names a hit first", () => {
    const [cited] = citationsOf("Speed gives lift [1]. Drag grows faster [1].", HITS);
    expect(cited?.quote).toBe("Lift grows with speed.");
  });

  it("reads several numbers in one marker", () => {
    expect(numbers("Both help [1, 3].")).toEqual([1, 3]);
  });

  it("ignores numbers that no hit has, and brackets that are no markers", () => {
    expect(numbers("[0] [4] [99999] [a] [1.5] [] see array[1]")).toEqual([1]);
    expect(numbers("[1](https://example.com) and [2]: https://example.com")).toEqual([]);
    expect(numbers("no markers at all")).toEqual([]);
  });

  it("quotes the sentence that the claim rests on, as it stands in the hit", () => {
    const cited = citationsOf("Speed gives lift. But drag grows faster [1]. A slab conducts heat [3].", HITS);
    expect(cited.map(({ quote }) => quote)).toEqual([
      "Drag grows faster than lift does.",
      "Heat flows through a slab.",
    ]);
    for (const { hit, quote } of cited) expect(hit.text).toContain(quote);
  });

  it("quotes the first sentence when the claim shares no word with the hit", () => {
    expect(citationsOf("Quite so [1].", HITS)[0]?.quote).toBe("Lift grows with speed.");
  });

  it("quotes at most 500 characters of a passage without sentences", () => {
    const [cited] = citationsOf("Long [1].", [{ number: 1, text: "word ".repeat(1_000) }]);
    expect(cited?.quote).toHaveLength(500);
  });

  it("takes time in proportion to the text, whatever is in it", () => {
    const startedAt = performance.now();
    citationsOf(`${"[1,".repeat(50_000)} ${"[".repeat(50_000)} ${"1 , ".repeat(50_000)}`, HITS);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});

describe("splitSentences", () => {
  it("ends sentences at stops, not at initials and short forms", () => {
    expect(splitSentences("J. Smith saw it, e.g. in fig. 3 of the report. He left! Why?")).toEqual([
      "J. Smith saw it, e.g. in fig. 3 of the report.",
      "He left!",
      "Why?",
    ]);
  });

  it("reads abstracts whose stops stand apart", () => {
    expect(splitSentences("the flow is laminar .  the wing stalls . ")).toEqual([
      "the flow is laminar .",
      "the wing stalls .",
    ]);
  });

  it("ends a heading where its line ends", () => {
    expect(splitSentences("Notice period\n\nIt is one month.")).toEqual(["Notice period", "It is one month."]);
  });
});
