import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeDatabase, type TestDatabase } from "@sba/testkit/services";
import { afterEach, beforeEach, expect, test } from "vitest";
import { applyMigrations, MigrationError, requireMigrated } from "./migrations.ts";

let folder: string;
let database: TestDatabase;
let drop: () => Promise<void>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sba-migrations-"));
  ({ database, drop } = await makeDatabase(false));
});

afterEach(async () => {
  await database.owner.end();
  await drop();
  await rm(folder, { recursive: true });
});

async function migration(name: string, sql: string): Promise<void> {
  await mkdir(join(folder, name), { recursive: true });
  await writeFile(join(folder, name, "migration.sql"), sql);
}

const apply = () => applyMigrations(database.urls.admin, folder);

async function history(): Promise<unknown[]> {
  const { rows } = await database.owner.query(
    "SELECT migration_name AS name, finished_at IS NOT NULL AS finished, applied_steps_count AS steps FROM public._prisma_migrations ORDER BY started_at",
  );
  return rows;
}

test("applies what is missing, in the order of the names, once", async () => {
  await migration("002_column", "ALTER TABLE note ADD COLUMN body text");
  await migration("001_table", "CREATE TABLE note (id int); INSERT INTO note VALUES (1);");
  expect(await apply()).toEqual(["001_table", "002_column"]);
  expect(await apply()).toEqual([]);
  await migration("003_more", "INSERT INTO note VALUES (2, 'two')");
  expect(await apply()).toEqual(["003_more"]);
  expect(await history()).toEqual(
    ["001_table", "002_column", "003_more"].map((name) => ({ name, finished: true, steps: 1 })),
  );
});

test("lets two starts at once apply each migration once", async () => {
  await migration("001_slow", "CREATE TABLE note (id int); SELECT pg_sleep(0.2); INSERT INTO note VALUES (1);");
  const applied = await Promise.all([apply(), apply(), apply()]);
  expect(applied.flat()).toEqual(["001_slow"]);
  const { rows } = await database.owner.query("SELECT count(*)::int AS notes FROM note");
  expect(rows).toEqual([{ notes: 1 }]);
});

test("refuses a migration that was changed after it was applied", async () => {
  await migration("001_table", "CREATE TABLE note (id int)");
  await apply();
  await migration("001_table", "CREATE TABLE note (id bigint)");
  await expect(apply()).rejects.toThrow(
    new MigrationError(
      "Migration 001_table was changed after it was applied to this database: undo the change and add a new migration.",
    ),
  );
});

test("refuses a database that a newer version has migrated", async () => {
  await migration("001_table", "CREATE TABLE note (id int)");
  await apply();
  await rm(join(folder, "001_table"), { recursive: true });
  await expect(apply()).rejects.toThrow(/001_table was applied to this database but is not in this version/);
});

test("leaves nothing of a migration that fails, and applies it when it is repaired", async () => {
  await migration("001_table", "CREATE TABLE note (id int)");
  await migration("002_broken", "CREATE TABLE other (id int); SELECT 1/0;");
  await expect(apply()).rejects.toThrow(/002_broken failed and was rolled back: division by zero/);
  expect(await history()).toHaveLength(1);
  await migration("002_broken", "CREATE TABLE other (id int)");
  expect(await apply()).toEqual(["002_broken"]);
});

test("refuses to go on after a migration that the CLI left half done", async () => {
  await migration("001_table", "CREATE TABLE note (id int)");
  await apply();
  await database.owner.query("UPDATE public._prisma_migrations SET finished_at = NULL");
  await expect(apply()).rejects.toThrow(/001_table began and did not finish/);
});

test("refuses to serve from a database without tables", async () => {
  await expect(requireMigrated(database.urls.app)).rejects.toThrow(
    /was not migrated: start once with DATABASE_ADMIN_URL/,
  );
  await applyMigrations(database.urls.admin, join(import.meta.dirname, "../../../prisma/migrations"));
  await expect(requireMigrated(database.urls.app)).resolves.toBeUndefined();
});
