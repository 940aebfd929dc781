import { expect, test } from "vitest";
import { indexChunks } from "./chunk-index.ts";

test("lets others have turns while it counts and embeds a long document", async () => {
  let turns = 0;
  const countTurns = (): void => {
    turns += 1;
    next = setImmediate(countTurns);
  };
  let next = setImmediate(countTurns);
  const chunks = Array.from({ length: 640 }, (_, index) => ({ headings: [], text: `Passage ${index}.`, start: index }));
  const indexed = await indexChunks("Title", chunks, new AbortController().signal);
  clearImmediate(next);
  expect(turns).toBeGreaterThanOrEqual(9);
  expect(indexed.map(({ number }) => number)).toEqual(chunks.map((_, index) => index + 1));
  expect(indexed[639]).toMatchObject({ start: 639, terms: "titl passag 639", frequencies: "2 1 1", termCount: 4 });
});
