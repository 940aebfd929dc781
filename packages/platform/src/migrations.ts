import { createHash, randomUUID } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import pg from "pg";
import { logger } from "./log.ts";

/**
 * Applies `prisma/migrations` at start-up, without Prisma's CLI, and leaves the same rows in `_prisma_migrations`, so
 * that the CLI agrees with what was done.
 */

export interface Migration {
  /** The folder's name: migrations run in the order of their names. */
  readonly name: string;
  readonly sql: string;
  /** As Prisma has it: SHA-256 of the file, in hex. */
  readonly checksum: string;
}

interface AppliedMigration {
  readonly migration_name: string;
  readonly checksum: string;
  readonly finished_at: Date | null;
}

/** What the database holds and what the folder holds do not go together. */
export class MigrationError extends Error {
  override readonly name = "MigrationError";
}

// Prisma's own lock (schema-engine, sql_schema_connector/src/flavour/postgres): the CLI and a start wait for each other.
const PRISMA_LOCK = 72_707_369;
const LOCK_TIMEOUT_MS = 120_000;

// As Prisma makes it: https://github.com/prisma/prisma-engines/blob/main/schema-engine/ARCHITECTURE.md
const CREATE_HISTORY = `
  CREATE TABLE IF NOT EXISTS public._prisma_migrations (
    id                  VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum            VARCHAR(64) NOT NULL,
    finished_at         TIMESTAMPTZ,
    migration_name      VARCHAR(255) NOT NULL,
    logs                TEXT,
    rolled_back_at      TIMESTAMPTZ,
    started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
  )`;

/** Reads the migrations of a folder, in order. */
export async function readMigrations(directory: string): Promise<Migration[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const names = entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
  return Promise.all(
    names.map(async (name) => {
      const sql = await readFile(join(directory, name, "migration.sql"), "utf8");
      return { name, sql, checksum: createHash("sha256").update(sql).digest("hex") };
    }),
  );
}

/**
 * Applies what is missing, each in a transaction of its own, and returns the names. Two at once: the second waits and
 * finds nothing to do. `adminUrl` is of the role that owns the tables.
 * @throws MigrationError when an applied migration was changed, is unknown here, or was left half done.
 */
export async function applyMigrations(adminUrl: string, directory: string): Promise<string[]> {
  const migrations = await readMigrations(directory);
  const client = new pg.Client({
    connectionString: adminUrl,
    application_name: "sba-migrations",
    connectionTimeoutMillis: 10_000,
  });
  // A connection lost in mid-statement rejects that statement; unheard, the event would end the process.
  client.on("error", (error) => {
    logger.debug({ err: error }, "migration connection failed");
  });
  await client.connect();
  try {
    await client.query(`SET lock_timeout = ${LOCK_TIMEOUT_MS}`);
    await client.query("SELECT pg_advisory_lock($1)", [PRISMA_LOCK]);
    await client.query(CREATE_HISTORY);
    const missing = findMissing(migrations, await readHistory(client));
    for (const migration of missing) await applyOne(client, migration);
    return missing.map(({ name }) => name);
  } finally {
    // Ending the session also releases the lock.
    await client.end();
  }
}

async function readHistory(client: pg.Client): Promise<AppliedMigration[]> {
  const { rows } = await client.query<AppliedMigration>(
    "SELECT migration_name, checksum, finished_at FROM public._prisma_migrations WHERE rolled_back_at IS NULL",
  );
  return rows;
}

function findMissing(migrations: readonly Migration[], applied: readonly AppliedMigration[]): Migration[] {
  const known = new Map(migrations.map((migration) => [migration.name, migration]));
  for (const { migration_name: name, checksum, finished_at: finishedAt } of applied) {
    const migration = known.get(name);
    if (finishedAt === null) {
      throw new MigrationError(
        `Migration ${name} began and did not finish: repair it and say so with "prisma migrate resolve".`,
      );
    }
    if (!migration)
      throw new MigrationError(
        `Migration ${name} was applied to this database but is not in this version: start a newer one.`,
      );
    if (migration.checksum !== checksum) {
      throw new MigrationError(
        `Migration ${name} was changed after it was applied to this database: undo the change and add a new migration.`,
      );
    }
  }
  const done = new Set(applied.map(({ migration_name: name }) => name));
  return migrations.filter(({ name }) => !done.has(name));
}

async function applyOne(client: pg.Client, { name, sql, checksum }: Migration): Promise<void> {
  await client.query("BEGIN");
  try {
    await client.query(sql);
    // A migration may have changed the search path or the role for itself.
    await client.query("RESET search_path");
    await client.query(
      `INSERT INTO public._prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count)
       VALUES ($1, $2, $3, now(), clock_timestamp(), 1)`,
      [randomUUID(), checksum, name],
    );
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK").catch(() => undefined);
    const reason = error instanceof Error ? error.message : String(error);
    throw new MigrationError(`Migration ${name} failed and was rolled back: ${reason}`, { cause: error });
  }
}

/** Refuses a database without our tables. @throws MigrationError saying how they are made. */
export async function requireMigrated(appUrl: string): Promise<void> {
  const client = new pg.Client({
    connectionString: appUrl,
    application_name: "sba-start",
    connectionTimeoutMillis: 10_000,
  });
  client.on("error", (error) => {
    logger.debug({ err: error }, "start-up connection failed");
  });
  await client.connect();
  try {
    const { rows } = await client.query<{ found: boolean }>(
      "SELECT to_regclass('platform.stream') IS NOT NULL AS found",
    );
    if (!rows[0]?.found)
      throw new MigrationError(
        "The database was not migrated: start once with DATABASE_ADMIN_URL, the URL of its owner.",
      );
  } finally {
    await client.end();
  }
}
