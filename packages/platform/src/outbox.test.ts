import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { eventually } from "@sba/testkit/eventually";
import { aCaller } from "@sba/testkit/fixtures";
import { startRedisServer } from "@sba/testkit/redis-server";
import { useDatabase, useRedis } from "@sba/testkit/services";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { withTenant } from "./db.ts";
import { newId } from "./ids.ts";
import { defineJob, enqueue, handle, type Job, type OutboxRow } from "./jobs.ts";
import { startRelay, type Relay } from "./outbox.ts";
import { openQueue, type Queue } from "./queue.ts";

const database = useDatabase();
const redis = useRedis();
const caller = aCaller();
const payloadSchema = z.object({ label: z.string() });

const open: (() => Promise<void>)[] = [];
let job: Job<z.infer<typeof payloadSchema>>;
let ran: string[];

beforeEach(() => {
  job = defineJob("test.job", payloadSchema, { queue: `test-${newId()}` });
  ran = [];
});
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
  await database().owner.query("TRUNCATE platform.outbox");
});

async function aQueue(redisUrl?: string): Promise<Queue> {
  const queue = await openQueue({ systemUrl: database().urls.system, redisUrl });
  open.push(() => queue.close({ graceMs: 0, deadlineMs: 2_000 }));
  return queue;
}

async function work(queue: Queue): Promise<Queue> {
  await queue.startWorkers(
    [
      handle(job, (_caller, { label }) => {
        ran.push(label);
        return Promise.resolve();
      }),
    ],
    { concurrency: 8 },
  );
  return queue;
}

function aRelay(queue: Queue): Relay {
  const relay = startRelay(queue);
  open.push(() => relay.close());
  return relay;
}

const ask = (label: string, delayMs?: number) =>
  withTenant(caller, (tx) => enqueue(tx, caller, job, { label }, delayMs === undefined ? {} : { delayMs }));

async function outbox(): Promise<readonly { id: string }[]> {
  return (await database().owner.query<{ id: string }>("SELECT id FROM platform.outbox")).rows;
}

/** As if the rows had waited for their first relay. */
const age = () => database().owner.query("UPDATE platform.outbox SET created_at = created_at - interval '1 minute'");

describe.each([
  { name: "Postgres", url: () => undefined },
  { name: "Redis", url: () => redis().url },
])("with the queue on $name", ({ url }) => {
  test("hands a job over as soon as its transaction is committed, and deletes its row", async () => {
    aRelay(await work(await aQueue(url())));
    await ask("one");
    await eventually(() => ran.length === 1, { timeoutMs: 1_000 });
    await eventually(async () => (await outbox()).length === 0, { timeoutMs: 1_000 });
  });

  test("hands over what many transactions commit at once, each once", async () => {
    aRelay(await work(await aQueue(url())));
    const labels = Array.from({ length: 200 }, (_, index) => String(index));
    await Promise.all(labels.map((label) => ask(label)));
    await eventually(() => ran.length === labels.length);
    expect(new Set(ran)).toEqual(new Set(labels));
    await eventually(async () => (await outbox()).length === 0);
  });

  test("hands over nothing of a transaction that is rolled back", async () => {
    aRelay(await work(await aQueue(url())));
    await expect(
      withTenant(caller, async (tx) => {
        await enqueue(tx, caller, job, { label: "never" });
        throw new Error("rolled back");
      }),
    ).rejects.toThrow("rolled back");
    await ask("after");
    await eventually(() => ran.length > 0);
    expect(ran).toEqual(["after"]);
  });

  test("finds rows that no relay saw being committed, and two relays at once run each job once", async () => {
    const labels = Array.from({ length: 700 }, (_, index) => String(index));
    await withTenant(caller, async (tx) => {
      for (const label of labels) await enqueue(tx, caller, job, { label });
    });
    await age();
    const queue = await work(await aQueue(url()));
    aRelay(queue);
    aRelay(await aQueue(url()));
    await eventually(() => ran.length === labels.length);
    await eventually(async () => (await outbox()).length === 0);
    expect(new Set(ran).size).toBe(labels.length);
  });

  test("does no harm when the process died between handing over and deleting", async () => {
    await ask("twice");
    const { rows } = await database().owner.query<OutboxRow>(
      `SELECT id, queue, name, envelope, attempts, backoff_ms AS "backoffMs", run_at AS "runAt" FROM platform.outbox`,
    );
    const queue = await work(await aQueue(url()));
    await queue.add(rows);
    await eventually(() => ran.length === 1);
    await age();
    aRelay(queue);
    await eventually(async () => (await outbox()).length === 0);
    await ask("after");
    await eventually(() => ran.includes("after"));
    expect(ran).toEqual(["twice", "after"]);
  });

  test("keeps a delay that began with the transaction", async () => {
    const queue = await work(await aQueue(url()));
    aRelay(queue);
    const asked = Date.now();
    await ask("later", 500);
    await eventually(() => ran.length === 1);
    expect(Date.now() - asked).toBeGreaterThanOrEqual(499);
  });

  test("hands over at its close what was just committed", async () => {
    const queue = await aQueue(url());
    const relay = startRelay(queue);
    await ask("last");
    await relay.close();
    expect(await queue.counts(job.queue)).toMatchObject({ waiting: 1 });
    expect(await outbox()).toEqual([]);
  });
});

test("loses nothing when the process is killed between the commit and the hand-over", async () => {
  const { app, system } = database().urls;
  const child = fork(join(import.meta.dirname, "outbox.test.child.ts"), [app, system, job.queue]);
  await once(child, "exit");
  expect(child.signalCode).toBe("SIGKILL");
  expect(await outbox()).toHaveLength(1);
  aRelay(await work(await aQueue()));
  await eventually(() => ran.length === 1);
  expect(ran).toEqual(["orphan"]);
});

test("keeps the rows while Redis is down, and hands them over when it is back", { timeout: 20_000 }, async () => {
  let server = await startRedisServer();
  open.push(() => server.stop());
  const queue = await work(await aQueue(server.url));
  aRelay(queue);
  await ask("before");
  await eventually(() => ran.length === 1);
  await server.kill();
  await Promise.all([ask("during"), ask("meanwhile")]);
  expect(await outbox()).toHaveLength(2);
  server = await startRedisServer({ port: server.port });
  await eventually(() => ran.length === 3, { timeoutMs: 10_000 });
  expect(ran.toSorted()).toEqual(["before", "during", "meanwhile"]);
  await eventually(async () => (await outbox()).length === 0);
});

test("keeps the rows of a queue that was closed", async () => {
  const queue = await openQueue({ systemUrl: database().urls.system });
  const relay = aRelay(queue);
  await queue.close();
  await ask("kept");
  await relay.close();
  expect(await outbox()).toHaveLength(1);
});
