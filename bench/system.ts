import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { startCluster } from "@sba/launcher/postgres";
import { keepSecretKey } from "@sba/launcher/secret-key";
import type { DatabaseUrls } from "@sba/platform/db";
import { provisionRoles } from "@sba/platform/roles";
import { eventually } from "@sba/testkit/eventually";
import { closing } from "./cleanup.ts";
import { treeOf } from "./processes.ts";

/** The whole system, started as people start it: `npm start`, in processes of its own, on a given data folder. */
export interface System {
  /** Of `ready.json`. */
  readonly graphqlUrl: string;
  readonly subscriptionsUrl: string;
  readonly consoleUrl: string;
  readonly operatorToken: string;
  /** The same person, as they sign in. */
  readonly operator: { readonly email: string; readonly password: string };
  /** Of `npm`. */
  readonly npmPid: number;
  /** Of the process that starts all others. */
  readonly supervisorPid: number;
  /** From the command to `ready.json`. */
  readonly readyAfterMs: number;
}

export interface SystemOptions {
  readonly dataDir: string;
  readonly redisUrl: string | undefined;
}

interface Ready {
  readonly graphqlUrl: string;
  readonly subscriptionsUrl: string;
  readonly consoleUrl: string | null;
  readonly tenants: readonly {
    readonly tokens: { readonly operator: string };
    readonly people: { readonly operator: string; readonly password: string };
  }[];
}

const ROOT = join(import.meta.dirname, "..");
const READY_WITHIN_MS = 180_000;

/** Starts a system, waits until it is ready, and stops it after `work`. @throws Error with its output when it does not start */
export function withSystem<T>(options: SystemOptions, work: (system: System) => Promise<T>): Promise<T> {
  const readyFile = join(options.dataDir, "bench-ready.json");
  const output: Buffer[] = [];
  const began = performance.now();
  const npm = spawn("npm", ["start", "--silent", "--", "--no-demo", "--ready-file", readyFile], {
    cwd: ROOT,
    env: environment(options),
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const stream of [npm.stdout, npm.stderr]) stream.on("data", (chunk: Buffer) => output.push(chunk));
  const died = once(npm, "exit").then(([code]) => {
    throw new Error(`npm start ended with ${String(code)}:\n${Buffer.concat(output).toString()}`);
  });
  died.catch(() => undefined); // heard below, or it ends because it is stopped
  const readReady = async (): Promise<Ready> => JSON.parse(await readFile(readyFile, "utf8")) as Ready;
  return closing(
    () => stop(npm),
    async () => {
      const ready = await Promise.race([died, eventually(readReady, { timeoutMs: READY_WITHIN_MS })]);
      return work(describe(ready, npm.pid ?? 0, performance.now() - began));
    },
  );
}

function describe({ tenants, consoleUrl, ...urls }: Ready, npmPid: number, readyAfterMs: number): System {
  const supervisorPid = findSupervisor(npmPid);
  if (supervisorPid === undefined) throw new Error("npm start runs, but its supervisor cannot be found in /proc");
  const [tenant] = tenants;
  if (!tenant || consoleUrl === null)
    throw new Error("npm start is ready without a demonstration or without a console");
  const { tokens, people } = tenant;
  const operator = { email: people.operator, password: people.password };
  return { ...urls, consoleUrl, operatorToken: tokens.operator, operator, npmPid, supervisorPid, readyAfterMs };
}

/** The embedded defaults, whatever the shell that runs the benchmark has set. */
function environment({ dataDir, redisUrl }: SystemOptions): NodeJS.ProcessEnv {
  const { DATABASE_URL, DATABASE_SYSTEM_URL, DATABASE_ADMIN_URL, REDIS_URL, OPENAI_API_KEY, ...inherited } =
    process.env;
  const own = { NODE_ENV: "development", DATA_DIR: dataDir, PORT: "0", LOG_LEVEL: "warn" };
  return { ...inherited, ...own, ...(redisUrl === undefined ? {} : { REDIS_URL: redisUrl }) };
}

/** npm and scripts/run.mjs stand before it. */
function findSupervisor(npmPid: number): number | undefined {
  return treeOf(npmPid).find(({ command }) => /\/start\.ts /.test(command) && !command.includes("run.mjs"))?.pid;
}

async function stop(npm: ChildProcess): Promise<void> {
  if (npm.exitCode !== null || npm.signalCode !== null || npm.pid === undefined) return;
  const ended = once(npm, "exit");
  process.kill(findSupervisor(npm.pid) ?? npm.pid, "SIGTERM");
  await ended;
}

/** How a process beside the running system reaches its embedded database, in the roles that the system's own processes have. */
export async function databaseOf(dataDir: string): Promise<DatabaseUrls & { readonly admin: string }> {
  const secretKey = keepSecretKey(dataDir);
  // It runs: it is adopted, not started, and left running.
  const cluster = await startCluster({ directory: join(dataDir, "postgres"), password: secretKey });
  const admin = cluster.url("postgres");
  return { ...(await provisionRoles(admin, secretKey)), admin };
}
