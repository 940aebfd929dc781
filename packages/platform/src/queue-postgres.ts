import { createPostgresBackend, DEFAULT_SCHEMA, runMigrations } from "bullmq";
import pg from "pg";
import { platformErrors } from "./errors.ts";
import { logger } from "./log.ts";
import { QUEUE_TIMEOUT_MS, type QueueBackend } from "./queue-backend.ts";

/** BullMQ in Postgres: a schema of its own, which BullMQ migrates, and to which the application role has no access. */

const PRODUCER_CONNECTIONS = 4;
/** Beside the one on which each worker listens. */
const CONSUMER_CONNECTIONS = 8;
/** BullMQ makes and drops temporary tables for a bulk: some 13 ms, where a job by itself takes half a millisecond. */
const BULK_FROM = 32;

/**
 * Brings BullMQ's schema up to date and lets the system role work in it. Run by whoever migrates, as the owner; two at
 * once wait for each other, repeating it changes nothing.
 */
export async function migrateQueue(adminUrl: string): Promise<void> {
  const client = new pg.Client({
    connectionString: adminUrl,
    application_name: "sba-migrations",
    connectionTimeoutMillis: QUEUE_TIMEOUT_MS,
  });
  client.on("error", (error) => {
    logger.debug({ err: error }, "migration connection failed");
  });
  await client.connect();
  try {
    // Of this session, which ends below: two that grant the same at once fail with "tuple concurrently updated".
    await client.query("SELECT pg_advisory_lock(hashtext('sba.migrateQueue'))");
    await runMigrations(client, DEFAULT_SCHEMA);
    // CREATE because BullMQ makes one sequence a queue when it meets it; what lies there already stays the owner's.
    await client.query(`
      GRANT USAGE, CREATE ON SCHEMA ${DEFAULT_SCHEMA} TO sba_system;
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${DEFAULT_SCHEMA} TO sba_system;
      GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA ${DEFAULT_SCHEMA} TO sba_system`);
  } finally {
    await client.end();
  }
}

/** @throws DATABASE_UNAVAILABLE when the database cannot be reached or `migrateQueue` was not run. */
export async function openPostgresBackend(systemUrl: string): Promise<QueueBackend> {
  const pools: pg.Pool[] = [];
  const open = (max: number): pg.Pool => {
    const pool = openPool(systemUrl, max);
    pools.push(pool);
    return pool;
  };
  const producer = open(PRODUCER_CONNECTIONS);
  await producer.query("SELECT max(version) FROM migration").catch(async (error: unknown) => {
    await producer.end();
    throw platformErrors.DATABASE_UNAVAILABLE({
      message: "The queue's database does not answer, or is not migrated.",
      cause: error,
    });
  });
  return {
    producer,
    bulkFrom: BULK_FROM,
    openConsumer: (queues) => open(queues + CONSUMER_CONNECTIONS),
    // Typed for BullMQ's classes, whose Redis backend is their default type argument.
    factory: createPostgresBackend as unknown as NonNullable<QueueBackend["factory"]>,
    close: async () => {
      await Promise.all(pools.map((pool) => pool.end()));
    },
  };
}

function openPool(connectionString: string, max: number): pg.Pool {
  const pool = new pg.Pool({
    connectionString,
    max,
    application_name: "sba-queue",
    connectionTimeoutMillis: QUEUE_TIMEOUT_MS,
    keepAlive: true,
    // The write-ahead log is one sequence: a crash of the server that takes back an unflushed hand-over also takes back the
    // later deletion of its outbox row, and one that takes back a completion makes the job run again, which it must bear.
    options: `-c search_path=${DEFAULT_SCHEMA} -c synchronous_commit=off -c client_min_messages=warning -c statement_timeout=30s`,
  });
  // Every queue and worker adds a listener of its own.
  pool.setMaxListeners(0);
  const ignore = (error: Error): void => {
    logger.debug({ err: error }, "queue connection lost");
  };
  // Both when it is idle and when it is in use; unheard, the event would end the process.
  pool.on("error", ignore);
  pool.on("connect", (client) => {
    client.on("error", ignore);
  });
  return pool;
}
