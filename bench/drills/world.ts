import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createBuiltInAgents } from "@sba/agent/index";
import { createClient, CreateAgentDocument, SignInDocument, type Client } from "@sba/client";
import { givenMember, givenTenant, PASSWORD } from "@sba/identity/testing";
import { createWebhookEndpoint } from "@sba/integrations/index";
import { addDocuments, createCollection, runIngestion } from "@sba/knowledge/index";
import { prepareDatabase } from "@sba/launcher/database";
import { EMBEDDED_SETTINGS, freePort, keepCluster, type Cluster } from "@sba/launcher/postgres";
import { loadConfig } from "@sba/platform/config";
import { closeDatabase, connectDatabase } from "@sba/platform/db";
import { openEgress } from "@sba/platform/egress";
import { openPubSub, usePubSub } from "@sba/platform/pubsub";
import { closeReaders } from "@sba/platform/reader";
import { useSecretKey } from "@sba/platform/secrets";
import { startRedisServer, type RedisServer } from "@sba/testkit/redis-server";
import pg from "pg";
import { closing, inFolder } from "../cleanup.ts";
import { openProxy, type Proxy } from "./proxy.ts";
import { openSink, type Sink } from "./sink.ts";

/** A whole system to be hurt: a server, two workers, Postgres behind a proxy, Redis if asked for, a tenant with people in it. */
export interface World {
  readonly cluster: Cluster;
  /** Between the processes and Postgres. */
  readonly postgres: Proxy;
  readonly redis: RedisWorld | undefined;
  /** Where the webhook "sink" leads. */
  readonly sink: Sink;
  /** Who starts runs, and who decides approvals. */
  readonly operator: Client;
  readonly owner: Client;
  /** The superuser's connection, past every proxy: to look, and to plant faults. */
  look<Row extends object>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  readonly server: Process;
  readonly workers: readonly [Process, Process];
}

interface RedisWorld {
  readonly proxy: Proxy;
  /** Ends the server with what it holds, and starts an empty one at the same address. */
  replace(): Promise<void>;
  /** Writes down what the server holds now. */
  keep(): Promise<void>;
  /** Ends the server, and starts one at the same address with what was written down. */
  rollBack(): Promise<void>;
  readonly url: string;
}

/** A process of ours that is started again whenever it dies. */
interface Process {
  pid(): number;
  /** Resolves when the one that runs is ready. */
  ready(): Promise<void>;
  /** Ends it as `kill -9` does; the next one is on its way when this resolves. */
  kill(): Promise<void>;
}

const ROOT = join(import.meta.dirname, "../..");
const SECRET_KEY = "the-secret-key-of-the-drills-only";
const SINK_HOST = "127.0.0.1";
const MESSENGER = {
  key: "messenger",
  name: "Messenger",
  instructions: "You send what you are told to.",
  tools: ["webhook.send"],
};
const DOCUMENTS = [
  {
    title: "Wings",
    text: "A slender wing at high speed carries its lift near the leading edge. The boundary layer stays laminar.",
  },
  { title: "Heat", text: "Heat reaches a blunt body through the stagnation point. The shock layer is thin." },
];

/** Runs `work` in a world of its own. */
export function inWorld<T>(withRedis: boolean, work: (world: World) => Promise<T>): Promise<T> {
  return inFolder(async (folder) => {
    const cluster = await keepCluster(
      { directory: join(folder, "postgres"), password: "drill", settings: EMBEDDED_SETTINGS, diesWithParent: true },
      { onDied: () => undefined, onBack: () => undefined },
    );
    return closing(
      () => cluster.stop(),
      async () => {
        const postgres = await openProxy(cluster.port);
        return closing(
          () => postgres.close(),
          async () => {
            if (!withRedis) return populate({ cluster, postgres, redis: undefined, folder }, work);
            const redis = await openRedis(folder);
            return closing(redis.close, () => populate({ cluster, postgres, redis, folder }, work));
          },
        );
      },
    );
  });
}

async function openRedis(folder: string): Promise<RedisWorld & { close(): Promise<void> }> {
  let server: RedisServer = await startRedisServer();
  const proxy = await openProxy(server.port);
  const kept = join(folder, "kept.rdb");
  return {
    proxy,
    url: `redis://127.0.0.1:${proxy.port}`,
    replace: async () => {
      await server.kill();
      server = await startRedisServer({ port: server.port });
    },
    keep: () => server.saveTo(kept),
    rollBack: async () => {
      await server.kill();
      server = await startRedisServer({ port: server.port, restoreFrom: kept });
    },
    close: async () => {
      await proxy.close();
      await server.stop();
    },
  };
}

interface Services extends Pick<World, "cluster" | "postgres" | "redis"> {
  readonly folder: string;
}

