import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { deleteSuspension, insertSuspension } from "@sba/platform/suspension";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { expect, it } from "vitest";
import { driveWorkflowRun, givenWorkflow, withBuiltIns } from "../testing.ts";
import { reconcileWorkflowRuns } from "./reconcile.ts";
import { startWorkflowRun } from "./workflow-run.ts";

const database = useDatabase();

const STEPS = [{ key: "search", kind: "tool-call", tool: "knowledge.search", params: { query: "annual leave" } }];

const suspend = (caller: Caller) =>
  withTenant(caller, (tx) => insertSuspension(tx, caller, { by: "OWNER", reason: "An incident" }));
const resume = (caller: Caller) => withTenant(caller, (tx) => deleteSuspension(tx, caller, "OWNER"));

/** The jobs that were asked for. */
async function jobsOf({ tenantId }: Caller): Promise<number> {
  const { rows } = await database().owner.query(
    "SELECT id FROM platform.outbox WHERE tenant_id = $1 AND name = 'workflow.run.advance'",
    [tenantId],
  );
  return rows.length;
}

it("workflow runs of a suspended tenant rest where they are, are not started, and are found when it is resumed", async () => {
  const caller = await withBuiltIns(aCaller());
  const workflowKey = await givenWorkflow(caller, STEPS);
  const id = await startWorkflowRun(caller, { workflowKey, input: {} });
  await suspend(caller);
  expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "CREATED", leaseExpiresAt: null });
  await expect(startWorkflowRun(caller, { workflowKey, input: {} })).rejects.toMatchObject({
    code: "TENANT_SUSPENDED",
    kind: "permission_denied",
  });
  await database().owner.query(
    "UPDATE workflow.workflow_run SET due_at = now() - interval '3 seconds', woken_at = NULL WHERE id = $1",
    [id],
  );
  const before = await jobsOf(caller);
  await reconcileWorkflowRuns();
  expect(await jobsOf(caller)).toBe(before);
  await resume(caller);
  await reconcileWorkflowRuns();
  expect(await jobsOf(caller)).toBe(before + 1);
  expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "COMPLETED" });
});
