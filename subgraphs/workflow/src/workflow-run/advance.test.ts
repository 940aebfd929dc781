import { driveRun } from "@sba/agent/testing";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { encodeCursor } from "@sba/platform/events";
import { logger } from "@sba/platform/log";
import { aCaller, eventually } from "@sba/testkit/fixtures";
import { useBlobs, useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { describe, expect, it } from "vitest";
import { driveWorkflowRun, givenWorkflowRun, withBuiltIns, workflowJournalOf } from "../testing.ts";
import { advanceWorkflowRun } from "./advance.ts";
import { endLease, lockLeased, takeLease } from "./lease.ts";
import { reconcileWorkflowRuns } from "./reconcile.ts";
import { findStepsOfRuns } from "./step.ts";
import { streamWorkflowRunEvents } from "./workflow-run-events.ts";
import { cancelWorkflowRun, getWorkflowRun, resumeAfterRun, startWorkflowRun } from "./workflow-run.ts";

const database = useDatabase();
useBlobs();

const context = { signal: new AbortController().signal, attempt: 1, log: logger };
const QUESTION = { prompt: "How many days of annual leave do employees receive?" };
const DOCUMENT = { title: "Report", markdown: "# All is well", format: "markdown" };

/** Rows that a worker would have to wait for: as if this much time had gone by. */
async function letTimePass(workflowRunId: string, seconds: number) {
  await database().owner.query(
    `UPDATE workflow.workflow_run SET due_at = due_at - $2 * interval '1 second', lease_expires_at = lease_expires_at - $2 * interval '1 second',
            woken_at = woken_at - $2 * interval '1 second' WHERE id = $1`,
    [workflowRunId, seconds],
  );
}

const wakeUpsOf = async (id: string) =>
  (
    await database().owner.query(
      "SELECT 1 FROM platform.outbox WHERE name = 'workflow.run.advance' AND envelope->'payload'->>'workflowRunId' = $1",
      [id],
    )
  ).rowCount ?? 0;

describe("workers", () => {
  it("let one of several have the run, and write every step once", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await startWorkflowRun(caller, { workflowKey: "render", input: DOCUMENT });
    await Promise.all([1, 2, 3, 4].map(() => advanceWorkflowRun(caller, { workflowRunId: id }, context)));
    expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "COMPLETED" });
    expect(
      (await workflowJournalOf(caller, id)).filter(({ type }) => type === "workflow.run.stepFinished"),
    ).toHaveLength(1);
  });

  it("leave a run alone that another holds, and take it over when its lease is over", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await startWorkflowRun(caller, { workflowKey: "render", input: DOCUMENT });
    await withTenant(caller, (tx) => takeLease(tx, id));
    await advanceWorkflowRun(caller, { workflowRunId: id }, context);
    expect(await getWorkflowRun(caller, id)).toMatchObject({ status: "CREATED" });
    await letTimePass(id, 5);
    expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "COMPLETED" });
  });

  it("leave what is due to another when they drain", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await startWorkflowRun(caller, { workflowKey: "render", input: DOCUMENT });
    const before = await wakeUpsOf(id);
    await advanceWorkflowRun(caller, { workflowRunId: id }, { ...context, signal: AbortSignal.abort() });
    expect(await getWorkflowRun(caller, id)).toMatchObject({ status: "CREATED", leaseExpiresAt: null });
    expect(await wakeUpsOf(id)).toBe(before + 1);
  });

  it("commit nothing after another took the run over", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await startWorkflowRun(caller, { workflowKey: "render", input: DOCUMENT });
    const stale = await withTenant(caller, (tx) => takeLease(tx, id));
    await letTimePass(id, 5);
    await withTenant(caller, (tx) => takeLease(tx, id));
    await expect(withTenant(caller, (tx) => lockLeased(tx, stale!))).rejects.toMatchObject({
      code: "WORKFLOW_RUN_LEASE_LOST",
    });
  });

  it("can do nothing more with a lease that they gave back", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await startWorkflowRun(caller, { workflowKey: "render", input: DOCUMENT });
    const held = await withTenant(caller, (tx) => takeLease(tx, id));
    await withTenant(caller, (tx) => endLease(tx, held!, 0));
    await expect(withTenant(caller, (tx) => lockLeased(tx, held!))).rejects.toMatchObject({
      code: "WORKFLOW_RUN_LEASE_LOST",
    });
  });

  it("are asked again by the reconciler when a wake-up was lost, once in ten seconds", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await startWorkflowRun(caller, { workflowKey: "render", input: DOCUMENT });
    await database().owner.query("DELETE FROM platform.outbox WHERE tenant_id = $1", [caller.tenantId]);
    await reconcileWorkflowRuns();
    expect(await wakeUpsOf(id)).toBe(0);
    await letTimePass(id, 3);
    await reconcileWorkflowRuns();
    await reconcileWorkflowRuns();
    expect(await wakeUpsOf(id)).toBe(1);
  });

  it("look by themselves when the reaction to a run's end was lost", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, "agentic", QUESTION);
    const [step] = await findStepsOfRuns(caller, [id]);
    await driveRun(caller, step!.runId!);
    expect((await driveWorkflowRun(caller, id)).status).toBe("WAITING");
    await letTimePass(id, 13);
    const before = await wakeUpsOf(id);
    await reconcileWorkflowRuns();
    expect(await wakeUpsOf(id)).toBe(before + 1);
    expect((await driveWorkflowRun(caller, id)).status).toBe("COMPLETED");
  });

  it("do not lose a wake-up that comes while they look", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, "agentic", QUESTION);
    await letTimePass(id, 11);
    const held = await withTenant(caller, (tx) => takeLease(tx, id));
    const [step] = await findStepsOfRuns(caller, [id]);
    await resumeAfterRun(caller, step!.runId!);
    expect(await withTenant(caller, (tx) => endLease(tx, held!, 10_000))).toBe(true);
  });

  it("read the steps of many workflow runs in one statement", async () => {
    const caller = await withBuiltIns(aCaller());
    const ids = [
      await givenWorkflowRun(caller, "render", DOCUMENT),
      await givenWorkflowRun(caller, "render", DOCUMENT),
    ];
    const { statements, result } = await countStatements(() => findStepsOfRuns(caller, ids));
    expect([result.length, statements.length]).toEqual([2, 1]);
  });
});

