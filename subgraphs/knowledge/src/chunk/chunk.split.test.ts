import { expect, test } from "vitest";
import { splitIntoChunks } from "./chunk.split.ts";

const sentence = (number: number): string => `Sentence number ${number} says something that is not very long. `;
const sentences = (count: number): string => Array.from({ length: count }, (_, index) => sentence(index)).join("");

test("keeps a short text in one piece", () => {
  expect(splitIntoChunks([{ headings: ["A"], text: "One. Two." }])).toEqual([
    { headings: ["A"], text: "One. Two.", start: 0 },
  ]);
});

test("gives no chunk for no text", () => {
  expect(splitIntoChunks([])).toEqual([]);
  expect(splitIntoChunks([{ headings: [], text: "" }])).toEqual([]);
});

test("cuts between sentences and repeats the last ones", () => {
  const chunks = splitIntoChunks([{ headings: [], text: sentences(100) }]);
  expect(chunks.length).toBeGreaterThan(3);
  for (const [index, { text }] of chunks.entries()) {
    expect(text.length).toBeLessThanOrEqual(1_700);
    expect(text).toMatch(/^Sentence number/);
    expect(text).toMatch(/long\.$/);
    const before = chunks[index - 1];
    if (before) expect(before.text).toContain(text.slice(0, sentence(10).length - 1));
  }
});

test("loses no sentence", () => {
  const all = splitIntoChunks([{ headings: [], text: sentences(200) }])
    .map(({ text }) => text)
    .join("\n");
  for (let number = 0; number < 200; number++) expect(all).toContain(sentence(number).trim());
});

test("says where in the document's text a chunk lies", () => {
  const sections = [
    { headings: [], text: `  Short. ` },
    { headings: ["Long"], text: `Long.\n\n${sentences(60)}` },
    { headings: ["Tiny"], text: "Tiny." },
    { headings: ["End"], text: sentences(20) },
  ];
  const whole = sections.map(({ text }) => text).join("\n\n");
  const chunks = splitIntoChunks(sections);
  expect(chunks.length).toBeGreaterThan(3);
  for (const { text, start } of chunks) expect(whole.slice(start, start + text.length)).toBe(text);
  // What no chunk holds is white space.
  let end = 0;
  for (const { text, start } of chunks) {
    expect(whole.slice(end, start).trim()).toBe("");
    end = start + text.length;
  }
});

test("begins a chunk at a heading once there is enough before it", () => {
  const chunks = splitIntoChunks([
    { headings: ["Tiny"], text: "Tiny. Text." },
    { headings: ["Long"], text: `Long. ${sentences(15)}` },
    { headings: ["Next"], text: "Next. Text." },
  ]);
  expect(chunks.map(({ headings }) => headings)).toEqual([["Tiny"], ["Next"]]);
  expect(chunks[1]?.text).toBe("Next. Text.");
});

test("cuts what has no sentences at white space, and what has none of it inside no character", () => {
  const words = splitIntoChunks([{ headings: [], text: "word ".repeat(1_000) }]);
  expect(words.every(({ text }) => /^(word ?)+$/.test(text))).toBe(true);
  const faces = splitIntoChunks([{ headings: [], text: "🙂".repeat(4_000) }]);
  expect(faces.every(({ text }) => text.isWellFormed())).toBe(true);
  expect(faces.map(({ text }) => text).join("")).toBe("🙂".repeat(4_000));
});

test("knows the full stops of scripts without spaces", () => {
  const chunks = splitIntoChunks([{ headings: [], text: "これは文です。".repeat(500) }]);
  expect(chunks.length).toBeGreaterThan(1);
  expect(chunks.every(({ text }) => text.endsWith("。"))).toBe(true);
});
