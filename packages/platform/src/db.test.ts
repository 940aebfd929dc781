import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { afterEach, describe, expect, test } from "vitest";
import {
  applicationPool,
  isUniqueViolation,
  json,
  systemTx,
  withTenant,
  withTenantByKey,
  withTenantOnce,
  type Tx,
} from "./db.ts";
import { platformErrors } from "./errors.ts";
import { newId } from "./ids.ts";

const database = useDatabase({ poolSize: 4 });
const unhandled: unknown[] = [];
process.on("unhandledRejection", (reason) => unhandled.push(reason));

afterEach(async () => {
  // Rejections are reported after the promise jobs of a turn.
  await new Promise((resolve) => setImmediate(resolve));
  expect(unhandled.splice(0)).toEqual([]);
});

const insert = (tx: Tx, id: string, tenantId = tx.tenantId) =>
  tx.sql`INSERT INTO platform.stream (id, tenant_id, last_seq) VALUES (${id}, ${tenantId}, 1)`;
const ids = async (tx: Tx) =>
  (await tx.sql<{ id: string }>`SELECT id FROM platform.stream ORDER BY id`).map(({ id }) => id);

describe("withTenant", () => {
  test("commits what work did and returns what it returns", async () => {
    const caller = aCaller();
    expect(
      await withTenant(caller, async (tx) => {
        await insert(tx, `a-${caller.tenantId}`);
        return 7;
      }),
    ).toBe(7);
    expect(await withTenant(caller, ids)).toEqual([`a-${caller.tenantId}`]);
  });

  test("by key, finds a row of a table of one page by its index, and forgets that with the transaction", async () => {
    const caller = aCaller();
    await withTenant(caller, (tx) => insert(tx, newId()));
    await database().owner.query("ANALYZE platform.stream");
    const planOf = async (tx: Tx) =>
      (await tx.sql<{ "QUERY PLAN": string }>`EXPLAIN SELECT last_seq FROM platform.stream WHERE id = 'some'`)
        .map((row) => row["QUERY PLAN"])
        .join(" ");
    expect(await withTenant(caller, planOf)).toContain("Seq Scan");
    expect(await withTenantByKey(caller, planOf)).toContain("Index Scan");
    const settings = await withTenant(caller, async (tx) => [await planOf(tx), await tx.sql`SHOW plan_cache_mode`]);
    expect(settings).toEqual([expect.stringContaining("Seq Scan"), [{ planCacheMode: "auto" }]]);
  });

  test("rolls back everything when work throws, and throws the same", async () => {
    const caller = aCaller();
    const error = platformErrors.INPUT_INVALID();
    await expect(
      withTenant(caller, async (tx) => {
        await insert(tx, newId());
        throw error;
      }),
    ).rejects.toBe(error);
    expect(await withTenant(caller, ids)).toEqual([]);
  });

  test("shows a tenant neither the rows of another nor lets it write or move them there", async () => {
    const [one, other] = [aCaller(), aCaller()];
    const id = newId();
    await withTenant(one, (tx) => insert(tx, id));
    expect(await withTenant(other, ids)).toEqual([]);
    expect(await withTenant(other, (tx) => tx.sql`UPDATE platform.stream SET last_seq = 9 RETURNING id`)).toEqual([]);
    expect(await withTenant(other, (tx) => tx.sql`DELETE FROM platform.stream RETURNING id`)).toEqual([]);
    await expect(withTenant(other, (tx) => insert(tx, newId(), one.tenantId))).rejects.toThrow(/row-level security/);
    await expect(
      withTenant(one, (tx) => tx.sql`UPDATE platform.stream SET tenant_id = ${other.tenantId}`),
    ).rejects.toThrow(/row-level security/);
    expect(await withTenant(one, ids)).toEqual([id]);
  });

  test("leaves no tenant behind on its connection", async () => {
    const caller = aCaller();
    await Promise.all(Array.from({ length: 8 }, () => withTenant(caller, (tx) => insert(tx, newId()))));
    const seen = await Promise.all(Array.from({ length: 8 }, () => withTenant(aCaller(), ids)));
    expect(seen.flat()).toEqual([]);
  });

  test("refuses a tenant that is not a UUID before it reaches a statement", async () => {
    expect(() => withTenant({ tenantId: "x'; DROP TABLE platform.stream; --" }, ids)).toThrow("UUID");
  });

  test("keeps hundreds of concurrent transactions of two tenants apart on four connections", async () => {
    const callers = [aCaller(), aCaller()];
    await Promise.all(
      Array.from({ length: 400 }, (_, index) =>
        withTenant(callers[index % 2]!, (tx) => insert(tx, `${callers[index % 2]!.tenantId}-${index}`)),
      ),
    );
    for (const caller of callers) {
      const seen = await withTenant(caller, ids);
      expect(seen).toHaveLength(200);
      expect(seen.every((id) => id.startsWith(caller.tenantId))).toBe(true);
    }
  });

  test("gives columns in camelCase, int8 as bigint, times as Date, JSON as objects, and takes arrays", async () => {
    const [row] = await withTenant(
      aCaller(),
      (tx) => tx.sql<Record<string, unknown>>`
      SELECT 9007199254740993::int8 AS big_number, ${new Date(0)}::timestamptz AS created_at, ${json({ a: [1] })}::jsonb AS some_json,
             ${["x", "y"]}::text[] AS names_2, ${null}::text AS nothing, ${12n}::int8 AS given`,
    );
    expect(row).toEqual({
      bigNumber: 9007199254740993n,
      createdAt: new Date(0),
      someJson: { a: [1] },
      names2: ["x", "y"],
      nothing: null,
      given: 12n,
    });
  });
});