/** A worker in the middle of a tool: the tool waits for a table that somebody holds. `release` lets it go on. */
async function inTheMiddleOfATool(caller: Caller) {
  const id = await startWorkflowRun(caller, { workflowKey: "render", input: DOCUMENT });
  const holder = database().owner;
  await holder.query("BEGIN");
  await holder.query("LOCK TABLE agent.artifact IN ACCESS EXCLUSIVE MODE");
  const drain = new AbortController();
  const worker = advanceWorkflowRun(caller, { workflowRunId: id }, { ...context, signal: drain.signal });
  await eventually(async () => (await getWorkflowRun(caller, id)).status === "RUNNING");
  return { id, drain, worker, release: () => holder.query("ROLLBACK") };
}

describe("a worker in the middle of a tool", () => {
  it("leaves the step to another when it drains, which repeats it under the same call", async () => {
    const caller = await withBuiltIns(aCaller());
    const { id, drain, worker, release } = await inTheMiddleOfATool(caller);
    drain.abort();
    await worker;
    expect(await getWorkflowRun(caller, id)).toMatchObject({ status: "RUNNING", leaseExpiresAt: null });
    await release();
    expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "COMPLETED" });
    expect(await findStepsOfRuns(caller, [id])).toMatchObject([{ attempt: 2 }]);
    const { rows } = await database().owner.query("SELECT status FROM integrations.tool_call WHERE tenant_id = $1", [
      caller.tenantId,
    ]);
    expect(rows).toEqual([{ status: "SUCCEEDED" }]);
  });

  it("stops when the workflow run is cancelled", async () => {
    const caller = await withBuiltIns(aCaller());
    const { id, worker, release } = await inTheMiddleOfATool(caller);
    await cancelWorkflowRun(caller, { workflowRunId: id });
    await worker;
    await release();
    expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "CANCELLED" });
    expect(await findStepsOfRuns(caller, [id])).toMatchObject([{ status: "CANCELLED", output: null }]);
  });

  it("commits nothing when another took the run over", async () => {
    const caller = await withBuiltIns(aCaller());
    const { id, worker, release } = await inTheMiddleOfATool(caller);
    await withTenant(caller, (tx) => tx.sql`UPDATE workflow.workflow_run SET fence = fence + 1 WHERE id = ${id}`);
    await worker;
    await release();
    expect(await findStepsOfRuns(caller, [id])).toMatchObject([{ status: "RUNNING", attempt: 1 }]);
    await letTimePass(id, 5);
    expect(await driveWorkflowRun(caller, id)).toMatchObject({ status: "COMPLETED" });
  });
});

describe("events", () => {
  it("go on after a cursor and end after the terminal event", async () => {
    const caller = await withBuiltIns(aCaller());
    const id = await givenWorkflowRun(caller, "render", DOCUMENT);
    const read = async (after: string | null) => {
      const events = [];
      for await (const event of streamWorkflowRunEvents(caller, { workflowRunId: id, after, signal: context.signal }))
        events.push(event);
      return events;
    };
    const all = await read(null);
    expect(all.at(-1)).toMatchObject({ type: "workflow.run.finished", seq: all.length });
    expect((await read(encodeCursor(all[1]!.stream, 2))).map(({ seq }) => seq)).toEqual(
      all.slice(2).map(({ seq }) => seq),
    );
    expect(await read(encodeCursor(all[0]!.stream, all.length))).toEqual([]);
  });
});
