import { cp, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyMigrations } from "@sba/platform/migrations";
import { makeDatabase, useDatabase } from "@sba/testkit/services";
import { expect, test } from "vitest";
import { runPrisma } from "./prisma-cli.ts";

const MIGRATIONS = join(import.meta.dirname, "../prisma/migrations");
const database = useDatabase({ connect: false });
const CLI_TIMEOUT_MS = 60_000;

test(
  "the official CLI finds what start-up applied up to date",
  async () => {
    const { exitCode, output } = await runPrisma(["migrate", "status"], database().urls.admin);
    expect(output).toContain("Database schema is up to date!");
    expect(exitCode).toBe(0);
  },
  CLI_TIMEOUT_MS,
);

test(
  "start-up finds what the official CLI deployed up to date",
  async () => {
    const { database: empty, drop } = await makeDatabase(false);
    const { exitCode, output } = await runPrisma(["migrate", "deploy"], empty.urls.admin);
    expect(output).toContain("All migrations have been successfully applied.");
    expect(exitCode).toBe(0);
    expect(await applyMigrations(empty.urls.admin, MIGRATIONS)).toEqual([]);
    await empty.owner.end();
    await drop();
  },
  CLI_TIMEOUT_MS,
);

test(
  "the migrations make what the schema says",
  async () => {
    const { exitCode, output } = await runPrisma(driftOf("prisma/migrations"), database().urls.admin);
    expect({ exitCode, output }).toMatchObject({ exitCode: 0 });
  },
  CLI_TIMEOUT_MS,
);

test(
  "the drift check sees a column that only the migrations have",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "sba-drift-"));
    await cp(MIGRATIONS, folder, { recursive: true });
    const first = (await readdir(folder)).find((name) => name.endsWith("_platform"))!;
    await writeFile(
      join(folder, first, "migration.sql"),
      'ALTER TABLE "platform"."stream" ADD COLUMN "forgotten" TEXT;',
      { flag: "a" },
    );
    const { exitCode, output } = await runPrisma(driftOf(folder), database().urls.admin);
    expect(exitCode).toBe(2);
    expect(output).toContain("forgotten");
    await rm(folder, { recursive: true });
  },
  CLI_TIMEOUT_MS,
);

function driftOf(migrations: string): string[] {
  return ["migrate", "diff", "--from-migrations", migrations, "--to-schema", "prisma/schema", "--exit-code"];
}
