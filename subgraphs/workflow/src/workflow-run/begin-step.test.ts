import { platformErrors } from "@sba/platform/errors";
import { withTenant, type Tx } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { aCaller } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it, vi } from "vitest";
import { errors } from "../errors.ts";
import { findKind } from "../step-kind/kinds/index.ts";
import { givenWorkflow, givenWorkflowRun, workflowJournalOf } from "../testing.ts";
import { beginOrFail } from "./begin-step.ts";
import { findStepsOfRuns } from "./step.ts";
import { getWorkflowRun } from "./workflow-run.ts";

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

describe("a step that cannot be prepared", () => {
  const calling = (params: Record<string, string>) => [
    { key: "call", kind: "tool-call", tool: "knowledge.search", params },
    { key: "never", kind: "tool-call", tool: "knowledge.search", params: {} },
  ];
  const expectFailed = async (id: string, errorCode: string) => {
    expect(await getWorkflowRun(caller, id)).toMatchObject({ status: "FAILED", errorCode, dueAt: null });
    expect(await findStepsOfRuns(caller, [id])).toMatchObject([
      { key: "call", status: "FAILED", errorCode, params: null },
    ]);
    expect((await workflowJournalOf(caller, id)).at(-1)).toMatchObject({ type: "workflow.run.failed" });
  };

  it.each([
    // 390 MB each, of which a worker can hold none.
    ["large texts", Object.fromEntries(Array.from({ length: 15 }, (_, i) => [`p${i}`, "{{input.x}}".repeat(1_500)]))],
    ["a text that no engine can make", { query: "{{input.x}}".repeat(10_000) }],
  ])("fails, and its run with it, when its references would make %s", async (_what, params) => {
    const key = await givenWorkflow(caller, calling(params));
    const id = await givenWorkflowRun(caller, key, { x: "x".repeat(260_000) });
    await expectFailed(id, "WORKFLOW_STEP_PARAMS_INVALID");
  });

  it("fails, and its run with it, when it throws: it would throw again", async () => {
    const key = await givenWorkflow(caller, calling({}));
    const parse = vi.spyOn(findKind("tool-call")!.config, "safeParse").mockImplementation(() => {
      throw new RangeError("Invalid string length");
    });
    const id = await givenWorkflowRun(caller, key).finally(() => {
      parse.mockRestore();
    });
    await expectFailed(id, "INTERNAL");
  });
});
