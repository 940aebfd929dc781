import { fork } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { eventually } from "@sba/testkit/eventually";
import { makeClusterFolder } from "@sba/testkit/scratch";
import pg from "pg";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keepCluster, startCluster, type Cluster } from "./postgres.ts";

let folder: string;
let running: Cluster[];

beforeEach(() => {
  running = [];
  folder = makeClusterFolder();
});

afterEach(async () => {
  for (const cluster of running) await cluster.stop();
  await rm(folder, { recursive: true });
});

async function start(): Promise<Cluster> {
  const cluster = await startCluster({ directory: join(folder, "postgres"), password: "secret", diesWithParent: true });
  running.push(cluster);
  return cluster;
}

async function query(cluster: Pick<Cluster, "url">, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: cluster.url("postgres") });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return (await client.query(text)).rows as unknown[];
  } finally {
    await client.end();
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test("keeps its data from one start to the next", async () => {
  const first = await start();
  await query(first, "CREATE TABLE note AS SELECT 1 AS id");
  await first.stop();
  expect(isAlive(first.pid)).toBe(false);
  expect(await query(await start(), "SELECT id FROM note")).toEqual([{ id: 1 }]);
});

test("adopts the server that still runs on its folder", async () => {
  const first = await start();
  const second = await start();
  expect(second).toMatchObject({ adopted: true, pid: first.pid, port: first.port });
  await second.stop();
  expect(isAlive(first.pid)).toBe(false);
});

test("is started again at the same address when its server dies, until it is stopped", async () => {
  const said: string[] = [];
  const kept = await keepCluster(
    { directory: join(folder, "postgres"), password: "secret", diesWithParent: true },
    { onDied: () => said.push("died"), onBack: () => said.push("back") },
  );
  running.push(kept);
  await query(kept, "CREATE TABLE note AS SELECT 1 AS id");
  process.kill(kept.pid, "SIGKILL");
  await eventually(() => said.includes("back"), { timeoutMs: 25_000 });
  expect(await query(kept, "SELECT id FROM note")).toEqual([{ id: 1 }]);
  await kept.stop();
  await expect(query(kept, "SELECT 1")).rejects.toMatchObject({ syscall: "connect" });
  expect(said).toEqual(["died", "back"]);
});

test("starts anew after its server was killed, and has every row that was committed", async () => {
  const first = await start();
  await query(first, "CREATE TABLE note AS SELECT 1 AS id");
  process.kill(first.pid, "SIGKILL");
  await eventually(() => !isAlive(first.pid));
  const second = await start();
  expect(second.adopted).toBe(false);
  expect(await query(second, "SELECT id FROM note")).toEqual([{ id: 1 }]);
});

test("starts although an earlier start was killed while it made the cluster", async () => {
  await mkdir(join(folder, "postgres.new/base"), { recursive: true });
  await writeFile(join(folder, "postgres.new/PG_VERSION"), "18");
  expect(await query(await start(), "SELECT 1 AS one")).toEqual([{ one: 1 }]);
});

test("runs in a session of its own, so that the terminal's Ctrl-C does not reach it", async () => {
  const cluster = await startCluster({ directory: join(folder, "postgres"), password: "secret" });
  running.push(cluster);
  // Signal 0 to a process group asks whether there is one: a session's leader also leads its group.
  expect(process.kill(-cluster.pid, 0)).toBe(true);
});

test("ends with the process that started it when it is told to, even if that is killed", async () => {
  const program = `
    const { startCluster } = await import(${JSON.stringify(join(import.meta.dirname, "postgres.ts"))});
    const cluster = await startCluster({ directory: process.argv[1], password: "secret", diesWithParent: true });
    process.send(cluster.pid);
    setInterval(() => {}, 1000);`;
  const parent = fork("--input-type=module", ["-e", program, join(folder, "postgres")], { execArgv: [] });
  const pid = await new Promise<number>((resolve) =>
    parent.once("message", (message) => {
      resolve(Number(message));
    }),
  );
  expect(isAlive(pid)).toBe(true);
  parent.kill("SIGKILL");
  await eventually(() => !isAlive(pid) && !existsSync(join(folder, "postgres")), { timeoutMs: 10_000 });
});

test("says what the server said when it does not start", async () => {
  const options = { directory: join(folder, "postgres"), password: "secret", settings: { shared_buffers: "nonsense" } };
  await expect(startCluster(options)).rejects.toThrow(/Postgres did not start: .*shared_buffers/);
});
