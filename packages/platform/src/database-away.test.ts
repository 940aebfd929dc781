import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import { closeDatabase, connectDatabase, isDatabaseReady, withTenant } from "./db.ts";
import { ensureAppError } from "./errors.ts";
import { closeReaders, reader } from "./reader.ts";

/** What the two doors say while no server is there. */

const database = useDatabase({ connect: false });

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

describe("a database that falls silent, as behind a network that drops what is sent and tells nobody", () => {
  /** A way to the database; `silence` is of the connections that are open: new ones get through. */
  async function aWay() {
    const url = new URL(database().urls.app);
    const { hostname, port } = url;
    const folder = url.searchParams.get("host");
    const there = folder === null ? { host: hostname, port: Number(port) } : { path: `${folder}/.s.PGSQL.${port}` };
    const open = new Set<Socket>();
    const server = createServer((near) => {
      const far = connect(there);
      near.pipe(far).pipe(near);
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        open.add(one);
        one.on("error", () => undefined);
        one.once("close", () => {
          open.delete(one);
          other.destroy();
        });
      }
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    onTestFinished(() => {
      for (const socket of open) socket.destroy();
      server.close();
    });
    url.search = "";
    url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const silence = (): void => {
      for (const socket of open) socket.unpipe().pause();
    };
    return { url: url.href, silence };
  }

  test("keeps nobody waiting for longer than it may be silent, and not a connection of the pool", async () => {
    const { url, silence } = await aWay();
    connectDatabase({ app: url, system: url, poolSize: 2, silenceMs: 500 });
    const caller = aCaller();
    const write = () => withTenant(caller, (tx) => tx.sql`SELECT 1`);
    const read = () => reader(caller).stream.count();
    await Promise.all([write(), read()]);
    silence();
    const away = { status: "rejected", reason: { code: "DATABASE_UNAVAILABLE" } };
    expect(
      await Promise.allSettled([write(), read().catch((error: unknown) => Promise.reject(ensureAppError(error)))]),
    ).toMatchObject([away, away]);
    await write();
    expect(await read()).toBe(0);
  });

  test("is not ready, which is known soon", async () => {
    const { url, silence } = await aWay();
    connectDatabase({ app: url, system: url, poolSize: 1 });
    expect(await isDatabaseReady()).toBe(true);
    silence();
    expect(await isDatabaseReady()).toBe(false);
    expect(await isDatabaseReady()).toBe(true);
  });
});
