import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import pg from "pg";
import { guard } from "./guard.ts";
import {
  databaseOwner,
  findPostgresBinaries,
  giveTo,
  prepareDataDirectory,
  type ProcessOwner,
} from "./postgres-files.ts";

/**
 * A real Postgres 18 from npm, in its own session: Ctrl-C in the terminal does not reach it. It listens on 127.0.0.1 and on a socket in its
 * data folder, which its URLs name: a round trip there costs a fifth less of the processor than through the network's layers.
 */

/** The cluster's superuser. */
export const OWNER_ROLE = "postgres";
/** The embedded server on a laptop: small caches, and nothing that only replication needs. */
export const EMBEDDED_SETTINGS = {
  shared_buffers: "64MB",
  max_connections: "100",
  wal_level: "minimal",
  max_wal_senders: "0",
  jit: "off",
  // Bursts of small commits are what this system does; a checkpoint in their middle is felt.
  max_wal_size: "1GB",
  checkpoint_timeout: "15min",
  // Until it has looked at them, tables that were filled a moment ago are read row by row, and planned as if they were empty; but each
  // look at one that grows takes statistics anew: every 5 s, under load, it was a sixth of what the server computed.
  autovacuum_naptime: "15s",
};

const READY_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 20_000;
const LOOK_AGAIN_MS = 20;
const REAP_TIMEOUT_MS = 2_000;
const WATCH_EVERY_MS = 500;

export interface ClusterOptions {
  /** Where the data is kept. */
  readonly directory: string;
  /** Password of the superuser; must be the same at every start. */
  readonly password: string;
  /** Server settings, as `{ fsync: "off" }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Where the server's log is written anew at each start; in the data folder by default. */
  readonly logFile?: string;
  /** Where it listens; a free port by default. */
  readonly port?: number;
  /** True ends the server and removes its data when this process dies, however it dies: for tests, which keep nothing. */
  readonly diesWithParent?: boolean;
}

export interface Cluster {
  readonly pid: number;
  readonly port: number;
  /** True when the server was already running: one whose supervisor was killed. */
  readonly adopted: boolean;
  /** The superuser's URL of a database. */
  url(database: string): string;
  /** Ends every connection and the server. Calling it again does nothing. */
  stop(): Promise<void>;
}

export interface KeepOptions {
  /** Is called when the server has died, and when it is back. */
  readonly onDied: () => void;
  readonly onBack: () => void;
}

/**
 * Starts the cluster, and starts it again at the same address whenever its server dies: those who are connected lose their
 * statements under way and nothing that was committed. `stop` ends the one that runs by then.
 */
export async function keepCluster(options: ClusterOptions, { onDied, onBack }: KeepOptions): Promise<Cluster> {
  const first = await startCluster(options);
  let current = first;
  let stopping = false;
  let restart = Promise.resolve();
  const again = async (): Promise<void> => {
    onDied();
    current = await startCluster({ ...options, port: first.port });
    onBack();
  };
  let restarting = false;
  const timer = setInterval(() => {
    if (stopping || restarting || isAlive(current.pid)) return;
    restarting = true;
    // One that does not start is tried again: the reason is in its log, and the next look finds it dead still.
    restart = again()
      .catch(() => undefined)
      .finally(() => {
        restarting = false;
      });
  }, WATCH_EVERY_MS);
  return {
    ...first,
    stop: async () => {
      stopping = true;
      clearInterval(timer);
      await restart;
      await current.stop();
    },
  };
}

interface Running {
  readonly pid: number;
  readonly port: number;
  /** The folder of its socket; empty when it has none. */
  readonly socket: string;
}

/**
 * Starts the cluster, making it first when the folder is empty; adopts it when it is already running.
 * @throws Error with the server's own words when it does not start.
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const data = prepareDataDirectory(options.directory, options.password);
  const orphan = await findRunning(data, options.password);
  if (orphan) return openCluster(orphan, data, options, true);
  const binaries = findPostgresBinaries();
  const owner = databaseOwner();
  if (!existsSync(join(data, "PG_VERSION"))) initialise(binaries, data, options);
  const running = await launchWhenFree(binaries, data, options, owner);
  return openCluster(running, data, options, false);
}

/** The superuser's URL of a cluster that runs; undefined when none does. */
export async function findCluster({
  directory,
  password,
}: Pick<ClusterOptions, "directory" | "password">): Promise<string | undefined> {
  const running = await findRunning(prepareDataDirectory(directory, password), password);
  return running && clusterUrl(running, password, "postgres");
}

function openCluster(running: Running, data: string, options: ClusterOptions, adopted: boolean): Cluster {
  const { password, diesWithParent } = options;
  const callOff = diesWithParent ? guard(running.pid, "INT", data) : undefined;
  return {
    ...running,
    adopted,
    url: (database) => clusterUrl(running, password, database),
    stop: () => {
      callOff?.();
      return stopServer(running.pid, data);
    },
  };
}

/** `host` stands before the address, which is for those who can only use that. */
function clusterUrl({ port, socket }: Running, password: string, database: string): string {
  const host = socket === "" ? "" : `?host=${encodeURIComponent(socket)}`;
  return `postgres://${OWNER_ROLE}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}${host}`;
}

/** What every system takes as the name of a socket; its end is a zero. */
const LONGEST_SOCKET_NAME = 103;

/** The folder for the socket; empty when its name would be too long. Only the cluster's own user can enter it. */
function socketFolder(data: string): string {
  const isTooLong = Buffer.byteLength(join(data, ".s.PGSQL.65535")) > LONGEST_SOCKET_NAME;
  return isTooLong || process.platform === "win32" ? "" : data;
}

