import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { afterEach, expect, test } from "vitest";
import { z } from "zod";
import { deserializeCaller } from "./caller.ts";
import { withTenant } from "./db.ts";
import { defineJob, enqueue, handle, jobEnvelopeSchema, onOutboxCommitted, type OutboxRow } from "./jobs.ts";
import { runInSpan, startTelemetry } from "./telemetry.ts";

const database = useDatabase();
const job = defineJob("test.job", z.object({ at: z.string().transform((text) => text.toUpperCase()) }), {
  queue: "test",
  attempts: 7,
  backoffMs: 250,
});
afterEach(() => {
  onOutboxCommitted(undefined);
});

const outbox = async (tenantId: string) =>
  (await database().owner.query("SELECT * FROM platform.outbox WHERE tenant_id = $1", [tenantId])).rows as Record<
    string,
    unknown
  >[];

test("asks for a job in the transaction, with its policy, its parsed payload and its caller", async () => {
  const caller = aCaller({ permissions: ["run:start", "run:read"], expiresAtMs: 1_900_000_000_000 });
  const before = Date.now();
  await withTenant(caller, (tx) => enqueue(tx, caller, job, { at: "noon" }, { delayMs: 60_000 }));
  const [row] = await outbox(caller.tenantId);
  expect(row).toMatchObject({ queue: "test", name: "test.job", attempts: 7, backoff_ms: 250 });
  expect((row!["run_at"] as Date).getTime()).toBeGreaterThanOrEqual(before + 60_000);
  const envelope = jobEnvelopeSchema.parse(row!["envelope"]);
  expect(deserializeCaller(envelope.caller)).toEqual(caller);
  expect(envelope.payload).toEqual({ at: "NOON" });
});

test("tells the relay after the commit, and never of what was rolled back", async () => {
  const caller = aCaller();
  const told: OutboxRow[] = [];
  onOutboxCommitted((row) => told.push(row));
  await withTenant(caller, async (tx) => {
    await enqueue(tx, caller, job, { at: "a" });
    expect(told).toEqual([]);
  });
  await expect(
    withTenant(caller, async (tx) => {
      await enqueue(tx, caller, job, { at: "b" });
      throw new Error("no");
    }),
  ).rejects.toThrow("no");
  const rows = await outbox(caller.tenantId);
  expect(told.map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
  expect(told[0]?.envelope).toEqual(rows[0]?.["envelope"]);
});

test("refuses a payload that the job does not declare, and rolls back", async () => {
  const caller = aCaller();
  await expect(withTenant(caller, (tx) => enqueue(tx, caller, job, { at: 1 } as never))).rejects.toThrow();
  expect(await outbox(caller.tenantId)).toEqual([]);
});

test("refuses to ask for a job in another tenant's name", async () => {
  const [caller, other] = [aCaller(), aCaller()];
  await expect(withTenant(caller, (tx) => enqueue(tx, other, job, { at: "a" }))).rejects.toThrow(/row-level security/);
});

test("sends the trace of the work that asks along", async () => {
  const stop = startTelemetry({ serviceName: "test" });
  try {
    const caller = aCaller();
    await runInSpan("asking", {}, () => withTenant(caller, (tx) => enqueue(tx, caller, job, { at: "a" })));
    const [row] = await outbox(caller.tenantId);
    expect(jobEnvelopeSchema.parse(row!["envelope"]).traceparent).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);
  } finally {
    await stop();
  }
});

test("declares jobs with defaults, and refuses names of queues that the queue would refuse later", () => {
  expect(defineJob("a.b", z.object({}), { queue: "agent" })).toMatchObject({ attempts: 5, backoffMs: 500 });
  for (const queue of ["", "a:b", "Agent", "1"])
    expect(() => defineJob("a.b", z.object({}), { queue })).toThrow("needs another name");
  expect(handle(job, () => Promise.resolve()).job.name).toBe("test.job");
});
