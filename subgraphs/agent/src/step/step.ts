import type { Caller } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import type { NewEvent } from "@sba/platform/events";
import type { Run as RunRow, Step } from "@sba/platform/generated/prisma/client";
import { reader } from "@sba/platform/reader";
import { stepFinished, stepStarted, type StepSnapshot } from "../events.ts";

/** A step: one model turn or one tool call, committed once. `(run, number)` is its identity through every attempt. */

export const STEP_TYPES = ["USER", "MODEL", "TOOL", "SYSTEM"] as const;
export type StepType = (typeof STEP_TYPES)[number];

export interface BeginStepInput {
  readonly type: StepType;
  readonly toolCallId?: string;
}

/** Begins the run's next step: its row and StepStarted. */
export async function beginStep(
  tx: Tx,
  caller: Caller,
  run: RunRow,
  { type, toolCallId }: BeginStepInput,
): Promise<{ step: Step; event: NewEvent }> {
  const number = run.stepNumber + 1;
  const [[step]] = await Promise.all([
    tx.sql<Step>`
      INSERT INTO agent.step (tenant_id, run_id, number, type, tool_call_id, started_at)
      VALUES (${caller.tenantId}, ${run.id}, ${number}, ${type}, ${toolCallId ?? null}, clock_timestamp()) RETURNING *`,
    tx.sql`UPDATE agent.run SET step_number = ${number}, step_attempt = 1 WHERE id = ${run.id}`,
  ]);
  return { step: step!, event: stepStarted({ step: stepSnapshot(step!) }) };
}

/** Ends a step: StepFinished. */
export async function finishStep(tx: Tx, step: Pick<Step, "runId" | "number">): Promise<NewEvent> {
  const [ended] = await tx.sql<Step>`
    UPDATE agent.step SET ended_at = clock_timestamp() WHERE run_id = ${step.runId} AND number = ${step.number} RETURNING *`;
  return stepFinished({ step: stepSnapshot(ended!) });
}

/** The step that was begun and not committed, if there is one. */
export async function findUnfinishedStep(tx: Tx, run: Pick<RunRow, "id" | "stepNumber">): Promise<Step | undefined> {
  const [step] = await tx.sql<Step>`
    SELECT * FROM agent.step WHERE run_id = ${run.id} AND number = ${run.stepNumber} AND ended_at IS NULL`;
  return step;
}

/** A step as events carry it. */
export function stepSnapshot({ number, type, startedAt, endedAt, toolCallId }: Step): StepSnapshot {
  return { number, type, startedAt: startedAt.toISOString(), endedAt: endedAt?.toISOString() ?? null, toolCallId };
}

/** The steps of these runs, in order. */
export function findStepsOfRuns(caller: Caller, runIds: readonly string[]): Promise<Step[]> {
  return reader(caller).step.findMany({ where: { runId: { in: [...runIds] } }, orderBy: { number: "asc" } });
}
