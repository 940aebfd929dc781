import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { describe, expect, test } from "vitest";
import { json, withTenant, type Tx } from "./db.ts";
import { openGroup, openGroupRead } from "./group.ts";
import { newId } from "./ids.ts";

const database = useDatabase({ poolSize: 4 });

interface Item {
  readonly id: string;
  /** It is refused by name unless this is so. */
  readonly holds?: boolean;
  /** Anything but 1 is refused by the column, and nobody says whose it was. */
  readonly seq?: string;
}

const batches: string[][] = [];
const announced: string[] = [];

function requireAll(tx: Tx, items: readonly Item[]): Promise<unknown> {
  const refused = items.filter(({ holds }) => holds === false).map(({ id }) => id);
  return tx.sql`SELECT platform.require_none(${refused}::text[], 'NOT_HELD')`;
}

function insertAll(tx: Tx, items: readonly Item[]): Promise<unknown> {
  batches.push(items.map(({ id }) => id));
  return tx.sql`
    INSERT INTO platform.stream (id, tenant_id, last_seq)
    SELECT id, ${tx.tenantId}, seq::int FROM json_to_recordset(${json(items)}) AS item (id text, seq text)`;
}

/** Answers with the stream's seq. */
const insert = openGroup<Item, number>({
  keyOf: ({ id }) => id,
  work: async (tx, items) => {
    for (const item of items) {
      tx.gather(requireAll, [item]);
      tx.gather(insertAll, [{ seq: "1", ...item }]);
      tx.afterCommit(() => announced.push(item.id));
    }
    const ids = items.map(({ id }) => id);
    const rows = await tx.sql<{ id: string; lastSeq: number }>`
      SELECT id, last_seq FROM platform.stream WHERE id = ANY(${ids}::text[])`;
    return ids.map((id) => rows.find((row) => row.id === id)!.lastSeq);
  },
});

const stored = async (tenantId: string): Promise<string[]> =>
  (await withTenant({ tenantId }, (tx) => tx.sql<{ id: string }>`SELECT id FROM platform.stream ORDER BY id`)).map(
    ({ id }) => id,
  );

const transactionsOf = async (ids: readonly string[]): Promise<number> => {
  const { rows } = await database().owner.query<{ n: number }>(
    "SELECT count(DISTINCT xmin::text)::int AS n FROM platform.stream WHERE id = ANY($1)",
    [ids],
  );
  return rows[0]?.n ?? 0;
};

const some = (count: number): string[] => Array.from({ length: count }, () => newId());

describe("a group of commits", () => {
  test("is one transaction and one statement for all that is asked for at once", async () => {
    const { tenantId } = aCaller();
    const ids = some(10);
    batches.length = 0;
    const answers = await Promise.all(ids.map((id) => insert({ tenantId }, { id })));
    expect(answers).toEqual(ids.map(() => 1));
    expect(batches).toEqual([ids]);
    expect(await transactionsOf(ids)).toBe(1);
    expect(await stored(tenantId)).toEqual(ids);
  });

  test("leaves out who is refused by name, and commits the others", async () => {
    const { tenantId } = aCaller();
    const ids = some(5);
    const outcomes = await Promise.allSettled(
      ids.map((id, index) => insert({ tenantId }, { id, holds: index !== 1 && index !== 3 })),
    );
    expect(outcomes.map(({ status }) => status)).toEqual([
      ...["fulfilled", "rejected", "fulfilled", "rejected", "fulfilled"],
    ]);
    expect(outcomes[1]).toMatchObject({ reason: { message: "NOT_HELD" } });
    expect(await stored(tenantId)).toEqual([ids[0], ids[2], ids[4]]);
    expect(announced.filter((id) => ids.includes(id))).toEqual([ids[0], ids[2], ids[4]]);
  });

  test("finds whose failure it was when the database does not say", async () => {
    const { tenantId } = aCaller();
    const ids = some(4);
    const outcomes = await Promise.allSettled(
      ids.map((id, index) => insert({ tenantId }, { id, seq: index === 2 ? "many" : "1" })),
    );
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled"]);
    expect(await stored(tenantId)).toEqual([ids[0], ids[1], ids[3]]);
  });

  test("writes each tenant's under that tenant", async () => {
    const [one, other] = [aCaller(), aCaller()];
    const [mine = "", theirs = ""] = some(2);
    await Promise.all([insert(one, { id: mine }), insert(other, { id: theirs })]);
    expect([await stored(one.tenantId), await stored(other.tenantId)]).toEqual([[mine], [theirs]]);
  });

  test("keeps what is asked for while one is under way for the next, in order", async () => {
    const { tenantId } = aCaller();
    const [first = "", ...later] = some(20);
    batches.length = 0;
    const writes = [insert({ tenantId }, { id: first })];
    await new Promise((resolve) => setImmediate(resolve));
    for (const id of later) writes.push(insert({ tenantId }, { id }));
    await Promise.all(writes);
    expect(batches.flat()).toEqual([first, ...later]);
    expect(batches.length).toBeLessThan(4);
  });
});

