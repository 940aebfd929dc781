import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
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

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

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
    const port = await freePort();
    const child = await startWorker({ ...env(), METRICS_PORT: `${port}` });
    await eventually(
      async () => (await reader(owner).agent.count()) > 0 && (await reader(owner).workflow.count()) > 0,
      { timeoutMs: 10_000 },
    );
    // A job is counted when it has ended, which is after what it committed can be seen.
    const metrics = await eventually(async () => {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      return /^sba_jobs_total\{job="platform.event.announced",outcome="done"\} [1-9]/m.test(text) && text;
    });
    for (const shown of [
      /^sba_queue_jobs\{queue="reactions",state="waiting"\} \d+$/m,
      /^sba_breaker_state\{of="provider",name="local"\} 0$/m,
      /^sba_runs_in_hand 0$/m,
      /^sba_runs_capacity 32$/m,
      /^nodejs_eventloop_lag_p99_seconds /m,
    ])
      expect(metrics).toMatch(shown);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
    child.kill("SIGTERM");
    expect((await once(child, "exit"))[0]).toBe(0);
  },
);
