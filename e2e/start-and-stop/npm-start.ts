import { spawn, type ChildProcess } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually } from "@sba/testkit/eventually";
import type { Ready } from "../system.ts";

/** `npm start` as people type it, with or without a terminal. */

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const READY_WITHIN_MS = 170_000;
const END_WITHIN_MS = 30_000;

export interface NpmStart {
  readonly pid: number;
  /** Everything that was printed so far. */
  output(): string;
  /** What ready.json says, once it is there. */
  ready(): Promise<Ready>;
  /** Types a key combination: Ctrl-C is "\x03". Needs a terminal. */
  type(keys: string): void;
  kill(signal: NodeJS.Signals): void;
  /** Resolves with the exit code when the command has ended. */
  ended(): Promise<number>;
}

export interface NpmStartOptions {
  readonly dataDir: string;
  readonly terminal?: boolean;
  readonly env?: NodeJS.ProcessEnv;
}

export async function makeDataDir(): Promise<{ readonly dataDir: string; remove(): Promise<void> }> {
  const parent = await mkdtemp(join(tmpdir(), "sba-e2e-"));
  return { dataDir: join(parent, "data"), remove: () => rm(parent, { recursive: true, force: true }) };
}

export function npmStart({ dataDir, terminal = false, env = {} }: NpmStartOptions): NpmStart {
  const child = launch(terminal, { ...process.env, NODE_ENV: "development", DATA_DIR: dataDir, PORT: "0", ...env });
  let printed = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
    });
  const exit = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      resolve(code ?? -1);
    });
  });
  return {
    pid: child.pid ?? -1,
    output: () => printed,
    ready: async () => {
      const early = exit.then((code) => {
        throw new Error(`npm start ended with ${code}:\n${printed}`);
      });
      return Promise.race([early, eventually(() => readReady(dataDir), { timeoutMs: READY_WITHIN_MS })]);
    },
    type: (keys) => {
      child.stdin?.write(keys);
    },
    kill: (signal) => {
      child.kill(signal);
    },
    ended: () => withDeadline(exit, () => printed),
  };
}

/**
 * `script` of util-linux and of BSD gives the command a terminal of its own, and types there what it reads. It asks $SHELL to run
 * it: a shell that stayed in between (dash) would hear Ctrl-C too, and end with 130 whatever npm says.
 */
function launch(terminal: boolean, env: NodeJS.ProcessEnv): ChildProcess {
  const options = { cwd: ROOT, env } as const;
  if (!terminal) return spawn("npm", ["start", "--", "--no-demo"], { ...options, stdio: ["ignore", "pipe", "pipe"] });
  const args =
    process.platform === "linux"
      ? ["-qec", "exec npm start -- --no-demo", "/dev/null"]
      : ["-q", "/dev/null", "npm", "start", "--", "--no-demo"];
  return spawn("script", args, { ...options, stdio: "pipe" });
}

async function withDeadline(exit: Promise<number>, output: () => string): Promise<number> {
  const deadline = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    deadline.reject(new Error(`npm start did not end:\n${output()}`));
  }, END_WITHIN_MS);
  return Promise.race([exit, deadline.promise]).finally(() => {
    clearTimeout(timer);
  });
}

export async function readReady(dataDir: string): Promise<Ready> {
  return JSON.parse(await readFile(join(dataDir, "ready.json"), "utf8")) as Ready;
}

/** The pid of what `npm start` started to watch the others. */
export function supervisorPid(dataDir: string): number {
  return (JSON.parse(readFileSync(join(dataDir, "supervisor.json"), "utf8")) as { supervisor: { pid: number } })
    .supervisor.pid;
}

/** Every process that was started for this data folder: all of them inherit DATA_DIR. */
export function processesOf(dataDir: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && environmentOf(pid).includes(`DATA_DIR=${dataDir}`));
}

function environmentOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
  } catch {
    return [];
  }
}
