import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
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

/** Starts a system and waits until it is ready. `env` adds to the environment of its processes. */
export async function startSystem(env: NodeJS.ProcessEnv = {}): Promise<System> {
  const dataDir = await mkdtemp(join(tmpdir(), "sba-e2e-"));
  const readyFile = join(dataDir, "e2e-ready.json");
  const output: string[] = [];
  const child = spawn(process.execPath, ["start.ts", "--no-demo", "--ready-file", readyFile], {
    cwd: ROOT,
    env: { ...process.env, NODE_ENV: "development", DATA_DIR: dataDir, PORT: "0", LOG_LEVEL: "warn", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => output.push(chunk.toString()));
  const endedEarly = once(child, "exit").then(([code]) => {
    throw new Error(`the system ended with ${String(code)}:\n${output.join("")}`);
  });
  await Promise.race([endedEarly, eventually(() => readReady(readyFile), { timeoutMs: READY_WITHIN_MS })]);
  endedEarly.catch(() => undefined); // from here on it ends when it is stopped
  return {
    readyFile,
    stop: async () => {
      await end(child);
      await rm(dataDir, { recursive: true, force: true });
    },
  };
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
