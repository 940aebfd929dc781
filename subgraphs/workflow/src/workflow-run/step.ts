import type { Caller } from "@sba/platform/caller";
import { json, type Tx } from "@sba/platform/db";
import type { NewEvent } from "@sba/platform/events";
import type { WorkflowStep } from "@sba/platform/generated/prisma/client";
import { reader } from "@sba/platform/reader";
import { workflowStepFinished, workflowStepStarted, type WorkflowStepSnapshot } from "../events.ts";
import type { StepError, StepLinks } from "../step-kind/step-kind.ts";
import type { StepDefinition } from "../workflow/definition.ts";

/** The steps of a workflow run as rows, and as events show them. */

/** The steps that were begun, in order, in the transaction that moves the run. */
export function readSteps(tx: Tx, workflowRunId: string): Promise<WorkflowStep[]> {
  return tx.sql<WorkflowStep>`SELECT * FROM workflow.workflow_step WHERE workflow_run_id = ${workflowRunId} ORDER BY number`;
}

export interface NewStep {
  readonly workflowRunId: string;
  readonly number: number;
  readonly definition: StepDefinition;
  /** The config with its references filled in; undefined when they could not be. */
  readonly params: unknown;
}

export async function insertStep(
  tx: Tx,
  caller: Caller,
  { workflowRunId, number, definition, params }: NewStep,
): Promise<WorkflowStep> {
  const [step] = await tx.sql<WorkflowStep>`
    INSERT INTO workflow.workflow_step (tenant_id, workflow_run_id, number, key, kind, status, params, started_at)
    VALUES (${caller.tenantId}, ${workflowRunId}, ${number}, ${definition.key}, ${definition.kind}, 'RUNNING',
            ${params === undefined ? null : json(params)}::jsonb, clock_timestamp()) RETURNING *`;
  return step!;
}

/** Moves a step to WAITING, or to RUNNING with one more attempt; keeps the links that it has. */
export async function moveStep(
  tx: Tx,
  step: WorkflowStep,
  status: "RUNNING" | "WAITING",
  links: StepLinks = {},
): Promise<WorkflowStep> {
  const [moved] = await tx.sql<WorkflowStep>`
    UPDATE workflow.workflow_step SET status = ${status}, attempt = attempt + ${status === "RUNNING" ? 1 : 0}::int,
           run_id = coalesce(${links.runId ?? null}::uuid, run_id), approval_id = coalesce(${links.approvalId ?? null}::uuid, approval_id),
           tool_call_id = coalesce(${links.toolCallId ?? null}::uuid, tool_call_id)
    WHERE workflow_run_id = ${step.workflowRunId} AND number = ${step.number} RETURNING *`;
  return moved!;
}

export type StepEnd =
  | { readonly status: "COMPLETED"; readonly output: unknown }
  | { readonly status: "FAILED"; readonly error: StepError }
  | { readonly status: "CANCELLED" };

/** Ends a step and returns its event. */
export async function endStep(tx: Tx, step: WorkflowStep, end: StepEnd): Promise<NewEvent> {
  const output = end.status === "COMPLETED" ? json(end.output ?? null) : null;
  const error = end.status === "FAILED" ? end.error : undefined;
  const [ended] = await tx.sql<WorkflowStep>`
    UPDATE workflow.workflow_step SET status = ${end.status}, output = ${output}::jsonb, error_code = ${error?.code ?? null},
           error_message = ${error?.message ?? null}, ended_at = clock_timestamp()
    WHERE workflow_run_id = ${step.workflowRunId} AND number = ${step.number} RETURNING *`;
  return workflowStepFinished({ step: stepSnapshot(ended!) });
}

export function stepStarted(step: WorkflowStep): NewEvent {
  return workflowStepStarted({ step: stepSnapshot(step) });
}

/** A step as events carry it. */
export function stepSnapshot(step: WorkflowStep): WorkflowStepSnapshot {
  const { number, key, kind, status, output, runId, approvalId, toolCallId } = step;
  return {
    ...{ number, key, kind, status, output, runId, approvalId, toolCallId },
    error: step.errorCode === null ? null : { code: step.errorCode, message: step.errorMessage ?? "" },
    startedAt: step.startedAt.toISOString(),
    endedAt: step.endedAt?.toISOString() ?? null,
  };
}

/** The steps of these workflow runs, in order. */
export function findStepsOfRuns(caller: Caller, workflowRunIds: readonly string[]): Promise<WorkflowStep[]> {
  return reader(caller).workflowStep.findMany({
    where: { workflowRunId: { in: [...workflowRunIds] } },
    orderBy: { number: "asc" },
  });
}
