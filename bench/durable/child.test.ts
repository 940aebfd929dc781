import { afterAll, beforeAll, expect, test } from "vitest";
import { startChild, type Child } from "./child.ts";

const FILE = "./child.test.child.ts";
let child: Child;

beforeAll(async () => {
  child = await startChild(FILE);
});
afterAll(() => child.stop());

test("answers each question for itself, with more than JSON has", async () => {
  const answers = await Promise.all([child.ask("double", 2), child.ask("double", 21)]);
  expect(answers).toEqual([4, 42].map((number) => ({ number, map: new Map([["kept", 1n]]) })));
});

test("what fails in the child fails here, and the child goes on", async () => {
  await expect(child.ask("fail")).rejects.toThrow("as asked");
  await expect(child.ask("nonsense")).rejects.toThrow("knows nothing of nonsense");
  expect(await child.ask("double", 1)).toMatchObject({ number: 2 });
});

test("a child that dies leaves nobody waiting", async () => {
  const other = await startChild(FILE);
  await expect(other.ask("die")).rejects.toThrow(`${FILE} ended with 3`);
  await other.stop();
});