describe("gathered rows", () => {
  test("are written before a statement that follows them, and after one that does not", async () => {
    const caller = aCaller();
    const [one = "", other = "", third = ""] = some(3);
    const seen = await withTenant(caller, (tx) =>
      tx.finish(() => {
        tx.gather(insertAll, [{ id: one, seq: "1" }]);
        tx.gather(insertAll, [{ id: other, seq: "1" }]);
        const before = tx.sql<{ n: number }>`SELECT count(*)::int AS n FROM platform.stream`;
        tx.gather(insertAll, [{ id: third, seq: "1" }]);
        return before;
      }),
    );
    expect(seen).toEqual([{ n: 2 }]);
    expect(await stored(caller.tenantId)).toEqual([one, other, third]);
  });

  test("are answered for together", async () => {
    const caller = aCaller();
    const ids = some(2);
    const namesOf = (tx: Tx, names: readonly string[]) =>
      tx.sql<{ name: string }>`SELECT name FROM unnest(${[...names]}::text[]) AS given (name)`;
    const answers = await withTenant(caller, (tx) =>
      tx.finish(() => Promise.all(ids.map((id) => tx.gatherFor(namesOf, [id])))),
    );
    expect(answers).toEqual(ids.map(() => ids.map((name) => ({ name }))));
  });

  test("fail their transaction", async () => {
    const caller = aCaller();
    const committed = withTenant(caller, (tx) =>
      tx.finish(() => {
        tx.gather(insertAll, [{ id: newId(), seq: "many" }]);
        return Promise.resolve();
      }),
    );
    await expect(committed).rejects.toThrow(/integer/);
    expect(await stored(caller.tenantId)).toEqual([]);
  });

  test("fail it also when they cannot even be issued, and nobody else", async () => {
    const caller = aCaller();
    const refuse = (): never => {
      throw new Error("of another shape");
    };
    const committed = withTenant(caller, (tx) =>
      tx.finish(async () => {
        const inserted = tx.gatherFor(insertAll, [{ id: newId(), seq: "1" }]);
        tx.gather(refuse, [{}]);
        await inserted;
      }),
    );
    // Vitest fails when a rejection is heard by nobody.
    await expect(committed).rejects.toThrow("of another shape");
    expect(await stored(caller.tenantId)).toEqual([]);
  });
});

describe("a group of reads", () => {
  const reads: number[] = [];
  const find = openGroupRead<string, string | undefined>(async (tx, ids) => {
    reads.push(ids.length);
    const rows = await tx.sql<{ id: string }>`
      SELECT id::text FROM (SELECT id::uuid AS id FROM platform.stream) s WHERE id = ANY(${ids}::uuid[])`;
    return ids.map((id) => rows.find((row) => row.id === id)?.id);
  });

  test("answers everybody from one transaction, each only what the tenant has", async () => {
    const [one, other] = [aCaller(), aCaller()];
    const [mine = "", theirs = ""] = some(2);
    await Promise.all([insert(one, { id: mine }), insert(other, { id: theirs })]);
    reads.length = 0;
    expect(await Promise.all([find(one, mine), find(one, theirs), find(one, newId())])).toEqual([
      mine,
      undefined,
      undefined,
    ]);
    expect(reads).toEqual([3]);
  });

  test("leaves nobody without an answer because of a question that has none", async () => {
    const caller = aCaller();
    const [mine = ""] = some(1);
    await insert(caller, { id: mine });
    const [good, bad] = await Promise.allSettled([find(caller, mine), find(caller, "no uuid")]);
    expect(good).toMatchObject({ value: mine });
    expect(bad.status).toBe("rejected");
  });

  const nameOf = openGroupRead<string, string>(async (tx, names) => {
    const rows = await tx.sql<{ name: string }>`SELECT name FROM unnest(${names}::text[]) AS asked (name)`;
    return rows.map(({ name }) => name);
  });

  test("of several kinds is one round trip, and a kind that fails keeps no other", async () => {
    const caller = aCaller();
    const [mine = ""] = some(1);
    await insert(caller, { id: mine });
    const together = () =>
      Promise.all([find(caller, mine), nameOf(caller, "a"), find(caller, mine), nameOf(caller, "b")]);
    const { result, trips } = await countStatements(together);
    expect(result).toEqual([mine, "a", mine, "b"]);
    expect(trips).toBe(1);
    const [failed, ...others] = await Promise.allSettled([
      ...[find(caller, "no uuid"), nameOf(caller, "a"), find(caller, mine)],
    ]);
    expect(failed!.status).toBe("rejected");
    expect(others).toMatchObject([{ value: "a" }, { value: mine }]);
  });

  test("is as new as the moment when it was asked for", async () => {
    const caller = aCaller();
    for (const id of some(5)) {
      await insert(caller, { id });
      expect(await find(caller, id)).toBe(id);
    }
  });
});