describe("statements that are not awaited", () => {
  test("are all part of the transaction, in order", async () => {
    const caller = aCaller();
    await withTenant(caller, (tx) => {
      void insert(tx, `1-${caller.tenantId}`);
      void insert(tx, `2-${caller.tenantId}`);
      return Promise.resolve();
    });
    expect(await withTenant(caller, ids)).toHaveLength(2);
  });

  test("fail the transaction with the first error, not with what follows from it", async () => {
    const caller = aCaller();
    const id = newId();
    const failing = withTenant(caller, async (tx) => {
      void insert(tx, id);
      void insert(tx, id);
      void insert(tx, newId());
      await insert(tx, newId());
    });
    await expect(failing).rejects.toMatchObject({ code: "23505", constraint: "stream_pkey" });
    expect(await withTenant(caller, ids)).toEqual([]);
  });

  test("fail the transaction also when nothing is awaited at all", async () => {
    const caller = aCaller();
    const id = newId();
    const failing = withTenant(caller, (tx) => {
      void insert(tx, id);
      void insert(tx, id);
      void insert(tx, newId());
      return Promise.resolve("done");
    });
    await expect(failing).rejects.toMatchObject({ code: "23505" });
    expect(await withTenant(caller, ids)).toEqual([]);
  });

  test("leave the error of work as it is when work throws one of its own", async () => {
    const id = newId();
    const failing = withTenant(aCaller(), async (tx) => {
      void insert(tx, id);
      try {
        await insert(tx, id);
      } catch (error) {
        if (isUniqueViolation(error, "stream_pkey")) throw platformErrors.IDEMPOTENCY_KEY_REUSED();
      }
    });
    await expect(failing).rejects.toMatchObject({ code: "IDEMPOTENCY_KEY_REUSED" });
  });
});

