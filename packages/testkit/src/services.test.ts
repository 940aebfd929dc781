import { json, withTenant } from "@sba/platform/db";
import { pubsub } from "@sba/platform/pubsub";
import { reader } from "@sba/platform/reader";
import { Redis } from "ioredis";
import { expect, test } from "vitest";
import { aCaller } from "./fixtures.ts";
import { useDatabase, useRedis } from "./services.ts";
import { countStatements } from "./statements.ts";

const database = useDatabase();
const redis = useRedis();

const writeStream = (tenantId: string, id: string) =>
  withTenant(
    { tenantId },
    (tx) => tx.sql`INSERT INTO platform.stream (id, tenant_id, last_seq) VALUES (${id}, ${tenantId}, 1)`,
  );

test("gives the file a migrated database in which a tenant sees its own rows only", async () => {
  const [one, other] = [aCaller(), aCaller()];
  await writeStream(one.tenantId, "run:1");
  expect(await reader(one).stream.count()).toBe(1);
  expect(await reader(other).stream.count()).toBe(0);
  const { rows } = await database().owner.query("SELECT id FROM platform.stream");
  expect(rows).toEqual([{ id: "run:1" }]);
});

test("counts the statements of transactions and of single reads", async () => {
  const caller = aCaller();
  const { statements } = await countStatements(async () => {
    await withTenant(caller, (tx) => tx.sql`SELECT ${json({})}::jsonb`);
    await reader(caller).event.findMany();
  });
  expect(statements).toHaveLength(2);
});

test("delivers what is published to a listener of the same file", async () => {
  const heard = Promise.withResolvers<string | undefined>();
  const leave = await pubsub().subscribe("topic", heard.resolve);
  pubsub().publish("topic", "payload");
  expect(await heard.promise).toBe("payload");
  await leave();
});

test("gives the file an empty Redis", async () => {
  const client = new Redis(redis().url);
  expect(await client.dbsize()).toBe(0);
  await client.set("key", "value");
  client.disconnect();
  expect(await redis().size()).toBe(1);
});
