import { connect, createServer } from "node:net";
import { ConfigError, loadConfig, type Config } from "@sba/platform/config";
import pg from "pg";

/** Everything that would stop a start and can be known beforehand, found together and said together. */
export interface Environment {
  /** What is usable: a variable that is wrong has its default here. */
  readonly config: Config;
  /** One sentence each, beginning with the variable. */
  readonly problems: readonly string[];
}

const CONNECT_TIMEOUT_MS = 5_000;

export function readEnvironment(environment: NodeJS.ProcessEnv): Environment {
  try {
    return { config: loadConfig(environment), problems: [] };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { config: partlyUsable(environment, error.problems), problems: error.problems };
  }
}

/** The variables that can be judged although others are wrong: none of these depends on another. */
const INDEPENDENT = ["HOST", "PORT", "DATA_DIR", "REDIS_URL"];
const DATABASES = ["DATABASE_URL", "DATABASE_SYSTEM_URL", "DATABASE_ADMIN_URL"] as const;

function partlyUsable(environment: NodeJS.ProcessEnv, problems: readonly string[]): Config {
  const wrong = new Set(problems.flatMap((problem) => problem.slice(0, problem.indexOf(":")).split(/[^A-Z0-9_]+/)));
  const given = Object.entries(environment).filter(([name, value]) => !wrong.has(name) && value?.trim());
  const usable = Object.fromEntries(given);
  const config = loadConfig(Object.fromEntries(given.filter(([name]) => INDEPENDENT.includes(name))));
  return { ...config, ...Object.fromEntries(DATABASES.map((name) => [name, usable[name]])) };
}

/** Asks what the environment names whether it is there. */
export async function findProblems(config: Config): Promise<string[]> {
  const found = await Promise.all([
    portProblem(config.HOST, config.PORT),
    ...DATABASES.map((variable) => databaseProblem(variable, config[variable])),
    redisProblem(config.REDIS_URL),
  ]);
  return found.filter((problem) => problem !== undefined);
}

function portProblem(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => {
      const reason =
        error.code === "EADDRINUSE"
          ? "is in use: stop what listens there, or set PORT to another (0 picks a free one)"
          : `cannot be listened on: ${error.message}`;
      resolve(`PORT: ${port} on ${host} ${reason}`);
    });
    probe.listen(port, host, () => {
      probe.close(() => {
        resolve(undefined);
      });
    });
  });
}

async function databaseProblem(variable: string, url: string | undefined): Promise<string | undefined> {
  if (url === undefined) return undefined;
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  client.on("error", () => undefined);
  try {
    await client.connect();
    return undefined;
  } catch (error) {
    return `${variable}: the database ${placeOf(url)} cannot be reached: ${reasonOf(error)}`;
  } finally {
    await client.end().catch(() => undefined);
  }
}

function redisProblem(url: string | undefined): Promise<string | undefined> {
  if (url === undefined) return Promise.resolve(undefined);
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port || 6379), timeout: CONNECT_TIMEOUT_MS });
    const finish = (reason?: string): void => {
      socket.destroy();
      resolve(reason === undefined ? undefined : `REDIS_URL: Redis at ${placeOf(url)} cannot be reached: ${reason}`);
    };
    socket.once("connect", () => {
      finish();
    });
    socket.once("timeout", () => {
      finish("no answer");
    });
    socket.once("error", (error) => {
      finish(reasonOf(error));
    });
  });
}

/** The URL without its password. */
function placeOf(url: string): string {
  const { hostname, port, pathname } = new URL(url);
  return `${hostname}${port ? `:${port}` : ""}${pathname}`;
}

// A host with several addresses fails with an AggregateError, whose own message is empty.
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(", ");
  return error instanceof Error ? error.message : String(error);
}
