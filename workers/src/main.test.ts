import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { givenTenant } from "@sba/identity/testing";
import { reader } from "@sba/platform/reader";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase, useRedis } from "@sba/testkit/services";
import { afterAll, afterEach, expect, test } from "vitest";

const database = useDatabase();
const redis = useRedis();
const dataDir = mkdtempSync(join(tmpdir(), "sba-worker-"));

let worker: ChildProcess | undefined;
afterEach(() => {
  worker?.kill("SIGKILL");
});
afterAll(() => {
  rmSync(dataDir, { recursive: true, force: true });
});

async function startWorker(env: NodeJS.ProcessEnv): Promise<ChildProcess> {
  const { app, system } = database().urls;
  const child = fork(join(import.meta.dirname, "main.ts"), {
    env: {
      ...process.env,
      DATABASE_URL: app,
      DATABASE_SYSTEM_URL: system,
      DATA_DIR: dataDir,
      LOG_LEVEL: "fatal",
      SECRET_KEY: "a".repeat(32),
      ...env,
    },
  });
  worker = child;
  expect((await once(child, "message"))[0]).toMatchObject({ type: "ready" });
  return child;
}

test.each([
  { name: "Postgres", env: () => ({ REDIS_URL: "" }) },
  { name: "Redis", env: () => ({ REDIS_URL: redis().url }) },
])(
  "gives a new tenant its built-in agents and workflows, with the queue on $name, and ends with 0",
  { timeout: 30_000 },
  async ({ env }) => {
    // No relay runs here, as if the process that committed had died: the worker's own finds what the tenant asked for.
    const { owner } = await givenTenant();
    const child = await startWorker(env());
    await eventually(
      async () => (await reader(owner).agent.count()) > 0 && (await reader(owner).workflow.count()) > 0,
      { timeoutMs: 10_000 },
    );
    child.kill("SIGTERM");
    expect((await once(child, "exit"))[0]).toBe(0);
  },
);
