import { rmSync } from "node:fs";
import { join } from "node:path";
import { startCluster } from "@sba/launcher/postgres";
import { applyMigrations } from "@sba/platform/migrations";
import { migrateQueue } from "@sba/platform/queue-postgres";
import { provisionRoles } from "@sba/platform/roles";
import pg from "pg";
import type { TestProject } from "vitest/node";
import { startRedisServer, type RedisServer } from "./redis-server.ts";
import { makeClusterFolder } from "./scratch.ts";

/** Once per vitest run: one Postgres with a migrated template database, one Redis. Test files clone and use them. */

export interface PostgresService {
  /** URL of the superuser to the cluster's own database. */
  readonly adminUrl: string;
  readonly template: string;
  readonly secretKey: string;
}

/** How to reach Redis, or why there is none. */
export type RedisService =
  { readonly url: string; readonly problem?: never } | { readonly url?: never; readonly problem: string };

declare module "vitest" {
  export interface ProvidedContext {
    postgres: PostgresService;
    redis: RedisService;
  }
}

const TEMPLATE = "sba_template";
const SECRET_KEY = "a-secret-key-that-only-tests-know";
const MIGRATIONS = join(import.meta.dirname, "../../../prisma/migrations");
/** Nothing here survives a run, so nothing has to reach the disk. */
const FAST_AND_FORGETFUL = {
  fsync: "off",
  full_page_writes: "off",
  wal_level: "minimal",
  max_wal_senders: "0",
  autovacuum: "off",
  shared_buffers: "64MB",
  max_connections: "200",
  checkpoint_timeout: "1h",
  max_wal_size: "4GB",
  jit: "off",
  // A connection is half as dear when its password is hashed once instead of 4096 times.
  scram_iterations: "1",
};

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = makeClusterFolder();
  const cluster = await startCluster({
    directory,
    password: "postgres",
    settings: FAST_AND_FORGETFUL,
    diesWithParent: true,
  });
  await makeTemplate(cluster.url("postgres"), cluster.url(TEMPLATE));
  const redis = await openRedis();
  project.provide("postgres", { adminUrl: cluster.url("postgres"), template: TEMPLATE, secretKey: SECRET_KEY });
  project.provide("redis", redis.service);
  return async () => {
    await redis.server?.stop();
    await cluster.stop();
    rmSync(directory, { recursive: true, force: true });
  };
}

async function makeTemplate(adminUrl: string, templateUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  await client.query(`CREATE DATABASE ${TEMPLATE}`);
  await applyMigrations(templateUrl, MIGRATIONS);
  await migrateQueue(templateUrl);
  await provisionRoles(adminUrl, SECRET_KEY);
  // A template with a connection to it cannot be cloned.
  await client.query(`ALTER DATABASE ${TEMPLATE} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false`);
  await client.end();
}

async function openRedis(): Promise<{ service: RedisService; server?: RedisServer }> {
  const given = process.env["REDIS_URL"];
  if (given) return { service: { url: given } };
  try {
    const server = await startRedisServer();
    return { service: { url: server.url }, server };
  } catch (error) {
    // Only the files that use Redis fail, with this sentence.
    return { service: { problem: error instanceof Error ? error.message : String(error) } };
  }
}
