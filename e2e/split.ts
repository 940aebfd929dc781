import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

/** The split deployment: one process a subgraph, a gateway before them, a worker beside them. */

export interface SplitSystem {
  readonly graphqlUrl: string;
  readonly subscriptionsUrl: string;
  /** Of each subgraph, `http://host:port`. */
  readonly subgraphUrls: readonly string[];
  /** Ends a subgraph or the worker as a deployment does, and starts it again where it was. */
  restart(name: Restarted): Promise<void>;
  /** Kills the gateway as `kill -9` does, and starts another where it was. */
  killGateway(): Promise<void>;
  stop(): Promise<void>;
}

type Restarted = (typeof SUBGRAPHS)[number] | "worker";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SUBGRAPHS = ["identity", "billing", "integrations", "knowledge", "agent", "workflow"] as const;

interface ReadyMessage {
  readonly type: "ready";
  readonly url?: string;
  readonly graphqlUrl?: string;
  readonly subscriptionsUrl?: string;
}

interface Running {
  readonly child: ChildProcess;
  readonly ready: ReadyMessage;
}

/** Starts every process on the database (and Redis) that `env` names; each takes a free port, and keeps it when it is restarted. */
export async function startSplit(env: NodeJS.ProcessEnv): Promise<SplitSystem> {
  const running = new Map<string, Running>();
  // Links to artifacts are made by subgraphs, which know the gateway only by its outside address.
  const port = await freePort();
  const start = async (name: string, more: NodeJS.ProcessEnv = {}): Promise<ReadyMessage> => {
    const started = await startOne(entryOf(name), { PUBLIC_URL: `http://127.0.0.1:${port}`, ...env, ...more });
    running.set(name, started);
    return started.ready;
  };
  const startGateway = (): Promise<ReadyMessage> => {
    const urls = SUBGRAPHS.map((name) => `${name}=${running.get(name)?.ready.url ?? ""}`).join(",");
    return start("gateway", { SUBGRAPH_URLS: urls, PORT: String(port) });
  };
  const stop = async (): Promise<void> => {
    await Promise.all([...running.values()].toReversed().map(({ child }) => end(child)));
  };
  try {
    await Promise.all([...SUBGRAPHS, "worker"].map((name) => start(name)));
    const { graphqlUrl = "", subscriptionsUrl = "" } = await startGateway();
    return {
      graphqlUrl,
      subscriptionsUrl,
      subgraphUrls: SUBGRAPHS.map((name) => running.get(name)?.ready.url ?? ""),
      restart: async (name) => {
        const before = running.get(name);
        if (before) await end(before.child);
        const url = before?.ready.url;
        await start(name, url === undefined ? {} : { PORT: new URL(url).port });
      },
      killGateway: async () => {
        const before = running.get("gateway");
        if (before) await end(before.child, "SIGKILL");
        await startGateway();
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function entryOf(name: string): string {
  if (name === "gateway") return "gateway/src/main.ts";
  return name === "worker" ? "workers/src/main.ts" : `subgraphs/${name}/src/server.ts`;
}

async function startOne(entry: string, env: NodeJS.ProcessEnv): Promise<Running> {
  const child = fork(entry, {
    cwd: ROOT,
    env: { ...process.env, NODE_ENV: "development", LOG_LEVEL: "warn", PORT: "0", ...env },
  });
  const [ready] = (await Promise.race([
    once(child, "message"),
    once(child, "exit").then(([code]) => {
      throw new Error(`${entry} ended with ${String(code)}`);
    }),
  ])) as [ReadyMessage];
  return { child, ready };
}

/** A free port below those that the system gives to outgoing connections: one of those could be taken before it is used. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer().listen(port, "127.0.0.1");
    const free = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!free) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}
