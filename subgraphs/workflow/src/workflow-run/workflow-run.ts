import { recordAudit } from "@sba/platform/audit";
import type { Caller } from "@sba/platform/caller";
import { json, withTenant, type Tx } from "@sba/platform/db";
import { appendEvents } from "@sba/platform/events";
import type { WorkflowRun as WorkflowRunRow } from "@sba/platform/generated/prisma/client";
import { once } from "@sba/platform/idempotency";
import { encodeId, newId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { requireNotSuspended } from "@sba/platform/suspension";
import { errors } from "../errors.ts";
import { workflowRunStatusChanged, workflowRunStream } from "../events.ts";
import { workflowRunOfSubject } from "../step-kind/step-kind.ts";
import { inputReferences } from "../workflow/definition.ts";
import { findJsonProblem } from "../workflow/json-input.ts";
import { findUnknown } from "../workflow/template.ts";
import { getWorkflowForRun, stepsOf } from "../workflow/workflow.ts";
import { wakeWorkflowRun } from "./wake.ts";
import { isEnded, type WorkflowRunStatus } from "./workflow-run.state.ts";

/** A workflow run, and the seq of the last event that was committed when it was read. */
export type WorkflowRun = WorkflowRunRow & { readonly lastSeq: number };

export interface StartWorkflowRunInput {
  readonly workflowKey: string;
  /** A JSON object: what the definition's `{{input...}}` refer to. At most 256 KiB. */
  readonly input: Readonly<Record<string, unknown>>;
  readonly idempotencyKey?: string | undefined;
}

const INPUT_LIMITS = { maxBytes: 256 * 1024, maxDepth: 32 };

/**
 * Accepts a workflow run, pinned to the workflow's newest version, and returns its UUID. Idempotent by key.
 * @throws WORKFLOW_WORKFLOW_NOT_FOUND, WORKFLOW_INPUT_INVALID, WORKFLOW_INPUT_INCOMPLETE, IDEMPOTENCY_KEY_REUSED, TENANT_SUSPENDED
 */
export async function startWorkflowRun(
  caller: Caller,
  { idempotencyKey, ...request }: StartWorkflowRunInput,
): Promise<string> {
  const problem = findJsonProblem(request.input, INPUT_LIMITS);
  if (problem !== undefined) throw errors.WORKFLOW_INPUT_INVALID({ message: `input: ${problem}` });
  return withTenant(caller, (tx) =>
    once(tx, caller, { operation: "startWorkflowRun", key: idempotencyKey, input: request }, newId(), (id) =>
      insertWorkflowRun(tx, caller, id, request),
    ),
  );
}

async function insertWorkflowRun(
  tx: Tx,
  caller: Caller,
  id: string,
  { workflowKey, input }: StartWorkflowRunInput,
): Promise<void> {
  requireNotSuspended(tx, caller);
  const { workflow, version } = await getWorkflowForRun(tx, workflowKey);
  const missing = findUnknown(inputReferences(stepsOf(version)), { input, steps: {} });
  if (missing.length > 0) {
    throw errors.WORKFLOW_INPUT_INCOMPLETE({
      message: `The workflow needs ${missing.join(", ")}.`,
      details: { missing },
    });
  }
  await tx.sql`
    INSERT INTO workflow.workflow_run (tenant_id, id, workflow_id, workflow_version_id, workflow_key, status, input,
                                       started_by, started_by_kind, permissions, request_id, due_at)
    VALUES (${caller.tenantId}, ${id}, ${workflow.id}, ${version.id}, ${workflow.key}, 'CREATED', ${json(input)}::jsonb,
            ${caller.principalId}, ${caller.principalKind}, ${[...caller.permissions]}::text[], ${caller.requestId}, clock_timestamp())`;
  await appendEvents(tx, caller, workflowRunStream(id), [workflowRunStatusChanged({ from: null, to: "CREATED" })]);
  await wakeWorkflowRun(tx, caller, id);
}

export interface CancelWorkflowRunInput {
  readonly workflowRunId: string;
  readonly reason?: string | undefined;
}

/**
 * Asks a workflow run to end: it passes CANCELLING, what its step started or waits for is ended, what it has done is kept.
 * Repeating it changes nothing.
 * @throws WORKFLOW_RUN_NOT_FOUND, WORKFLOW_RUN_ENDED
 */
export async function cancelWorkflowRun(
  caller: Caller,
  { workflowRunId, reason }: CancelWorkflowRunInput,
): Promise<void> {
  await withTenant(caller, async (tx) => {
    const [run] =
      await tx.sql<WorkflowRunRow>`SELECT * FROM workflow.workflow_run WHERE id = ${workflowRunId} FOR UPDATE`;
    if (!run) throw errors.WORKFLOW_RUN_NOT_FOUND();
    if (run.status === "CANCELLING") return;
    if (isEnded(run.status)) throw errors.WORKFLOW_RUN_ENDED({ details: { status: run.status } });
    await tx.sql`
      UPDATE workflow.workflow_run SET status = 'CANCELLING', cancel_reason = ${reason ?? null}, due_at = clock_timestamp()
      WHERE id = ${workflowRunId}`;
    await recordAudit(tx, caller, {
      action: "workflow.workflowRun.cancelled",
      target: encodeId("WorkflowRun", workflowRunId),
      details: reason === undefined ? {} : { reason },
    });
    await appendEvents(tx, caller, workflowRunStream(workflowRunId), [
      workflowRunStatusChanged({ from: run.status, to: "CANCELLING" }),
    ]);
    await wakeWorkflowRun(tx, caller, workflowRunId);
  });
}

/** Reaction to the end of a run: moves on the workflow run whose step waits for it, if one does. Harmless twice or late. */
export async function resumeAfterRun(caller: Caller, runId: string): Promise<void> {
  await withTenant(caller, async (tx) => {
    const [waiting] = await tx.sql<{ workflowRunId: string }>`
      SELECT workflow_run_id FROM workflow.workflow_step WHERE run_id = ${runId} AND ended_at IS NULL`;
    if (waiting) await makeDue(tx, caller, waiting.workflowRunId);
  });
}

/** Reaction to what an operator said of a tool call: moves on the workflow run whose step waits for it. Harmless twice or late. */
export async function resumeAfterToolCall(caller: Caller, toolCallId: string): Promise<void> {
  await withTenant(caller, async (tx) => {
    const [waiting] = await tx.sql<{ workflowRunId: string }>`
      SELECT workflow_run_id FROM workflow.workflow_step WHERE tool_call_id = ${toolCallId} AND ended_at IS NULL`;
    if (waiting) await makeDue(tx, caller, waiting.workflowRunId);
  });
}

/** Reaction to a change of an approval: moves on the workflow run whose step it is of, if one is. Harmless twice or late. */
export async function resumeAfterApproval(caller: Caller, subject: string | null): Promise<void> {
  const workflowRunId = workflowRunOfSubject(subject);
  if (workflowRunId !== undefined) await withTenant(caller, (tx) => makeDue(tx, caller, workflowRunId));
}

async function makeDue(tx: Tx, caller: Caller, workflowRunId: string): Promise<void> {
  const [due] = await tx.sql<{ id: string }>`
    UPDATE workflow.workflow_run SET due_at = clock_timestamp() WHERE id = ${workflowRunId} AND ended_at IS NULL RETURNING id`;
  if (due) await wakeWorkflowRun(tx, caller, workflowRunId);
}

/** The workflow run. @throws WORKFLOW_RUN_NOT_FOUND */
export async function getWorkflowRun(caller: Caller, workflowRunId: string): Promise<WorkflowRun> {
  const [run] = await findWorkflowRuns(caller, [workflowRunId]);
  if (!run) throw errors.WORKFLOW_RUN_NOT_FOUND();
  return run;
}

/** The workflow runs with these UUIDs that the tenant has, each with its last seq, of one snapshot. */
export function findWorkflowRuns(caller: Caller, ids: readonly string[]): Promise<WorkflowRun[]> {
  return withTenant(
    caller,
    (tx) => tx.sql<WorkflowRun>`
    SELECT r.*, s.last_seq FROM workflow.workflow_run r JOIN platform.stream s ON s.id = 'workflowRun:' || r.id
    WHERE r.id = ANY(${[...ids]}::uuid[])`,
  );
}

export interface WorkflowRunFilter {
  readonly status?: readonly WorkflowRunStatus[] | undefined;
  readonly workflowKey?: string | undefined;
}

/** The tenant's workflow runs, newest first. */
export async function listWorkflowRuns(
  caller: Caller,
  page: PageRequest,
  filter: WorkflowRunFilter = {},
): Promise<Page<WorkflowRun>> {
  const before = decodeIdCursor(page.after) ?? null;
  const status = filter.status ? [...filter.status] : null;
  const key = filter.workflowKey ?? null;
  const rows = await withTenant(
    caller,
    (tx) => tx.sql<WorkflowRun>`
    SELECT r.*, s.last_seq FROM workflow.workflow_run r JOIN platform.stream s ON s.id = 'workflowRun:' || r.id
    WHERE (${before}::uuid IS NULL OR r.id < ${before}::uuid)
      AND (${status}::text[] IS NULL OR r.status = ANY(${status}::text[]))
      AND (${key}::text IS NULL OR r.workflow_key = ${key}::text)
    ORDER BY r.id DESC LIMIT ${page.first + 1}`,
  );
  return toPage(rows, page.first);
}
