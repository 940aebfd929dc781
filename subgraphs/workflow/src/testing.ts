import { createBuiltInAgents } from "@sba/agent/index";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import { logger } from "@sba/platform/log";
import { advanceWorkflowRun } from "./workflow-run/advance.ts";
import { getWorkflowRun, startWorkflowRun, type WorkflowRun } from "./workflow-run/workflow-run.ts";
import { createBuiltInWorkflows, createWorkflow } from "./workflow/workflow.ts";

/** For tests of this domain and of what is above. */

/** A tenant's caller, with the agents and workflows that a new tenant is given. */
export async function withBuiltIns(caller: Caller): Promise<Caller> {
  await createBuiltInAgents(caller);
  await createBuiltInWorkflows(caller);
  return caller;
}

/** A workflow of these steps; returns its key. */
export async function givenWorkflow(caller: Caller, steps: readonly unknown[]): Promise<string> {
  const key = `flow-${newId().slice(-12)}`;
  await createWorkflow(caller, { key, name: "Flow", steps });
  return key;
}

/** Starts a workflow run and does everything until it waits or ends; returns its UUID. */
export async function givenWorkflowRun(
  caller: Caller,
  workflowKey: string,
  input: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const id = await startWorkflowRun(caller, { workflowKey, input });
  await driveWorkflowRun(caller, id);
  return id;
}

/** Does what a worker does with the wake-ups of one workflow run, until it waits or ends. */
export async function driveWorkflowRun(
  caller: Caller,
  workflowRunId: string,
  signal: AbortSignal = new AbortController().signal,
): Promise<WorkflowRun> {
  const context = { signal, attempt: 1, log: logger };
  for (;;) {
    const before = await getWorkflowRun(caller, workflowRunId);
    await advanceWorkflowRun(caller, { workflowRunId }, context);
    const after = await getWorkflowRun(caller, workflowRunId);
    if (after.lastSeq === before.lastSeq) return after;
  }
}

/** The journal of a workflow run, as rows. */
export async function workflowJournalOf(
  caller: Caller,
  workflowRunId: string,
): Promise<{ seq: number; type: string; payload: Record<string, unknown> }[]> {
  return withTenant(
    caller,
    (tx) => tx.sql<{ seq: number; type: string; payload: Record<string, unknown> }>`
    SELECT seq, type, payload FROM platform.event WHERE stream = ${`workflowRun:${workflowRunId}`} ORDER BY seq`,
  );
}
