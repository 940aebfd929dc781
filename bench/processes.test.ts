import { expect, test } from "vitest";
import { treeOf, type ProcessInfo } from "./processes.ts";

const aProcess = (pid: number, parent: number): ProcessInfo => ({ pid, parent, command: `p${pid}` });

test("finds a process and what is below it at any depth, and nobody beside it", () => {
  const all = [aProcess(1, 0), aProcess(2, 1), aProcess(3, 2), aProcess(4, 1), aProcess(5, 3)];
  expect(treeOf(2, all).map(({ pid }) => pid)).toEqual([2, 3, 5]);
  expect(treeOf(9, all)).toEqual([]);
});
