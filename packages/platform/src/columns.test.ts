import { useDatabase } from "@sba/testkit/services";
import { describe, expect, test } from "vitest";
import { bigints, booleans, floats, ints, texts, times, uuids } from "./columns.ts";
import { systemTx, type Tx } from "./db.ts";

useDatabase();

const itself = <Value>(value: Value): Value => value;
const read = async (ask: (tx: Tx) => Promise<{ value: unknown }[]>): Promise<unknown[]> =>
  (await systemTx("columns", ask)).map(({ value }) => value);

describe("a column comes to the server as it is:", () => {
  test("text, of any letters and none", async () => {
    const values = ["", "plain", null, 'quoted "and" {braced}, \\ NULL', "naïve 漢字 🙂", "x".repeat(70_000)];
    expect(await read((tx) => tx.sql`SELECT unnest(${texts(values, itself)}::text[]) AS value`)).toEqual(values);
  });

  test("whole numbers, to their ends", async () => {
    const values = [0, 1, -1, null, 2_147_483_647, -2_147_483_648];
    expect(await read((tx) => tx.sql`SELECT unnest(${ints(values, itself)}::int[]) AS value`)).toEqual(values);
    const big = [0n, -1n, null, 2n ** 63n - 1n, -(2n ** 63n)];
    expect(await read((tx) => tx.sql`SELECT unnest(${bigints(big, itself)}::bigint[]) AS value`)).toEqual(big);
  });

  test("fractions and truths", async () => {
    const values = [0.1, -1e300, null, 5e-324];
    expect(await read((tx) => tx.sql`SELECT unnest(${floats(values, itself)}::float8[]) AS value`)).toEqual(values);
    const truths = [true, null, false];
    expect(await read((tx) => tx.sql`SELECT unnest(${booleans(truths, itself)}::boolean[]) AS value`)).toEqual(truths);
  });

  test("times, before and after the year from which Postgres counts", async () => {
    const values = [new Date(0), null, new Date("1999-12-31T23:59:59.999Z"), new Date("2026-11-29T12:00:00.001Z")];
    expect(await read((tx) => tx.sql`SELECT unnest(${times(values, itself)}::timestamptz[]) AS value`)).toEqual(values);
  });

  test("UUIDs, in either case", async () => {
    const values = ["0197a000-1b2c-7d3e-8f4a-5b6c7d8e9f0a", null, "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"];
    const given = values.map((value) => value?.toLowerCase() ?? null);
    expect(await read((tx) => tx.sql`SELECT unnest(${uuids(values, itself)}::uuid[]) AS value`)).toEqual(given);
  });

  test("no rows at all", async () => {
    expect(await read((tx) => tx.sql`SELECT unnest(${texts([], itself)}::text[]) AS value`)).toEqual([]);
    expect(await read((tx) => tx.sql`SELECT unnest(${uuids([], itself)}::uuid[]) AS value`)).toEqual([]);
  });
});

test("several columns are one table, of what rows have", async () => {
  const rows = [
    { id: 1, name: "one" },
    { id: 2, name: null },
  ];
  const ids = ints(rows, ({ id }) => id);
  const names = texts(rows, ({ name }) => name);
  const found = systemTx(
    "columns",
    (tx) => tx.sql`SELECT * FROM unnest(${ids}::int[], ${names}::text[]) AS made (id, name)`,
  );
  expect(await found).toEqual(rows);
});

test.each(["", "not a UUID", "0197a000-1b2c-7d3e-8f4a-5b6c7d8e9f0g", "0197a000-1b2c-7d3e-8f4a"])(
  "%j is no UUID",
  (value) => {
    expect(() => uuids([value], itself)).toThrow(TypeError);
  },
);

test("numbers that have no room are refused", () => {
  expect(() => ints([2 ** 31], itself)).toThrow(RangeError);
  expect(() => bigints([2n ** 63n], itself)).toThrow(RangeError);
});