describe("a failed statement", () => {
  test("is never followed by a success, even when work swallows its error", async () => {
    const caller = aCaller();
    const id = newId();
    const failing = withTenant(caller, async (tx) => {
      await insert(tx, id);
      await insert(tx, id).catch(() => undefined);
      return "done";
    });
    await expect(failing).rejects.toMatchObject({ code: "23505" });
    expect(await withTenant(caller, ids)).toEqual([]);
  });

  test("takes back only the part that it was in", async () => {
    const caller = aCaller();
    const [first, last] = [newId(), newId()];
    await withTenant(caller, async (tx) => {
      await insert(tx, first);
      const part = tx.nested(async () => {
        await insert(tx, newId());
        await insert(tx, first);
      });
      await expect(part).rejects.toMatchObject({ code: "23505" });
      await insert(tx, last);
    });
    expect(await withTenant(caller, ids)).toEqual([first, last]);
  });

  test("takes back a part also when others were issued with it", async () => {
    const caller = aCaller();
    const id = newId();
    await withTenant(caller, async (tx) => {
      await insert(tx, id);
      const part = tx.nested(() => {
        void insert(tx, id);
        void insert(tx, newId());
        return Promise.reject(new Error("not after all"));
      });
      await expect(part).rejects.toThrow("not after all");
    });
    expect(await withTenant(caller, ids)).toEqual([id]);
  });

  test("takes back a part with the parts in it that went well", async () => {
    const caller = aCaller();
    const id = newId();
    await withTenant(caller, async (tx) => {
      await insert(tx, id);
      const part = tx.nested(async () => {
        await insert(tx, newId());
        await tx.nested(() => insert(tx, newId()));
        throw new Error("not after all");
      });
      await expect(part).rejects.toThrow("not after all");
    });
    expect(await withTenant(caller, ids)).toEqual([id]);
  });

  test("takes back a part with the parts in it that were taken back before", async () => {
    const caller = aCaller();
    const id = newId();
    await withTenant(caller, async (tx) => {
      await insert(tx, id);
      const part = tx.nested(async () => {
        await insert(tx, newId());
        await tx.nested(() => insert(tx, id)).catch(() => undefined);
        throw new Error("not after all");
      });
      await expect(part).rejects.toThrow("not after all");
    });
    expect(await withTenant(caller, ids)).toEqual([id]);
  });

  test("that was taken back is not told as the reason of a later one", async () => {
    const caller = aCaller();
    const id = newId();
    const failing = withTenant(caller, async (tx) => {
      await tx.nested(() => tx.sql`SELECT 1 / 0`).catch(() => undefined);
      await insert(tx, id);
      void insert(tx, id);
      return insert(tx, newId());
    });
    await expect(failing).rejects.toMatchObject({ code: "23505" });
  });

  test("does not make those that were skipped fail later on the same connection", async () => {
    const caller = aCaller();
    const id = newId();
    const again = (tx: Tx): Promise<unknown> => tx.sql`SELECT ${id}::text AS skipped_once`;
    for (let connection = 0; connection < 4; connection++)
      await expect(
        withTenantOnce(caller, (tx) => Promise.all([insert(tx, id), insert(tx, id), again(tx)])),
      ).rejects.toMatchObject({ code: "23505" });
    const answers = Array.from({ length: 8 }, () => withTenantOnce(caller, again));
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 8 }, () => [{ skippedOnce: id }]));
  });

  test("takes back no part of a transaction that has ended", async () => {
    const caller = aCaller();
    let late = (): Promise<unknown> => Promise.resolve();
    await withTenantOnce(caller, (tx) => {
      late = () => tx.nested(() => insert(tx, newId()));
      return insert(tx, newId());
    });
    await expect(late()).rejects.toThrow("after the end of its transaction");
    expect(await withTenant(caller, ids)).toHaveLength(1);
  });

  test("of one branch stops the others from using the connection after the end", async () => {
    const caller = aCaller();
    const gate = Promise.withResolvers<void>();
    const late = Promise.withResolvers<unknown>();
    const id = newId();
    await expect(
      withTenant(caller, async (tx) => {
        void gate.promise.then(() => insert(tx, id)).then(late.resolve, late.resolve);
        throw new Error("one branch failed");
      }),
    ).rejects.toThrow("one branch failed");
    gate.resolve();
    expect(await late.promise).toMatchObject({ message: expect.stringContaining("after the end of its transaction") });
    expect((await database().owner.query("SELECT 1 FROM platform.stream WHERE id = $1", [id])).rowCount).toBe(0);
  });
});

