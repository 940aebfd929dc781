import { expect, test } from "vitest";
import { selfTimes } from "./profile.ts";

const aNode = (id: number, functionName: string, url = "") => ({ id, callFrame: { functionName, url, lineNumber: 9 } });

test("adds up a function's own time wherever it was called from, and leaves out what nobody computed", () => {
  const own = new URL("../load.ts", import.meta.url).href;
  const profile = {
    nodes: [
      aNode(1, "(idle)"),
      aNode(2, "repeat", own),
      aNode(3, "repeat", own),
      aNode(4, "writev"),
      aNode(5, "post", "node:inspector"),
    ],
    samples: [2, 1, 3, 4, 5],
    timeDeltas: [1_000, 90_000, 2_000, 500, 80_000],
  };
  expect(selfTimes(profile)).toEqual([
    { name: "repeat bench/load.ts:10", ms: 3 },
    { name: "writev", ms: 0.5 },
  ]);
});
