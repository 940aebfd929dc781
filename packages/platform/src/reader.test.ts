import { eventually } from "@sba/testkit/eventually";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { beforeAll, expect, test } from "vitest";
import { withTenant } from "./db.ts";
import { newId } from "./ids.ts";
import { reader } from "./reader.ts";

const database = useDatabase({ poolSize: 3 });
const tenants = [aCaller(), aCaller(), aCaller()];
const STREAMS = 20;

beforeAll(async () => {
  for (const { tenantId } of tenants) {
    await withTenant({ tenantId }, async (tx) => {
      for (let index = 0; index < STREAMS; index++)
        await tx.sql`INSERT INTO platform.stream (id, tenant_id, last_seq) VALUES (${`${tenantId}-${index}`}, ${tenantId}, ${index})`;
    });
  }
});

test("never mixes tenants over one pool of three connections, in hundreds of concurrent reads of different kinds", async () => {
  const reads = Array.from({ length: 600 }, async (_, index) => {
    const { tenantId } = tenants[index % tenants.length]!;
    const client = reader({ tenantId });
    if (index % 4 === 0) return expect(await client.stream.count()).toBe(STREAMS);
    if (index % 4 === 1)
      return expect((await client.stream.findMany()).every((row) => row.tenantId === tenantId)).toBe(true);
    if (index % 4 === 2)
      return expect(
        await client.stream.findFirst({ where: { id: `${tenants[(index + 1) % 3]!.tenantId}-1` } }),
      ).toBeNull();
    return expect((await client.stream.aggregate({ _sum: { lastSeq: true } }))._sum.lastSeq).toBe(
      (STREAMS * (STREAMS - 1)) / 2,
    );
  });
  await Promise.all(reads);
});

test("keeps reads and transactions of different tenants apart while they take turns on the same connections", async () => {
  const work = Array.from({ length: 300 }, async (_, index) => {
    const caller = tenants[index % 3]!;
    if (index % 2 === 0) return expect(await reader(caller).stream.count()).toBe(STREAMS);
    const rows = await withTenant(caller, (tx) => tx.sql<{ tenantId: string }>`SELECT tenant_id FROM platform.stream`);
    return expect(new Set(rows.map(({ tenantId }) => tenantId))).toEqual(new Set([caller.tenantId]));
  });
  await Promise.all(work);
});

test("sets no tenant for whoever uses the connection next", async () => {
  await Promise.all(Array.from({ length: 6 }, () => reader(tenants[0]!).stream.count()));
  expect(await reader(aCaller()).stream.count()).toBe(0);
});

test("takes one statement for one read", async () => {
  const { statements } = await countStatements(() =>
    reader(tenants[0]!).stream.findMany({ where: { lastSeq: { gt: 3 } }, take: 2 }),
  );
  expect(statements).toHaveLength(1);
});

test("survives an error of a statement, on the same connections and for every tenant", async () => {
  await Promise.all(
    Array.from({ length: 10 }, () =>
      expect(reader(tenants[0]!).event.findMany({ where: { seq: 2 ** 40 } })).rejects.toThrow(),
    ),
  );
  for (const caller of tenants) expect(await reader(caller).stream.count()).toBe(STREAMS);
});

test("refuses writes for another tenant, and opens no transactions", async () => {
  const foreign = { id: newId(), tenantId: tenants[1]!.tenantId, lastSeq: 1 };
  await expect(reader(tenants[0]!).stream.create({ data: foreign })).rejects.toThrow();
  expect(await reader(tenants[1]!).stream.count()).toBe(STREAMS);
  await expect(
    (reader(tenants[0]!) as unknown as { $transaction(work: () => Promise<void>): Promise<void> }).$transaction(() =>
      Promise.resolve(),
    ),
  ).rejects.toThrow();
});

test("refuses a tenant that is not a UUID", () => {
  expect(() => reader({ tenantId: "x" })).toThrow("UUID");
});

test("reads again after its connections were cut", async () => {
  const cut = () =>
    database().owner.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'sba'",
    );
  const reads = Promise.allSettled(Array.from({ length: 50 }, () => reader(tenants[0]!).stream.count()));
  await cut();
  await reads;
  // A backend ends some time after it is told to, and its client hears of it later still.
  for (const caller of tenants) await eventually(async () => expect(await reader(caller).stream.count()).toBe(STREAMS));
});
