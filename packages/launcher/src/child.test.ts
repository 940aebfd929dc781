import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { getPriority, tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@sba/testkit/eventually";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keepRunning, type KeptProcess } from "./child.ts";

let folder: string;
const kept: KeptProcess[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sba-child-"));
});
afterEach(async () => {
  await Promise.all(kept.splice(0).map((child) => child.stop()));
  await rm(folder, { recursive: true });
});

interface Watched {
  readonly child: KeptProcess;
  readonly pids: number[];
  readonly deaths: string[];
  readonly again: object[];
}

async function keep(program: string): Promise<Watched> {
  const entry = join(folder, "program.ts");
  await writeFile(entry, program);
  const pids: number[] = [];
  const deaths: string[] = [];
  const again: object[] = [];
  const child = keepRunning(
    { name: "program", entry, env: process.env, heapMegabytes: 64, niceness: 3, logFile: join(folder, "program.log") },
    {
      onStarted: (pid) => pids.push(pid),
      onReadyAgain: (message) => again.push(message),
      onDied: (reason) => deaths.push(reason),
    },
  );
  kept.push(child);
  return { child, pids, deaths, again };
}

const SERVES = `process.send?.({ type: "ready", port: 1 }); process.on("message", () => {}); console.log("serving");`;

test("passes on what a process says when it is ready, and keeps what it prints", async () => {
  const { child } = await keep(SERVES);
  expect(await child.ready).toEqual({ type: "ready", port: 1 });
  await eventually(async () => (await readFile(join(folder, "program.log"), "utf8")) === "serving\n");
});

test("has it leave the processors to others as far as it is told to", async () => {
  const { child } = await keep(SERVES);
  await child.ready;
  expect(getPriority(child.pid())).toBe(3);
});

test("starts it again when it is killed", async () => {
  const { child, pids, deaths, again } = await keep(SERVES);
  await child.ready;
  process.kill(pids[0]!, "SIGKILL");
  await eventually(() => again.length === 1);
  expect(deaths).toEqual(["SIGKILL"]);
  expect(child.pid()).toBe(pids[1]);
});

test("gives up on one that never becomes ready, and says where its log is", async () => {
  const { child, pids } = await keep(`throw new Error("cannot");`);
  await expect(child.ready).rejects.toThrow(/The program does not start \(exit code 1\): its log is .*program\.log/);
  expect(pids).toHaveLength(3);
  expect(await readFile(join(folder, "program.log"), "utf8")).toContain("cannot");
});

test("ends it and does not start it again", async () => {
  const { child, pids, deaths } = await keep(SERVES);
  await child.ready;
  await child.stop();
  expect(() => process.kill(pids[0]!, 0)).toThrow("ESRCH");
  expect({ pids: pids.length, deaths }).toEqual({ pids: 1, deaths: [] });
});
