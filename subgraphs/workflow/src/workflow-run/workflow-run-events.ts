import type { Caller } from "@sba/platform/caller";
import { startAfter, type StreamStart } from "@sba/platform/consumers";
import type { EventRecord } from "@sba/platform/events";
import { streamEvents, tellGaps } from "@sba/platform/follow";
import { workflowRunFailed, workflowRunFinished, workflowRunStream } from "../events.ts";
import { getWorkflowRun } from "./workflow-run.ts";

/** The events of a workflow run, replayed and live. */

const LAST: readonly string[] = [workflowRunFinished.type, workflowRunFailed.type];

export interface StreamWorkflowRunEventsInput extends StreamStart {
  readonly workflowRunId: string;
  readonly signal: AbortSignal;
}

/**
 * Every event after the cursor, then each as it is committed; ends with the workflow run's terminal event.
 * @throws WORKFLOW_RUN_NOT_FOUND, CURSOR_INVALID
 */
export async function* streamWorkflowRunEvents(
  caller: Caller,
  { workflowRunId, signal, ...start }: StreamWorkflowRunEventsInput,
): AsyncGenerator<EventRecord, void, undefined> {
  const stream = workflowRunStream(workflowRunId);
  const position = await startAfter(caller, stream, start);
  const admits = async (): Promise<boolean> => {
    const run = await getWorkflowRun(caller, workflowRunId);
    // A client that comes back with the cursor of the terminal event: nothing follows it.
    return run.endedAt === null || position < run.lastSeq;
  };
  const isLast = ({ type }: EventRecord): boolean => LAST.includes(type);
  yield* tellGaps(streamEvents(caller, stream, { after: position, signal, isLast, admits }));
}
