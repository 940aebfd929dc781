import type { Caller } from "@sba/platform/caller";
import { ints, texts, times, uuids } from "@sba/platform/columns";
import type { Tx } from "@sba/platform/db";
import type { Step } from "@sba/platform/generated/prisma/client";
import { reader } from "@sba/platform/reader";
import { runStream, stepFinished, stepStarted, type StepSnapshot } from "../events.ts";
import type { Draft } from "../run/session.ts";

/** A step: one model turn or one tool call, committed once. `(run, number)` is its identity through every attempt. */

export const STEP_TYPES = ["USER", "MODEL", "TOOL", "SYSTEM"] as const;
export type StepType = (typeof STEP_TYPES)[number];

/** What a step is begun in: a draft, or what of one whoever holds no lease has. */
export type Beginning = Pick<Draft, "run" | "now" | "writes" | "journal">;

/** Begins the run's next step: its row and StepStarted. */
export function beginStep(draft: Beginning, type: StepType, toolCallId: string | null = null): Step {
  const { id: runId, tenantId } = draft.run;
  const number = draft.run.stepNumber + 1;
  const step: Step = { tenantId, runId, number, type, toolCallId, model: null, startedAt: draft.now, endedAt: null };
  draft.run = { ...draft.run, stepNumber: number, stepAttempt: 1 };
  draft.writes.push((tx) => {
    tx.gather(insertSteps, [step]);
  });
  draft.journal.push(stepStarted({ step: stepSnapshot(step) }));
  return step;
}

/** Ends a step: StepFinished. A model turn names the model that answered. */
export function finishStep(draft: Draft, step: Step): void {
  const endedAt = draft.now;
  draft.unfinished = undefined;
  draft.writes.push((tx) => {
    tx.gather(endSteps, [{ ...step, endedAt }]);
  });
  draft.journal.push(stepFinished({ step: stepSnapshot({ ...step, endedAt }) }));
}

/** Writes steps that begin. Needs no answer. */
export function insertSteps(tx: Tx, steps: readonly Step[]): Promise<unknown> {
  return tx.sql`
    INSERT INTO agent.step (tenant_id, run_id, number, type, tool_call_id, started_at)
    SELECT ${tx.tenantId}, (${uuids(steps, ({ runId }) => runId)}::uuid[])[i], (${ints(steps, ({ number }) => number)}::int[])[i],
           (${texts(steps, ({ type }) => type)}::text[])[i], (${uuids(steps, ({ toolCallId }) => toolCallId)}::uuid[])[i],
           (${times(steps, ({ startedAt }) => startedAt)}::timestamptz[])[i]
    FROM generate_series(1, ${steps.length}::int) AS i`;
}

// The ids twice: by the array the rows are found in the primary key, whatever the planner thinks of the table.
function endSteps(tx: Tx, steps: readonly Step[]): Promise<unknown> {
  const runIds = uuids(steps, ({ runId }) => runId);
  return tx.sql`
    UPDATE agent.step SET ended_at = ended.ended_at, model = ended.model
    FROM (
      SELECT (${runIds}::uuid[])[i] AS run_id, (${ints(steps, ({ number }) => number)}::int[])[i] AS number,
             (${texts(steps, ({ model }) => model)}::text[])[i] AS model, (${times(steps, ({ endedAt }) => endedAt)}::timestamptz[])[i] AS ended_at
      FROM generate_series(1, ${steps.length}::int) AS i) AS ended
    WHERE step.tenant_id = ${tx.tenantId} AND step.run_id = ANY(${runIds}::uuid[])
      AND step.run_id = ended.run_id AND step.number = ended.number`;
}

/** A step that was begun and not committed. */
export interface Unfinished {
  readonly step: Step;
  /** What readers were shown of it, its void attempts left out. */
  readonly text: string | null;
  /** How many pieces of text the run has shown so far. */
  readonly pieces: number;
}

/** The step that an attempt left open, if there is one. */
export async function readUnfinished(tx: Tx, runId: string): Promise<Unfinished | undefined> {
  const stream = runStream(runId);
  const [found] = await tx.sql<Step & { text: string | null; pieces: number }>`
    SELECT step.*, shown.* FROM agent.run JOIN agent.step ON step.run_id = run.id AND step.number = run.step_number CROSS JOIN LATERAL (
      SELECT string_agg(payload->>'text', '' ORDER BY seq) FILTER (
               WHERE (payload->>'stepNumber')::int = step.number AND seq > (
                 SELECT coalesce(max(seq), 0) FROM platform.event WHERE stream = ${stream} AND type = 'agent.run.stepRestarted')) AS text,
             count(*)::int AS pieces
      FROM platform.event WHERE stream = ${stream} AND type = 'agent.run.tokenDelta') AS shown
    WHERE run.tenant_id = ${tx.tenantId} AND run.id = ${runId} AND step.ended_at IS NULL`;
  if (!found) return undefined;
  const { text, pieces, ...step } = found;
  return { step, text, pieces };
}

/** A step as events carry it. */
export function stepSnapshot({ number, type, startedAt, endedAt, toolCallId }: Step): StepSnapshot {
  return { number, type, startedAt: startedAt.toISOString(), endedAt: endedAt?.toISOString() ?? null, toolCallId };
}

/** The steps of these runs, in order. */
export function findStepsOfRuns(caller: Caller, runIds: readonly string[]): Promise<Step[]> {
  return reader(caller).step.findMany({ where: { runId: { in: [...runIds] } }, orderBy: { number: "asc" } });
}
