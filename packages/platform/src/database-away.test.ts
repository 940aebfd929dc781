import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { aCaller } from "@sba/testkit/fixtures";
import { afterEach, describe, expect, test } from "vitest";
import { closeDatabase, connectDatabase, withTenant } from "./db.ts";
import { ensureAppError } from "./errors.ts";
import { closeReaders, reader } from "./reader.ts";

/** What the two doors say while no server is there. */

afterEach(async () => {
  closeReaders();
  await closeDatabase();
});

const connectTo = (url: string): void => {
  connectDatabase({ app: url, system: url });
};

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function expectAway(): Promise<void> {
  const away = { code: "DATABASE_UNAVAILABLE", retryable: true };
  const caller = aCaller();
  await expect(withTenant(caller, (tx) => tx.sql`SELECT 1`)).rejects.toMatchObject(away);
  const read = reader(caller).stream.count().catch(ensureAppError);
  expect(await read).toMatchObject(away);
}

describe("a database that cannot be reached", () => {
  test("at its port", async () => {
    connectTo(`postgres://app:secret@127.0.0.1:${await freePort()}/postgres`);
    await expectAway();
  });

  test("at its socket, which is not there", async () => {
    const folder = await mkdtemp(join(tmpdir(), "sba-away-"));
    connectTo(`postgres://app:secret@127.0.0.1:5432/postgres?host=${encodeURIComponent(folder)}`);
    await expectAway();
    await rm(folder, { recursive: true });
  });
});
