import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parseOptions } from "./options.ts";
import { deleteReadyFile, writeReadyFile, type ReadyInfo } from "./ready-file.ts";
import { keepSecretKey } from "./secret-key.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sba-files-"));
});
afterEach(() => rm(folder, { recursive: true }));

const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

test("makes a secret key once, for its owner only", async () => {
  const key = keepSecretKey(folder);
  expect(key.length).toBeGreaterThanOrEqual(32);
  expect(keepSecretKey(folder)).toBe(key);
  expect(await modeOf(join(folder, "secret-key"))).toBe(0o600);
});

test("writes ready.json for its owner only, whole, over one that is there", async () => {
  const path = join(folder, "ready.json");
  const info: ReadyInfo = {
    graphqlUrl: "http://127.0.0.1:1/graphql",
    subscriptionsUrl: "ws://127.0.0.1:1/graphql",
    sseUrl: null,
    consoleUrl: null,
    metricsUrl: null,
    pids: { server: 1, worker: 2 },
    tenants: [],
  };
  writeReadyFile(path, info);
  writeReadyFile(path, { ...info, pids: { server: 1, worker: 3 } });
  expect(JSON.parse(await readFile(path, "utf8"))).toEqual({ ...info, pids: { server: 1, worker: 3 } });
  expect(await modeOf(path)).toBe(0o600);
  deleteReadyFile(path);
  deleteReadyFile(path);
  await expect(stat(path)).rejects.toThrow("ENOENT");
});

test("understands the arguments of npm start", () => {
  expect(parseOptions([])).toEqual({ readyFile: undefined, demo: "FIRST_START" });
  expect(parseOptions(["--demo"]).demo).toBe("ALWAYS");
  expect(parseOptions(["--no-demo", "--ready-file", "/tmp/ready.json"])).toEqual({
    readyFile: "/tmp/ready.json",
    demo: "NEVER",
  });
  expect(() => parseOptions(["--domo"])).toThrow(/--domo/);
});