/** Makes the cluster beside its place and moves it there when it is complete: whoever is killed meanwhile leaves no half of one. */
function initialise(binaries: string, data: string, { password, diesWithParent }: ClusterOptions): void {
  const owner = databaseOwner();
  const draft = `${data}.new`;
  const passwordFile = `${data}.password`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  writeFileSync(passwordFile, password, { mode: 0o600 });
  try {
    for (const path of [draft, passwordFile]) giveTo(owner, path);
    const flags = [`--username=${OWNER_ROLE}`, `--pwfile=${passwordFile}`, "--auth=scram-sha-256", "--no-instructions"];
    // What dies with this process need not survive the machine.
    if (diesWithParent) flags.push("--no-sync");
    const command = join(binaries, "bin/initdb");
    const made = spawnSync(command, [`--pgdata=${draft}`, "--encoding=UTF8", "--locale=C", ...flags], {
      ...owner,
      cwd: "/",
      encoding: "utf8",
    });
    if (made.status !== 0) throw new Error(`initdb failed: ${made.error?.message ?? made.stderr}`);
    renameSync(draft, data);
  } finally {
    rmSync(passwordFile, { force: true });
  }
}

// A server that is still going down, or whose own children have not yet noticed that it was killed.
const STILL_IN_USE = /lock file "postmaster.pid" already exists|pre-existing shared memory block/;

async function launchWhenFree(
  binaries: string,
  data: string,
  options: ClusterOptions,
  owner: ProcessOwner,
): Promise<Running> {
  for (const deadline = Date.now() + STOP_TIMEOUT_MS; ; await delay(10 * LOOK_AGAIN_MS)) {
    try {
      return await launch(binaries, data, options, owner);
    } catch (error) {
      if (!(error instanceof Error) || !STILL_IN_USE.test(error.message) || Date.now() > deadline) throw error;
    }
  }
}

async function launch(binaries: string, data: string, options: ClusterOptions, owner: ProcessOwner): Promise<Running> {
  const port = options.port ?? (await freePort());
  const socket = socketFolder(data);
  // A list: a name with a comma is put into quotes.
  const sockets = socket === "" ? "" : `"${socket.replaceAll('"', '""')}"`;
  const settings = { listen_addresses: "127.0.0.1", unix_socket_directories: sockets, ...options.settings };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const log = options.logFile ?? join(data, "server.log");
  const output = openSync(log, "w", 0o600);
  const child = spawn(join(binaries, "bin/postgres"), ["-D", data, "-p", String(port), ...flags], {
    ...owner,
    cwd: "/",
    detached: true,
    stdio: ["ignore", output, output],
  });
  closeSync(output);
  child.unref();
  const running = await untilReady(child, data);
  if (!running)
    throw new Error(`Postgres did not start: ${readFileSync(log, "utf8").trim().split("\n").slice(-5).join(" / ")}`);
  return running;
}

async function untilReady(child: ChildProcess, data: string): Promise<Running | undefined> {
  const failed = new Promise<true>((resolve) => {
    child.once("error", () => {
      resolve(true);
    });
    child.once("exit", () => {
      resolve(true);
    });
  });
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (Date.now() < deadline) {
    const state = readPidFile(data);
    // A killed server leaves a file that says ready: ours is the one with our pid.
    if (state?.status === "ready" && state.pid === child.pid) return state;
    if (await Promise.race([failed, delay(LOOK_AGAIN_MS, false)])) return undefined;
  }
  child.kill("SIGKILL");
  return undefined;
}

interface PidFile extends Running {
  readonly status: string;
}

/** What the server says of itself: https://www.postgresql.org/docs/18/storage-file-layout.html and src/include/utils/pidfile.h */
function readPidFile(data: string): PidFile | undefined {
  try {
    const lines = readFileSync(join(data, "postmaster.pid"), "utf8").split("\n");
    const [pid, , , port, socket = "", , , status = ""] = lines.map((line) => line.trim());
    return { pid: Number(pid), port: Number(port), socket, status };
  } catch {
    return undefined;
  }
}

/** A server that answers for this very folder; a pid file alone may be stale, and its pid somebody else's. */
async function findRunning(data: string, password: string): Promise<Running | undefined> {
  const state = readPidFile(data);
  if (!state || !isAlive(state.pid)) return undefined;
  const client = new pg.Client({
    connectionString: clusterUrl(state, password, "postgres"),
    connectionTimeoutMillis: 2_000,
  });
  client.on("error", () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ data: string }>("SELECT current_setting('data_directory') AS data");
    return rows[0]?.data === data ? state : undefined;
  } catch {
    return undefined;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function stopServer(pid: number, data: string): Promise<void> {
  if (readPidFile(data)?.pid !== pid) return;
  // SIGINT is the fast shutdown: transactions are rolled back, the rest is written. https://www.postgresql.org/docs/18/server-shutdown.html
  signal(pid, "SIGINT");
  const deadline = Date.now() + STOP_TIMEOUT_MS;
  for (let goneAt: number | undefined; isAlive(pid); await delay(LOOK_AGAIN_MS)) {
    // The server removes its file just before it ends. What still looks alive long after is a zombie that nobody reaps.
    if (readPidFile(data)?.pid !== pid) goneAt ??= Date.now();
    if (goneAt !== undefined && Date.now() - goneAt > REAP_TIMEOUT_MS) return;
    // SIGQUIT loses nothing either: the next start replays the log.
    if (goneAt === undefined && Date.now() > deadline) signal(pid, "SIGQUIT");
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    /* it is gone */
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** A port that is free now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      probe.close(() => {
        if (address !== null && typeof address === "object") resolve(address.port);
        else reject(new Error("no port"));
      });
    });
  });
}
