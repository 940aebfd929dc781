import { withTenant } from "@sba/platform/db";
import { reader } from "@sba/platform/reader";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { expect, test } from "vitest";
import { countRoundTrips } from "./round-trips.ts";

useDatabase();
const caller = aCaller();

test("counts a wait for each statement that follows an answer", async () => {
  const { roundTrips, statements } = await countRoundTrips(() =>
    withTenant(caller, async (tx) => {
      await tx.sql`SELECT 1 AS one`;
      await tx.sql`SELECT 2 AS two`;
    }),
  );
  // BEGIN and the tenant travel with the first statement; the second and COMMIT each wait.
  expect({ roundTrips, statements }).toEqual({ roundTrips: 3, statements: 5 });
});

test("counts one wait for statements that are sent together", async () => {
  const { roundTrips, statements } = await countRoundTrips(() =>
    withTenant(caller, (tx) => Promise.all([tx.sql`SELECT 1 AS one`, tx.sql`SELECT 2 AS two`])),
  );
  expect({ roundTrips, statements }).toEqual({ roundTrips: 2, statements: 5 });
});

test("counts a read outside a transaction as one wait", async () => {
  await reader(caller).event.count();
  expect(await countRoundTrips(() => reader(caller).event.count())).toMatchObject({ result: 0, roundTrips: 1 });
});