describe("the last statements of a transaction, sent together with its commit", () => {
  test("are of their tenant, and leave none behind on their connection", async () => {
    const caller = aCaller();
    const tenant = (tx: Tx) => tx.sql`SELECT current_setting('app.current_tenant') AS tenant`;
    const each = Array.from({ length: 8 }, () => withTenantOnce(caller, tenant));
    expect((await Promise.all(each)).flat()).toEqual(Array.from({ length: 8 }, () => ({ tenant: caller.tenantId })));
    const left = Array.from({ length: 8 }, () =>
      applicationPool().query("SELECT coalesce(current_setting('app.current_tenant', true), '') AS tenant"),
    );
    expect((await Promise.all(left)).flatMap(({ rows }) => rows)).toEqual(
      Array.from({ length: 8 }, () => ({ tenant: "" })),
    );
  });

  test("are committed, and what follows the commit is done", async () => {
    const caller = aCaller();
    const seen: string[] = [];
    const answer = await withTenant(caller, async (tx) => {
      await insert(tx, `a-${caller.tenantId}`);
      tx.afterCommit(() => seen.push("done"));
      return tx.finish(() => Promise.all([insert(tx, `b-${caller.tenantId}`), ids(tx)]));
    });
    expect(answer[1]).toEqual([`a-${caller.tenantId}`, `b-${caller.tenantId}`]);
    expect(await withTenantOnce(caller, ids)).toEqual(answer[1]);
    expect(seen).toEqual(["done"]);
  });

  test("are rolled back with everything before when one of them fails, and its error is thrown", async () => {
    const caller = aCaller();
    const id = newId();
    const writing = withTenant(caller, async (tx) => {
      await insert(tx, newId());
      return tx.finish(() => Promise.all([insert(tx, id), insert(tx, id), insert(tx, newId())]));
    });
    await expect(writing).rejects.toThrow(/duplicate key/);
    expect(await withTenant(caller, ids)).toEqual([]);
  });

  test("are not committed when something fails before it reaches the server", async () => {
    const caller = aCaller();
    const error = platformErrors.INPUT_INVALID();
    const fails = async (): Promise<void> => Promise.reject(error);
    await expect(withTenantOnce(caller, (tx) => Promise.all([insert(tx, newId()), fails()]))).rejects.toBe(error);
    expect(await withTenant(caller, ids)).toEqual([]);
  });

  test("refuse a statement that waited for an answer", async () => {
    const caller = aCaller();
    const chained = withTenantOnce(caller, async (tx) => {
      await insert(tx, newId());
      await insert(tx, newId());
    });
    await expect(chained).rejects.toThrow(/after the end of its transaction/);
  });
});

describe("actions after the commit", () => {
  test("run once it is acknowledged, in order, and not when it is rolled back", async () => {
    const caller = aCaller();
    const seen: string[] = [];
    await withTenant(caller, async (tx) => {
      tx.afterCommit(() => seen.push("first"));
      tx.afterCommit(() => seen.push("second"));
      await insert(tx, newId());
      expect(seen).toEqual([]);
    });
    await expect(
      withTenant(caller, (tx) => {
        tx.afterCommit(() => seen.push("never"));
        throw new Error("no");
      }),
    ).rejects.toThrow("no");
    expect(seen).toEqual(["first", "second"]);
  });

  test("cannot make a committed transaction look like a failed one", async () => {
    const seen: string[] = [];
    const result = await withTenant(aCaller(), async (tx) => {
      tx.afterCommit(() => {
        throw new Error("the bell is broken");
      });
      tx.afterCommit(() => seen.push("the next one"));
      await insert(tx, newId());
      return "committed";
    });
    expect([result, ...seen]).toEqual(["committed", "the next one"]);
  });
});

test("systemTx sees the rows of every tenant", async () => {
  const callers = [aCaller(), aCaller()];
  const mine = callers.map(() => newId());
  for (const [index, caller] of callers.entries()) await withTenant(caller, (tx) => insert(tx, mine[index]!));
  const seen = await systemTx(
    "test",
    (tx) => tx.sql<{ id: string }>`SELECT id FROM platform.stream WHERE id = ANY(${mine}::text[])`,
  );
  expect(seen).toHaveLength(2);
});

test("says that the database is not available when its connections are cut, and works again at once", async () => {
  const caller = aCaller();
  const cutOff = withTenant(caller, (tx) => tx.nested(() => tx.sql`SELECT pg_terminate_backend(pg_backend_pid())`));
  await expect(cutOff).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE" });
  const cut = withTenant(caller, async (tx) => {
    const [{ pid }] = (await tx.sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`) as [{ pid: number }];
    await database().owner.query("SELECT pg_terminate_backend($1)", [pid]);
    await insert(tx, newId());
  });
  await expect(cut).rejects.toMatchObject({ code: "DATABASE_UNAVAILABLE", retryable: true });
  expect(await withTenant(caller, ids)).toEqual([]);
});
