import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually } from "@sba/testkit/eventually";

/** The whole system as a user starts it: `npm start` in processes of its own, on a data folder of its own. */

export interface Ready {
  readonly graphqlUrl: string;
  readonly subscriptionsUrl: string;
  readonly consoleUrl: string | null;
  readonly pids: { readonly server: number; readonly worker: number };
  readonly tenants: readonly {
    readonly id: string;
    readonly name: string;
    readonly tokens: {
      readonly owner: string;
      readonly operator: string;
      readonly viewer: string;
      readonly partner: string;
    };
    readonly people: {
      readonly owner: string;
      readonly operator: string;
      readonly viewer: string;
      readonly password: string;
    };
  }[];
}

export interface System {
  /** `ready.json` of this system: read it afresh, a restarted worker has another pid. */
  readonly readyFile: string;
  stop(): Promise<void>;
}

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const READY_WITHIN_MS = 170_000;

/** Starts a system without waiting for it. `env` adds to the environment of its processes. */
export async function launchSystem(env: NodeJS.ProcessEnv = {}): Promise<System> {
  const dataDir = await mkdtemp(join(tmpdir(), "sba-e2e-"));
  const readyFile = join(dataDir, "e2e-ready.json");
  const output: string[] = [];
  const child = spawn(process.execPath, ["start.ts", "--no-demo", "--ready-file", readyFile], {
    cwd: ROOT,
    env: { ...process.env, NODE_ENV: "development", DATA_DIR: dataDir, PORT: "0", LOG_LEVEL: "warn", ...env },
    // The channel tells it when this process dies without a word.
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => output.push(chunk.toString()));
  child.once("exit", (code) => {
    // For those who wait: it is removed with the folder when the system was stopped.
    if (existsSync(dataDir)) writeFileSync(endedFile(readyFile), `the system ended with ${code}:\n${output.join("")}`);
  });
  return {
    readyFile,
    stop: async () => {
      await end(child);
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

const endedFile = (readyFile: string): string => `${readyFile}.ended`;

/** Waits for a system to be ready; what it says then. Throws what a system said that ended before. */
export async function untilReady(readyFile: string): Promise<Ready> {
  const ready = await eventually(
    () => readReady(readyFile).catch(() => (existsSync(endedFile(readyFile)) ? "ended" : undefined)),
    { timeoutMs: READY_WITHIN_MS },
  );
  if (ready === "ended") throw new Error(await readFile(endedFile(readyFile), "utf8"));
  return ready;
}

/** What `ready.json` says now. */
export async function readReady(readyFile: string): Promise<Ready> {
  return JSON.parse(await readFile(readyFile, "utf8")) as Ready;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}
