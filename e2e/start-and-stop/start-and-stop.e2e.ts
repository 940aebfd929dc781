import { existsSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { createClient, SearchKnowledgeDocument } from "@sba/client";
import { eventually } from "@sba/testkit/eventually";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Ready } from "../system.ts";
import { makeDataDir, npmStart, processesOf, readReady, supervisorPid, type NpmStart } from "./npm-start.ts";

const CTRL_C = "\x03";
let dataDir: string;
let removeDataDir: () => Promise<void>;
// One folder for all: the first start fills it, the others resume with its data.
beforeAll(async () => {
  ({ dataDir, remove: removeDataDir } = await makeDataDir());
});
afterAll(async () => {
  // Nothing is left when the tests held; when one did not, the next file shall not suffer from it.
  for (const pid of processesOf(dataDir)) process.kill(pid, "SIGKILL");
  await removeDataDir();
});

async function countHits({ graphqlUrl, tenants }: Ready): Promise<number> {
  const client = createClient({ url: graphqlUrl, token: tenants[0]!.tokens.viewer });
  const { searchKnowledge } = await client.query(SearchKnowledgeDocument, { query: "boundary layer", topK: 5 });
  await client.close();
  return searchKnowledge.hits.length;
}

async function postgresLog(): Promise<string> {
  return readFile(join(dataDir, "postgres.log"), "utf8");
}

describe("npm start", () => {
  test("serves two demo tenants and writes ready.json for its owner only, in a terminal; Ctrl-C ends all of it", async () => {
    const running = npmStart({ dataDir, terminal: true });
    const ready = await running.ready();
    expect(statSync(join(dataDir, "ready.json")).mode & 0o777).toBe(0o600);
    expect(ready.tenants).toHaveLength(2);
    expect(await countHits(ready)).toBe(5);
    running.type(CTRL_C);
    expect(await running.ended()).toBe(0);
    expect(processesOf(dataDir)).toEqual([]);
    expect(existsSync(join(dataDir, "ready.json"))).toBe(false);
    expect(await postgresLog()).toMatch(/database system is shut down\s*$/);
  });

  test("resumes with the data of the first start, and hears Ctrl-C twice as once", async () => {
    const running = npmStart({ dataDir, terminal: true });
    expect(await countHits(await running.ready())).toBe(5);
    running.type(CTRL_C);
    await eventually(() => running.output().includes("Stopping"));
    running.type(CTRL_C);
    expect(await running.ended()).toBe(0);
    expect(processesOf(dataDir)).toEqual([]);
    expect(await postgresLog()).toMatch(/database system is shut down\s*$/);
  });

  test("names all that is wrong in one message, and leaves nothing running", async () => {
    const listener = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => listener.once("listening", resolve));
    const { port } = listener.address() as AddressInfo;
    const env = {
      PORT: String(port),
      LOG_LEVEL: "loud",
      DATABASE_POOL_SIZE: "many",
      DATABASE_ADMIN_URL: "postgres://nobody:secret-word@127.0.0.1:1/nothing",
      REDIS_URL: "redis://127.0.0.1:2",
    };
    const running = npmStart({ dataDir, env });
    expect(await running.ended()).toBe(1);
    for (const problem of [
      `PORT: ${port} on 127.0.0.1 is in use`,
      "LOG_LEVEL: ",
      "DATABASE_POOL_SIZE: ",
      "DATABASE_ADMIN_URL: the database 127.0.0.1:1/nothing cannot be reached",
      "REDIS_URL: Redis at 127.0.0.1:2 cannot be reached",
    ]) {
      expect(running.output()).toContain(problem);
    }
    expect(running.output()).not.toContain("secret-word");
    expect(running.output().split("The system cannot start").length).toBe(2);
    expect(processesOf(dataDir)).toEqual([]);
    listener.close();
  });
});

describe("npm start without a terminal", () => {
  let running: NpmStart;
  let ready: Ready;

  /** Another server than the one that was ready before. */
  async function readyAgain(timeoutMs: number): Promise<Ready> {
    return eventually(
      async () => {
        const now = await readReady(dataDir);
        return now.pids.server !== ready.pids.server && now;
      },
      { timeoutMs },
    );
  }

  test("stays up", async () => {
    running = npmStart({ dataDir });
    ready = await running.ready();
    expect(await countHits(ready)).toBe(5);
  });

  test("refuses a second start on the same folder, and leaves the first alone", async () => {
    const second = npmStart({ dataDir });
    expect(await second.ended()).toBe(1);
    expect(second.output()).toContain(
      `is in use by process ${supervisorPid(dataDir)}: stop that, or set DATA_DIR to another folder.`,
    );
    expect(await countHits(ready)).toBe(5);
  });

  test("starts a worker that was killed again, and says its new pid", async () => {
    process.kill(ready.pids.worker, "SIGKILL");
    const now = await eventually(
      async () => {
        const read = await readReady(dataDir);
        return read.pids.worker !== ready.pids.worker && read;
      },
      { timeoutMs: 30_000 },
    );
    expect(now.pids.server).toBe(ready.pids.server);
  });

  test("starts a server that was killed again, at the same address", async () => {
    process.kill(ready.pids.server, "SIGKILL");
    const now = await readyAgain(30_000);
    expect(now.graphqlUrl).toBe(ready.graphqlUrl);
    expect(await countHits(ready)).toBe(5);
    ready = now;
  });

  test("takes over what a killed start left behind, and ends on SIGTERM", async () => {
    process.kill(supervisorPid(dataDir), "SIGKILL");
    await running.ended();
    running = npmStart({ dataDir });
    ready = await readyAgain(60_000);
    expect(await countHits(ready)).toBe(5);
    running.kill("SIGTERM");
    expect(await running.ended()).toBe(0);
    expect(processesOf(dataDir)).toEqual([]);
  });

  test("ends when npm is killed, and lets the next start in", async () => {
    running = npmStart({ dataDir });
    ready = await running.ready();
    running.kill("SIGKILL");
    running = npmStart({ dataDir });
    ready = await readyAgain(60_000);
  });

  test("ends when the process that watches for signals is killed", async () => {
    process.kill(await parentOf(supervisorPid(dataDir)), "SIGKILL");
    await eventually(() => processesOf(dataDir).length === 0, { timeoutMs: 30_000 });
    expect(await postgresLog()).toMatch(/database system is shut down\s*$/);
  });
});

async function parentOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]);
}
