import { spawn, type ChildProcess } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { guard } from "@sba/launcher/guard";
import { freePort } from "@sba/launcher/postgres";
import { findProgram } from "./program.ts";

/** A real Redis 7 on 127.0.0.1, that keeps nothing on disk. */
export interface RedisServer {
  readonly port: number;
  readonly url: string;
  readonly pid: number;
  /** Writes what it holds to a file, as `restoreFrom` takes it. */
  saveTo(file: string): Promise<void>;
  /** Ends the server as `kill -9` does, when it is to lose what it holds. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

/** How Redis names it. https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/ */
const DUMP = "dump.rdb";
const READY_TIMEOUT_MS = 10_000;
export const REDIS_IS_MISSING =
  "These tests need Redis 7: set REDIS_URL, or install redis-server (Debian and Ubuntu: apt-get install redis-server; macOS: brew install redis).";

/** The path of redis-server; installs Debian's package when running as root there. @throws Error saying what to install. */
export function findRedisServer(): string {
  return findProgram("redis-server", { debianPackage: "redis-server", otherwise: REDIS_IS_MISSING });
}

export interface RedisOptions {
  /** Taken again by a server that is to come back after it was killed. */
  readonly port?: number;
  /** More lines of configuration, as `["--appendonly", "yes"]`. */
  readonly settings?: readonly string[];
  /** A file that holds what the server is to begin with. */
  readonly restoreFrom?: string;
}

export async function startRedisServer({ port, settings = [], restoreFrom }: RedisOptions = {}): Promise<RedisServer> {
  const directory = mkdtempSync(join(tmpdir(), "sba-redis-"));
  if (restoreFrom !== undefined) copyFileSync(restoreFrom, join(directory, DUMP));
  const actualPort = port ?? (await freePort());
  const child = spawn(
    findRedisServer(),
    [
      "--port",
      String(actualPort),
      "--bind",
      "127.0.0.1",
      "--dir",
      directory,
      "--save",
      "",
      "--maxmemory-policy",
      "noeviction",
      "--databases",
      "64",
      ...settings,
    ],
    { stdio: "ignore" },
  );
  const ended = new Promise<void>((resolve) => {
    const done = (): void => {
      rmSync(directory, { recursive: true, force: true });
      resolve();
    };
    child.once("exit", done);
    child.once("error", done);
  });
  await untilReady(child, actualPort);
  const callOff = guard(child.pid ?? 0, "TERM", directory);
  const end = async (name: NodeJS.Signals): Promise<void> => {
    callOff();
    child.kill(name);
    await ended;
  };
  return {
    port: actualPort,
    url: `redis://127.0.0.1:${actualPort}`,
    pid: child.pid ?? 0,
    saveTo: async (file) => {
      await command(actualPort, "SAVE");
      copyFileSync(join(directory, DUMP), file);
    },
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
  };
}

async function untilReady(child: ChildProcess, port: number): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (Date.now() < deadline && child.exitCode === null) {
    if (await answers(port)) return;
    await delay(20);
  }
  child.kill("SIGKILL");
  throw new Error(`redis-server did not come up on port ${port}`);
}

function answers(port: number): Promise<boolean> {
  return command(port, "PING").then(
    (answer) => answer.startsWith("+PONG"),
    () => false,
  );
}

/** What the server answers to one word. @throws when it cannot be reached */
function command(port: number, word: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ port, host: "127.0.0.1" }, () => socket.write(`${word}\r\n`));
    socket.once("data", (data) => {
      socket.destroy();
      resolve(data.toString());
    });
    socket.once("error", reject);
    socket.once("close", () => {
      reject(new Error(`redis-server left ${word} unanswered`));
    });
  });
}
