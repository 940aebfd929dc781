import type { Caller } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import type { AppError } from "@sba/platform/errors";
import { appendEvents, type NewEvent } from "@sba/platform/events";
import type { Message, Run as RunRow, Step } from "@sba/platform/generated/prisma/client";
import { cancelApprovalsOfRun } from "../approval/approval.ts";
import { runFailed, runFinished, runStatusChanged, runStream } from "../events.ts";
import { findUnfinishedStep, finishStep } from "../step/step.ts";
import { readHistory } from "../thread/message.ts";
import { recordCitations } from "./citation.ts";
import { assertMove, type RunStatus } from "./run.state.ts";

/** How a run ends: once, with one terminal event that is its last, keeping what it has done. */

export interface EndRunInput {
  readonly status: "COMPLETED" | "CANCELLED";
  readonly history: readonly Message[];
}

/** Ends a run that did what it was asked, or was asked to stop. */
export async function endRun(
  tx: Tx,
  caller: Caller,
  run: RunRow,
  { status, history }: EndRunInput,
): Promise<undefined> {
  const step = await findUnfinishedStep(tx, run);
  const output = (await partialText(tx, step)) ?? lastText(history, run.id);
  const closing = await closeStep(tx, step);
  if (status === "COMPLETED" && output !== null) await recordCitations(tx, caller, run, { output, history });
  const endedAt = await markEnded(tx, run, { status, output });
  await appendEvents(tx, caller, runStream(run.id), [
    ...closing,
    runStatusChanged({ from: run.status, to: status }),
    runFinished({ runId: run.id, status, output, endedAt }),
  ]);
  return undefined;
}

/** Ends a run that cannot go on, with the reason, and with what it had written so far. */
export async function failRun(tx: Tx, caller: Caller, run: RunRow, { code, message }: AppError): Promise<undefined> {
  const step = await findUnfinishedStep(tx, run);
  const output = (await partialText(tx, step)) ?? lastText(await readHistory(tx, run), run.id);
  await cancelApprovalsOfRun(tx, caller, run.id);
  const closing = await closeStep(tx, step);
  const endedAt = await markEnded(tx, run, { status: "FAILED", output, code, message });
  await appendEvents(tx, caller, runStream(run.id), [
    ...closing,
    runStatusChanged({ from: run.status, to: "FAILED" }),
    runFailed({ runId: run.id, status: "FAILED", output, endedAt, error: { code, message } }),
  ]);
  return undefined;
}

interface Ending {
  readonly status: RunStatus;
  readonly output: string | null;
  readonly code?: string;
  readonly message?: string;
}

async function markEnded(tx: Tx, run: RunRow, { status, output, code, message }: Ending): Promise<string> {
  assertMove(run.status, status);
  const [ended] = await tx.sql<{ endedAt: Date }>`
    UPDATE agent.run SET status = ${status}, output = ${output}, error_code = ${code ?? null}, error_message = ${message ?? null},
           ended_at = clock_timestamp(), due_at = NULL, lease_expires_at = NULL, fence = fence + 1
    WHERE id = ${run.id} RETURNING ended_at`;
  return ended!.endedAt.toISOString();
}

async function closeStep(tx: Tx, step: Step | undefined): Promise<NewEvent[]> {
  return step ? [await finishStep(tx, step)] : [];
}

/** The answer: what the model said last in this run. */
function lastText(history: readonly Message[], runId: string): string | null {
  return (
    history.findLast((message) => message.runId === runId && message.role === "assistant" && message.text !== "")
      ?.text ?? null
  );
}

/** What readers were shown of the step that was not finished, its void attempts left out. */
async function partialText(tx: Tx, step: Step | undefined): Promise<string | null> {
  if (!step) return null;
  const stream = runStream(step.runId);
  const [partial] = await tx.sql<{ text: string | null }>`
    SELECT string_agg(payload->>'text', '' ORDER BY seq) AS text FROM platform.event
    WHERE stream = ${stream} AND type = 'agent.run.tokenDelta' AND (payload->>'stepNumber')::int = ${step.number}
      AND seq > (SELECT coalesce(max(seq), 0) FROM platform.event WHERE stream = ${stream} AND type = 'agent.run.stepRestarted')`;
  return partial?.text ?? null;
}
