import type { Caller } from "@sba/platform/caller";
import { startAfter, type StreamStart } from "@sba/platform/consumers";
import { decodeCursor, readEvents, type EventRecord } from "@sba/platform/events";
import { streamEvents, tellGaps } from "@sba/platform/follow";
import { openGroupRead } from "@sba/platform/group";
import { toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { errors } from "../errors.ts";
import { runFailed, runFinished, runStream } from "../events.ts";
import { readProgress } from "./read.ts";
import { getRun } from "./run.ts";

/** The events of a run, replayed and live. */

const LAST: readonly string[] = [runFinished.type, runFailed.type];

const findProgress = openGroupRead(readProgress);

function isLast(event: EventRecord): boolean {
  return LAST.includes(event.type);
}

/** Every event after the cursor, then each as it is committed; ends with the run's terminal event. @throws AGENT_RUN_NOT_FOUND, CURSOR_INVALID */
export async function* streamRunEvents(
  caller: Caller,
  { runId, signal, ...start }: StreamStart & { readonly runId: string; readonly signal: AbortSignal },
): AsyncGenerator<EventRecord, void, undefined> {
  const stream = runStream(runId);
  const position = await startAfter(caller, stream, start);
  const admits = async (): Promise<boolean> => {
    const progress = await findProgress(caller, runId);
    if (!progress) throw errors.AGENT_RUN_NOT_FOUND();
    // A client that comes back with the cursor of the terminal event: nothing follows it.
    return !progress.hasEnded || position < progress.lastSeq;
  };
  yield* tellGaps(streamEvents(caller, stream, { after: position, signal, isLast, admits }));
}

/** A page of the same events, oldest first. @throws AGENT_RUN_NOT_FOUND, CURSOR_INVALID */
export async function readRunEvents(
  caller: Caller,
  runId: string,
  { first, after }: PageRequest,
): Promise<Page<EventRecord>> {
  const run = await getRun(caller, runId);
  const stream = runStream(run.id);
  const position = decodeCursor(stream, after);
  const events = await readEvents(caller, stream, { after: position, first: first + 1 });
  return toPage(events, first);
}
