import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@sba/testkit/eventually";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DataFolderInUse, takeDataFolder } from "./data-folder.ts";
import { isRunning, markOf } from "./process-mark.ts";

let path: string;
const children: ChildProcess[] = [];

beforeEach(async () => {
  path = join(await mkdtemp(join(tmpdir(), "sba-folder-")), "data");
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await rm(join(path, ".."), { recursive: true });
});

/** Some process that runs until it is ended. */
function idle(): number {
  const child = spawn("sleep", ["600"]);
  children.push(child);
  return child.pid!;
}

async function leaveRecord(supervisor: unknown, processes: Record<string, unknown>, isLeaving = false): Promise<void> {
  (await takeDataFolder(path)).release();
  await writeFile(join(path, "supervisor.json"), JSON.stringify({ supervisor, isLeaving, processes }));
}

test("is given to one at a time", async () => {
  const folder = await takeDataFolder(path);
  await expect(takeDataFolder(path)).rejects.toThrow(DataFolderInUse);
  folder.release();
  (await takeDataFolder(path)).release();
});

test("is given to one of several that come at once", async () => {
  const results = await Promise.allSettled([1, 2, 3].map(() => takeDataFolder(path)));
  expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
});

test("lets nobody read what it holds about processes", async () => {
  const folder = await takeDataFolder(path);
  expect((await stat(join(path, "supervisor.json"))).mode & 0o777).toBe(0o600);
  folder.release();
});

test("is taken from a supervisor that was killed, whose processes are ended", async () => {
  const orphan = idle();
  await leaveRecord({ pid: 999_999, startedAt: "long ago" }, { worker: markOf(orphan) });
  const ended = once(children[0]!, "exit");
  const folder = await takeDataFolder(path);
  expect((await ended)[1]).toBe("SIGTERM");
  folder.release();
});

test("leaves a stranger alone that has the pid of one of ours", async () => {
  const stranger = idle();
  await leaveRecord({ pid: stranger, startedAt: "before" }, { worker: { pid: stranger, startedAt: "before" } });
  const folder = await takeDataFolder(path);
  expect(isRunning(markOf(stranger)!)).toBe(true);
  folder.release();
});

test("is waited for while its supervisor leaves", async () => {
  const leaving = idle();
  await leaveRecord(markOf(leaving), {}, true);
  const taking = takeDataFolder(path);
  children[0]!.kill();
  const folder = await taking;
  expect(JSON.parse(await readFile(join(path, "supervisor.json"), "utf8"))).toMatchObject({
    supervisor: { pid: process.pid },
  });
  folder.release();
});

test("remembers the processes that were started", async () => {
  const folder = await takeDataFolder(path);
  const pid = idle();
  folder.record("server", pid);
  folder.leave();
  const record: unknown = JSON.parse(await readFile(join(path, "supervisor.json"), "utf8"));
  expect(record).toMatchObject({ isLeaving: true, processes: { server: markOf(pid) } });
  folder.release();
});

test("a process that has ended is not running, though its parent has not asked how", async () => {
  const mark = markOf(idle())!;
  expect(isRunning(mark)).toBe(true);
  process.kill(mark.pid, "SIGKILL");
  await eventually(() => !isRunning(mark));
});
