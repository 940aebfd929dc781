import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { beforeEach, expect, test } from "vitest";
import type { Caller } from "./caller.ts";
import { withTenant } from "./db.ts";
import { canonicalJson, forgetOldKeys, hashInput, once } from "./idempotency.ts";
import { newId } from "./ids.ts";

const database = useDatabase();
let caller: Caller;
let made: string[];
beforeEach(() => {
  caller = aCaller();
  made = [];
});

/** What a mutation does: makes a row under a new id, unless the key says that it was made. */
function startThing(
  key: string | null | undefined,
  input: unknown = { a: 1 },
  by = caller,
  operation = "startThing",
): Promise<string> {
  return withTenant(by, (tx) =>
    once(tx, by, { operation, key, input }, newId(), async (id) => {
      await tx.sql`INSERT INTO platform.stream (id, tenant_id, last_seq) VALUES (${id}, ${by.tenantId}, 1)`;
      made.push(id);
    }),
  );
}

test("runs an operation once for a key and gives a repeat what the first one made", async () => {
  const first = await startThing("k");
  expect(await startThing("k", { a: 1 })).toBe(first);
  expect(made).toEqual([first]);
});

test("refuses a key that comes with another input", async () => {
  await startThing("k", { a: 1 });
  await expect(startThing("k", { a: 2 })).rejects.toMatchObject({ code: "IDEMPOTENCY_KEY_REUSED", kind: "conflict" });
  expect(made).toHaveLength(1);
});

test("takes inputs that differ only in the order of their keys for the same", async () => {
  const first = await startThing("k", { a: 1, b: { c: [1n, { y: 1, x: 2 }] } });
  expect(await startThing("k", { b: { c: [1n, { x: 2, y: 1 }] }, a: 1 })).toBe(first);
});

test("runs every time without a key", async () => {
  expect(new Set([await startThing(undefined), await startThing(null), await startThing(null)]).size).toBe(3);
});

test("keeps the keys of operations, principals and tenants apart", async () => {
  const others = [
    startThing("k", {}, caller, "other"),
    startThing("k", {}, aColleagueOf(caller)),
    startThing("k", {}, aCaller()),
  ];
  expect(new Set([await startThing("k", {}), ...(await Promise.all(others))]).size).toBe(4);
});

test("makes one thing of many requests with one key at once, and gives all of them that one", async () => {
  const ids = await Promise.all(Array.from({ length: 25 }, () => startThing("k")));
  expect(new Set(ids).size).toBe(1);
  expect(made).toEqual([ids[0]]);
});

test("lets a later request run what an earlier one began and rolled back, also when it had to wait for it", async () => {
  const began = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const failing = withTenant(caller, (tx) =>
    once(tx, caller, { operation: "startThing", key: "k", input: { a: 1 } }, newId(), async () => {
      began.resolve();
      await goOn.promise;
      throw new Error("no");
    }),
  );
  await began.promise;
  const waiting = startThing("k");
  goOn.resolve();
  await expect(failing).rejects.toThrow("no");
  expect(made).toEqual([await waiting]);
});

test("forgets keys after a week and not before", async () => {
  const first = await startThing("old");
  await startThing("young");
  await database().owner.query(
    "UPDATE platform.idempotency_key SET created_at = now() - interval '7 days 1 minute' WHERE key = 'old'",
  );
  await database().owner.query(
    "UPDATE platform.idempotency_key SET created_at = now() - interval '6 days 23 hours' WHERE key = 'young'",
  );
  expect(await forgetOldKeys()).toBe(1);
  const { rows } = await database().owner.query("SELECT key FROM platform.idempotency_key WHERE tenant_id = $1", [
    caller.tenantId,
  ]);
  expect(rows).toEqual([{ key: "young" }]);
  expect(await startThing("old")).not.toBe(first);
});

test("hashes what is different differently", () => {
  const inputs = [{}, [], null, "", "1", 1, { a: undefined, b: null }, { a: null }, { a: [1, 2] }, { a: [2, 1] }];
  expect(new Set(inputs.map(hashInput)).size).toBe(inputs.length);
  expect(canonicalJson({ b: 1, a: { d: 1, c: 2 } })).toBe('{"a":{"c":2,"d":1},"b":1}');
});
