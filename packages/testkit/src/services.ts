/**
 * The real services of a test file.
 *
 *     import { useDatabase } from "@sba/testkit/services";
 *     useDatabase();                       // at the top of the file, not inside a test
 *
 * gives the file a freshly migrated database of its own, opened by `connectDatabase` and with Postgres pub/sub set:
 * `withTenant`, `reader`, `systemTx`, `streamEvents` and the functions of every domain just work. What tests leave in it
 * goes with the file; tests of one file keep apart by using a tenant each (`aCaller()` of `@sba/testkit/fixtures`).
 *
 *     const database = useDatabase();      // database().owner.query(...) looks at rows as the tables' owner,
 *                                          // database().urls has the three URLs, for child processes
 *     const database = useDatabase({ pubsub: false });   // a file that opens its own pub/sub
 *     const redis = useRedis();            // redis().url: a logical database of its own, emptied first
 *
 * A file that stops, restarts or cuts off Redis starts its own: `startRedisServer` of `@sba/testkit/redis-server`.
 * One vitest run starts Postgres and Redis once (`global-setup.ts`); `REDIS_URL` uses that server instead.
 */
import { randomUUID } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { useBlobStore } from "@sba/platform/blobs";
import { loadConfig } from "@sba/platform/config";
import { closeDatabase, connectDatabase, type DatabaseUrls } from "@sba/platform/db";
import { setLogLevel } from "@sba/platform/log";
import { usePubSub } from "@sba/platform/pubsub";
import { openPostgresPubSub } from "@sba/platform/pubsub-postgres";
import { closeReaders } from "@sba/platform/reader";
import { roleUrlsOf } from "@sba/platform/roles";
import { Redis } from "ioredis";
import pg from "pg";
import { afterAll, beforeAll, inject } from "vitest";

export interface DatabaseOptions {
  /** False leaves pub/sub to the file. */
  readonly pubsub?: boolean;
  /** False leaves `connectDatabase` (and pub/sub) to the file: it gets an empty or migrated database and its URLs. */
  readonly connect?: boolean;
  /** False gives a database without a single table. */
  readonly migrated?: boolean;
  /** Connections of the application role. */
  readonly poolSize?: number;
}

export interface TestDatabase {
  readonly urls: DatabaseUrls & { readonly admin: string };
  /** The owner's connection: sees every row, for looking and for arranging what no function can. */
  readonly owner: pg.Client;
}

/** Gives this file a folder for blobs. Call it at the top of the file. */
export function useBlobs(): void {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "sba-blobs-"));
    await useBlobStore(loadConfig({ DATA_DIR: folder }));
  });
  afterAll(() => rm(folder, { recursive: true }));
}

/** Gives this file a database. Call it at the top of the file. */
export function useDatabase(options: DatabaseOptions = {}): () => TestDatabase {
  let database: TestDatabase | undefined;
  let drop: (() => Promise<void>) | undefined;
  beforeAll(async () => {
    setLogLevel("silent");
    const made = await makeDatabase(options.migrated ?? true);
    drop = made.drop;
    database = made.database;
    if (options.connect ?? true) await connect(made.database, options);
  });
  afterAll(async () => {
    await disconnect?.();
    disconnect = undefined;
    await database?.owner.end();
    await drop?.();
  });
  return () => {
    if (!database) throw new Error("the database is there once the file's tests run: call this inside a test");
    return database;
  };
}

let disconnect: (() => Promise<void>) | undefined;

async function connect({ urls }: TestDatabase, options: DatabaseOptions): Promise<void> {
  connectDatabase({ app: urls.app, system: urls.system, poolSize: options.poolSize ?? 10 });
  const pubsub = options.pubsub === false ? undefined : await openPostgresPubSub(urls.app);
  if (pubsub) usePubSub(pubsub);
  disconnect = async () => {
    if (pubsub) usePubSub(undefined);
    await pubsub?.close();
    closeReaders();
    await closeDatabase();
  };
}

/** Makes one more database; for tests that need several. */
export async function makeDatabase(migrated = true): Promise<{ database: TestDatabase; drop: () => Promise<void> }> {
  const { adminUrl, template, secretKey } = inject("postgres");
  const name = `test_${randomUUID().replaceAll("-", "")}`;
  // Copied as files, not through the log: a fifth of the time (30 ms instead of 140).
  const copied = migrated ? ` TEMPLATE ${template} STRATEGY FILE_COPY` : "";
  await asAdmin(adminUrl, `CREATE DATABASE ${name}${copied}`);
  const admin = withPath(adminUrl, name);
  const owner = new pg.Client({ connectionString: admin });
  // Dropping the database, or a test that ends every connection, ends this one too.
  owner.on("error", () => undefined);
  await owner.connect();
  const roles = roleUrlsOf(adminUrl, secretKey);
  const urls = { app: withPath(roles.app, name), system: withPath(roles.system, name), admin };
  return { database: { urls, owner }, drop: () => asAdmin(adminUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}

async function asAdmin(adminUrl: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

function withPath(url: string, path: string): string {
  const changed = new URL(url);
  changed.pathname = `/${path}`;
  return changed.href;
}

export interface TestRedis {
  readonly url: string;
  /** How many keys it holds. */
  size(): Promise<number>;
}

const REDIS_DATABASES = 64;

/** Gives this file a logical database of Redis. Call it at the top of the file. */
export function useRedis(): () => TestRedis {
  let redis: TestRedis | undefined;
  beforeAll(async () => {
    const service = inject("redis");
    if (service.url === undefined) throw new Error(service.problem);
    const url = withPath(service.url, String(await freeRedisDatabase(service.url)));
    redis = { url, size: () => withRedis(url, (client) => client.dbsize()) };
  });
  return () => {
    if (!redis) throw new Error("Redis is there once the file's tests run: call this inside a test");
    return redis;
  };
}

/** Files take the numbers in turn; database 0 holds the counter. A server with only the default 16 wraps around sooner. */
function freeRedisDatabase(url: string): Promise<number> {
  return withRedis(url, async (client) => {
    const databases = Number(((await client.config("GET", "databases")) as string[])[1] ?? REDIS_DATABASES);
    const number = 1 + (((await client.incr("sba:test:files")) - 1) % (databases - 1));
    await client.select(number);
    await client.flushdb();
    return number;
  });
}

async function withRedis<T>(url: string, work: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url);
  try {
    return await work(client);
  } finally {
    client.disconnect();
  }
}