async function populate<T>(
  { cluster, postgres, redis, folder }: Services,
  work: (world: World) => Promise<T>,
): Promise<T> {
  const config = loadConfig({ DATA_DIR: folder, SECRET_KEY, DATABASE_ADMIN_URL: cluster.url("postgres") });
  const urls = await prepareDatabase(config);
  connectDatabase({ ...urls, poolSize: 4 });
  useSecretKey(SECRET_KEY);
  const pubsub = await openPubSub({ databaseUrl: urls.app });
  usePubSub(pubsub);
  const sink = await openSink();
  const people = await makePeople(sink.url);
  // Not by the socket, which its URL names too.
  const past = (url: string): string => Object.assign(new URL(url), { port: String(postgres.port), search: "" }).href;
  const port = await freePort();
  const env = {
    ...{ NODE_ENV: "development", LOG_LEVEL: "fatal", SECRET_KEY, DATA_DIR: folder, PORT: String(port) },
    ...{ DATABASE_URL: past(urls.app), DATABASE_SYSTEM_URL: past(urls.system), REDIS_URL: redis?.url ?? "" },
    EGRESS_ALLOWED_HOSTS: SINK_HOST,
  };
  const server = keep("packages/launcher/src/server.ts", env);
  const workers = [keep("workers/src/main.ts", env), keep("workers/src/main.ts", env)] as const;
  const look = openEye(cluster.url("postgres"));
  const url = `http://127.0.0.1:${port}/graphql`;
  const clients: Client[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(clients.map((client) => client.close()));
    await Promise.all([server, ...workers].map((each) => each.stop()));
    await sink.close();
    usePubSub(undefined);
    await pubsub.close();
    closeReaders();
    await closeDatabase();
  };
  return closing(close, async () => {
    await Promise.all([server, ...workers].map((each) => each.ready()));
    for (const email of people) clients.push(createClient({ url, token: await signIn(url, email) }));
    const [operator, owner] = clients as [Client, Client];
    await owner.mutate(CreateAgentDocument, { input: MESSENGER });
    return work({ cluster, postgres, redis, sink, operator, owner, look, server, workers });
  });
}

/** Their addresses. */
async function makePeople(sinkUrl: string): Promise<readonly [operator: string, owner: string]> {
  const tenant = await givenTenant({ planKey: "enterprise" });
  const operator = await givenMember("operator", tenant);
  await createBuiltInAgents(tenant.owner);
  const closeEgress = openEgress({ allowedHosts: [SINK_HOST] });
  await createWebhookEndpoint(tenant.owner, { name: "sink", url: sinkUrl, honoursIdempotencyKeys: true });
  await closeEgress();
  const { id: collectionId } = await createCollection(tenant.owner, { name: "Drills" });
  const { id: ingestionId } = await addDocuments(tenant.owner, { collectionId, documents: DOCUMENTS });
  await runIngestion(tenant.owner, { ingestionId }, { signal: new AbortController().signal });
  return [operator.email, tenant.ownerEmail];
}

async function signIn(url: string, email: string): Promise<string> {
  const client = createClient({ url });
  const { signIn: session } = await client.mutate(SignInDocument, { email, password: PASSWORD });
  await client.close();
  return session.accessToken;
}

/** A connection an inquiry: the server it talks to is killed now and then. */
function openEye(url: string): World["look"] {
  return async <Row extends object>(text: string, values: readonly unknown[] = []) => {
    const client = new pg.Client({ connectionString: url });
    client.on("error", () => undefined);
    await client.connect();
    try {
      return (await client.query<Row>(text, [...values])).rows;
    } finally {
      await client.end();
    }
  };
}

function keep(entry: string, env: NodeJS.ProcessEnv): Process & { stop(): Promise<void> } {
  let stopping = false;
  let child: ChildProcess;
  let ended: Promise<unknown>;
  let ready = Promise.withResolvers<void>();
  const start = (): void => {
    child = fork(join(ROOT, entry), { cwd: ROOT, env: { ...process.env, ...env } });
    child.once("message", () => {
      ready.resolve();
    });
    ended = once(child, "exit").then(([code]) => {
      // Killed, whoever waited for this one waits for the next; one that fails by itself would fail again.
      if (code === null || stopping) ready.resolve();
      else ready.reject(new Error(`${entry} ended with ${String(code)}`));
      ready.promise.catch(() => undefined);
      if (stopping || code !== null) return;
      ready = Promise.withResolvers<void>();
      start();
    });
  };
  start();
  return {
    pid: () => child.pid ?? 0,
    ready: async () => {
      for (let seen: unknown; seen !== child; await ready.promise) seen = child;
    },
    kill: async () => {
      child.kill("SIGKILL");
      await ended;
    },
    stop: async () => {
      stopping = true;
      child.kill("SIGCONT");
      child.kill("SIGTERM");
      await ended;
    },
  };
}
