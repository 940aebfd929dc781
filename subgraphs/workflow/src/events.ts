import { defineEvent, streamOf } from "@sba/platform/events";
import { z } from "zod";

/** What the workflow domain announces. A payload is the snapshot that readers are shown for that seq. Times are RFC 3339. */

const time = z.string();
const uuid = z.uuid();
const error = z.object({ code: z.string(), message: z.string() });

const step = z.object({
  number: z.number().int(),
  key: z.string(),
  kind: z.string(),
  status: z.string(),
  output: z.unknown(),
  error: error.nullable(),
  runId: uuid.nullable(),
  approvalId: uuid.nullable(),
  toolCallId: uuid.nullable(),
  startedAt: time,
  endedAt: time.nullable(),
});

export type WorkflowStepSnapshot = z.infer<typeof step>;

export const workflowRunStatusChanged = defineEvent({
  type: "workflow.run.statusChanged",
  version: 1,
  description: "A workflow run moved from one status to another; `from` is null when it was created.",
  payload: z.object({ from: z.string().nullable(), to: z.string() }),
});

export const workflowStepStarted = defineEvent({
  type: "workflow.run.stepStarted",
  version: 1,
  description: "A step was begun; what it waits for, if anything, is named.",
  payload: z.object({ step }),
});

export const workflowStepFinished = defineEvent({
  type: "workflow.run.stepFinished",
  version: 1,
  description: "A step ended, with its output or its error.",
  payload: z.object({ step }),
});

export const workflowRunFinished = defineEvent({
  type: "workflow.run.finished",
  version: 1,
  description: "The workflow run ended COMPLETED or CANCELLED. The last event of its stream.",
  payload: z.object({ workflowRunId: uuid, status: z.string(), output: z.unknown(), endedAt: time }),
});

export const workflowRunFailed = defineEvent({
  type: "workflow.run.failed",
  version: 1,
  description: "The workflow run ended FAILED. The last event of its stream.",
  payload: z.object({ workflowRunId: uuid, status: z.string(), output: z.unknown(), endedAt: time, error }),
});

/** The stream of one workflow run. */
export function workflowRunStream(workflowRunId: string): string {
  return streamOf("workflowRun", workflowRunId);
}
