import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { fileURLToPath } from "node:url";

/** The split deployment: one process a subgraph, a gateway before them, a worker beside them. */

export interface SplitSystem {
  readonly graphqlUrl: string;
  readonly subscriptionsUrl: string;
  stop(): Promise<void>;
}

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SUBGRAPHS = ["identity", "billing", "integrations", "knowledge", "agent", "workflow"] as const;

interface ReadyMessage {
  readonly type: "ready";
  readonly url?: string;
  readonly graphqlUrl?: string;
  readonly subscriptionsUrl?: string;
}

/** Starts every process on the database (and Redis) that `env` names; each takes a free port. */
export async function startSplit(env: NodeJS.ProcessEnv): Promise<SplitSystem> {
  const children: ChildProcess[] = [];
  // Links to artifacts are made by subgraphs, which know the gateway only by its outside address.
  const port = await freePort();
  const publicUrl = `http://127.0.0.1:${port}`;
  const start = async (entry: string, more: NodeJS.ProcessEnv = {}): Promise<ReadyMessage> => {
    const child = fork(entry, {
      cwd: ROOT,
      env: {
        ...process.env,
        NODE_ENV: "development",
        LOG_LEVEL: "warn",
        PORT: "0",
        PUBLIC_URL: publicUrl,
        ...env,
        ...more,
      },
    });
    children.push(child);
    const [message] = (await Promise.race([
      once(child, "message"),
      once(child, "exit").then(([code]) => {
        throw new Error(`${entry} ended with ${String(code)}`);
      }),
    ])) as [ReadyMessage];
    return message;
  };
  const stop = async (): Promise<void> => {
    await Promise.all(children.toReversed().map(end));
  };
  try {
    const ready = await Promise.all([
      ...SUBGRAPHS.map((name) => start(`subgraphs/${name}/src/server.ts`)),
      start("workers/src/main.ts"),
    ]);
    const urls = SUBGRAPHS.map((name, index) => `${name}=${ready[index]?.url ?? ""}`).join(",");
    const { graphqlUrl = "", subscriptionsUrl = "" } = await start("gateway/src/main.ts", {
      SUBGRAPH_URLS: urls,
      PORT: String(port),
    });
    return { graphqlUrl, subscriptionsUrl, stop };
  } catch (error) {
    await stop();
    throw error;
  }
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

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}
