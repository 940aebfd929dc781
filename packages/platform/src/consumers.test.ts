import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { beforeEach, expect, test } from "vitest";
import { z } from "zod";
import type { Caller } from "./caller.ts";
import { acknowledgeEvents, forgetUnusedConsumers, startAfter } from "./consumers.ts";
import { withTenant } from "./db.ts";
import { appendEvents, defineEvent, encodeCursor, streamOf } from "./events.ts";
import { newId } from "./ids.ts";

const database = useDatabase();

const noted = defineEvent({
  type: "platform.testing.noted",
  version: 1,
  description: "Something to acknowledge.",
  payload: z.object({}),
});

let caller: Caller;
let stream: string;
beforeEach(async () => {
  caller = aCaller();
  stream = streamOf("testing", newId());
  await withTenant(caller, (tx) => appendEvents(tx, caller, stream, [noted({}), noted({}), noted({})]));
});

const start = (consumer: string, of: Caller = caller) => startAfter(of, stream, { after: null, consumer });

test("a consumer goes on after what it has acknowledged, and from the beginning before it has", async () => {
  expect(await start("mailer")).toBe(0);
  await acknowledgeEvents(caller, { consumer: "mailer", cursor: encodeCursor(stream, 2) });
  expect([await start("mailer"), await start("another")]).toEqual([2, 0]);
});

test("an acknowledgement that comes late takes nothing back, also when many come at once", async () => {
  const cursors = [1, 3, 2, 1].map((seq) => encodeCursor(stream, seq));
  await Promise.all(cursors.map((cursor) => acknowledgeEvents(caller, { consumer: "mailer", cursor })));
  expect(await acknowledgeEvents(caller, { consumer: "mailer", cursor: encodeCursor(stream, 1) })).toEqual({
    consumer: "mailer",
    cursor: encodeCursor(stream, 3),
  });
  expect(await start("mailer")).toBe(3);
});

test("the cursor that a client gives goes before what its consumer has acknowledged", async () => {
  await acknowledgeEvents(caller, { consumer: "mailer", cursor: encodeCursor(stream, 3) });
  expect(await startAfter(caller, stream, { after: encodeCursor(stream, 1), consumer: "mailer" })).toBe(1);
});

test("another principal's consumer of the same name, and another tenant's, are others", async () => {
  await acknowledgeEvents(caller, { consumer: "mailer", cursor: encodeCursor(stream, 2) });
  const colleague = aCaller({ tenantId: caller.tenantId });
  expect([await start("mailer", colleague), await start("mailer", aCaller())]).toEqual([0, 0]);
});

test.each([
  [
    "of another tenant's stream",
    () => acknowledgeEvents(aCaller(), { consumer: "a", cursor: encodeCursor(stream, 1) }),
  ],
  [
    "of a stream that is not there",
    () => acknowledgeEvents(caller, { consumer: "a", cursor: encodeCursor("run:x", 1) }),
  ],
  [
    "of an event that is still to come",
    () => acknowledgeEvents(caller, { consumer: "a", cursor: encodeCursor(stream, 4) }),
  ],
  [
    "of a stream that no column can hold",
    () => acknowledgeEvents(caller, { consumer: "a", cursor: encodeCursor("x\0", 1) }),
  ],
  ["that is nonsense", () => acknowledgeEvents(caller, { consumer: "a", cursor: "nonsense" })],
])("a cursor %s is refused, and nothing is kept", async (_what, acknowledge) => {
  await expect(acknowledge()).rejects.toMatchObject({ code: "CURSOR_INVALID" });
  expect(await start("a")).toBe(0);
});

test("a principal has 10,000 of them at most, also when many are added at once; those it has go on", async () => {
  await database().owner.query(
    `INSERT INTO platform.event_consumer (tenant_id, principal_id, consumer, stream, seq)
     SELECT $1, $2, 'reader', 'run:' || n, 1 FROM generate_series(1, 9999) AS n`,
    [caller.tenantId, caller.principalId],
  );
  const acknowledge = (consumer: string, of = caller) =>
    acknowledgeEvents(of, { consumer, cursor: encodeCursor(stream, 1) });
  const added = await Promise.allSettled(["a", "b", "c"].map((consumer) => acknowledge(consumer)));
  expect(added.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  await expect(acknowledge("d")).rejects.toMatchObject({
    code: "EVENT_CONSUMERS_TOO_MANY",
    details: { limit: 10_000 },
  });
  const kept = ["a", "b", "c"][added.findIndex(({ status }) => status === "fulfilled")]!;
  await acknowledgeEvents(caller, { consumer: kept, cursor: encodeCursor(stream, 2) });
  expect(await start(kept)).toBe(2);
  await acknowledge("d", aCaller({ tenantId: caller.tenantId }));
});

test("one that nobody has used for 90 days is forgotten, and subscribing is using it", async () => {
  const names = ["unused", "read", "young"];
  for (const consumer of names) await acknowledgeEvents(caller, { consumer, cursor: encodeCursor(stream, 2) });
  const age = (consumer: string, days: number) =>
    database().owner.query(
      `UPDATE platform.event_consumer SET used_at = now() - make_interval(days => $2) WHERE tenant_id = $3 AND consumer = $1`,
      [consumer, days, caller.tenantId],
    );
  for (const [consumer, days] of [
    ["unused", 91],
    ["read", 91],
    ["young", 89],
  ] as const)
    await age(consumer, days);
  expect(await start("read")).toBe(2);
  expect(await forgetUnusedConsumers()).toBe(1);
  expect(await Promise.all(names.map((consumer) => start(consumer)))).toEqual([0, 2, 2]);
});
