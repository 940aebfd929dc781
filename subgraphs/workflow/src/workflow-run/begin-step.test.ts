import { platformErrors } from "@sba/platform/errors";
import { withTenant, type Tx } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { expect, it } from "vitest";
import { errors } from "../errors.ts";
import { beginOrFail } from "./begin-step.ts";

const database = useDatabase();

const caller = aCaller();
const write = (tx: Tx, key: string) =>
  tx.sql`INSERT INTO workflow.workflow (tenant_id, id, key, name, version_number) VALUES (${caller.tenantId}, ${newId()}, ${key}, ${key}, 1)`;
const written = async () =>
  (await database().owner.query("SELECT key FROM workflow.workflow WHERE tenant_id = $1", [caller.tenantId])).rows.map(
    ({ key }: { key: string }) => key,
  );

it("undoes what a kind wrote before it failed, and keeps the rest of the transaction", async () => {
  const state = await withTenant(caller, async (tx) => {
    await write(tx, "before");
    const failed = await beginOrFail(tx, async () => {
      await write(tx, "by-the-kind");
      throw errors.WORKFLOW_STEP_TOOL_UNKNOWN();
    });
    await write(tx, "after");
    return failed;
  });
  expect(state).toMatchObject({ kind: "failed", error: { code: "WORKFLOW_STEP_TOOL_UNKNOWN" } });
  expect(await written()).toEqual(["before", "after"]);
});

it("throws what a repeat may cure, so that nothing is committed", async () => {
  const work = withTenant(caller, async (tx) => {
    await write(tx, "never");
    return beginOrFail(tx, () => Promise.reject(platformErrors.OPERATION_TIMED_OUT()));
  });
  await expect(work).rejects.toMatchObject({ code: "OPERATION_TIMED_OUT" });
  expect(await written()).not.toContain("never");
});
