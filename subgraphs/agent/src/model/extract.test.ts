import { describe, expect, it } from "vitest";
import { extractAnswer, termsOf } from "./extract.ts";

const passage = (number: number, ...sentences: string[]) => ({ number, text: sentences.join(" ") });

describe("extractAnswer", () => {
  it("takes the sentences that share rare terms with the question before those that share common ones", () => {
    const found = extractAnswer("How does a slipstream change the lift of a wing?", [
      passage(
        1,
        "The lift of the wing was measured in a tunnel.",
        "The lift was then plotted against speed here.",
        "A wing needs lift to leave the ground.",
      ),
      passage(2, "In the slipstream the lift of the wing grew by half.", "Tea was served in the afternoon as always."),
    ]);
    expect(found.map(({ text }) => text)).toContain("In the slipstream the lift of the wing grew by half.");
    expect(found.map(({ text }) => text).join(" ")).not.toContain("Tea");
  });

  it("matches inflected words", () => {
    expect(extractAnswer("heated slabs", [passage(1, "Heating of the slab takes an hour or so.")])).toHaveLength(1);
  });

  it("gives three to six sentences when there are as many", () => {
    const sentences = Array.from(
      { length: 12 },
      (_, index) => `Wing number ${index} of type ${"abcdefghijkl"[index]}${index} carries load${index} well.`,
    );
    expect(extractAnswer("Which wing carries the load?", [passage(1, ...sentences)]).length).toBeLessThanOrEqual(6);
    const few = extractAnswer("Which wing carries load0?", [passage(1, ...sentences)]);
    expect(few.length).toBeGreaterThanOrEqual(3);
  });

  it("does not say the same thing twice", () => {
    const same = "The notice period for employees is one month.";
    expect(extractAnswer("notice period", [passage(1, same), passage(2, same)])).toHaveLength(1);
  });

  it("leaves out a title that the passage repeats", () => {
    const found = extractAnswer("lift of a wing", [
      {
        number: 1,
        title: "The lift of a swept wing .",
        text: "the lift of a swept wing . the wing was seen to lift early .",
      },
    ]);
    expect(found.map(({ text }) => text)).toEqual(["The wing was seen to lift early."]);
  });

  it("orders sentences as their passages are, with capitals and stops in place", () => {
    const found = extractAnswer("boundary layer", [
      passage(2, "the layer at the boundary is thin ."),
      passage(1, "A boundary has a layer of its own"),
    ]);
    expect(found).toEqual([
      { number: 1, text: "A boundary has a layer of its own." },
      { number: 2, text: "The layer at the boundary is thin." },
    ]);
  });

  it("finds nothing where no sentence shares a term", () => {
    expect(extractAnswer("notice period", [passage(1, "Lunch is served between noon and two.")])).toEqual([]);
    expect(extractAnswer("notice period", [])).toEqual([]);
  });
});

describe("termsOf", () => {
  it("keeps what carries meaning, in any script", () => {
    expect(termsOf("What is the lift of the wings?")).toEqual(["lift", "wing"]);
    expect(termsOf("7 日 a ?")).toEqual(["7", "日"]);
  });
});
