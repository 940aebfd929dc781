import type { AppError } from "@sba/platform/errors";
import { quietly } from "@sba/platform/events";
import type { Message } from "@sba/platform/generated/prisma/client";
import { runFailed, runFinished, runStatusChanged } from "../events.ts";
import { finishStep } from "../step/step.ts";
import { ownMessages } from "../thread/message.ts";
import { giveBack } from "./admission.ts";
import { cancelWhatWaits } from "./ask.ts";
import { letNextInSoon } from "./busy-thread.ts";
import { cancelChildrenSoon } from "./cancel.ts";
import { tellParent } from "./child-end.ts";
import { citePassages } from "./citation.ts";
import { keepInputs } from "./inbox.ts";
import { assertMove, type RunStatus } from "./run.state.ts";
import { addMessage, type Draft } from "./session.ts";

/** How a run ends: once, with one terminal event that is its last, keeping what it has done. */

/** Ends a run that did what it was asked, or was asked to stop. */
export function endRun(draft: Draft, status: "COMPLETED" | "CANCELLED"): undefined {
  // Whoever cancelled it has ended what waited then: the step that was under way may have asked for more.
  cancelWhatWaits(draft);
  const output = closeOutput(draft);
  keepInputs(draft);
  if (status === "COMPLETED" && output !== null) citePassages(draft, output);
  const from = draft.run.status;
  const endedAt = markEnded(draft, { status, output, errorCode: null, errorMessage: null });
  announceEnd(draft, from, runFinished({ runId: draft.run.id, status, output, endedAt }));
  return undefined;
}

/** Ends a run that cannot go on, with the reason, and with what it had written so far. */
export function failRun(draft: Draft, { code, message }: Pick<AppError, "code" | "message">): undefined {
  const { id: runId } = draft.run;
  cancelWhatWaits(draft);
  const output = closeOutput(draft);
  keepInputs(draft);
  const from = draft.run.status;
  const endedAt = markEnded(draft, { status: "FAILED", output, errorCode: code, errorMessage: message });
  announceEnd(draft, from, runFailed({ runId, status: "FAILED", output, endedAt, error: { code, message } }));
  return undefined;
}

interface Ending {
  readonly status: RunStatus;
  readonly output: string | null;
  readonly errorCode: string | null;
  readonly errorMessage: string | null;
}

function markEnded(draft: Draft, ending: Ending): string {
  assertMove(draft.run.status, ending.status);
  const endedAt = draft.now;
  draft.run = { ...draft.run, ...ending, endedAt };
  draft.release = { dueInMs: null };
  const { caller, run } = draft;
  // Before the streams, as every row of a run.
  draft.writes.push((tx) => {
    tellParent(tx, run);
  });
  draft.closing.push((tx) => {
    if (run.childCount > 0) cancelChildrenSoon(tx, run);
    giveBack(tx, caller, run);
    if (run.followed) letNextInSoon(tx, run);
  });
  return endedAt.toISOString();
}

/** The terminal event, the last of the stream; reactions hear of it only when a higher domain waits for it. */
function announceEnd(draft: Draft, from: string, end: ReturnType<typeof runFinished | typeof runFailed>): void {
  draft.journal.push(runStatusChanged({ from, to: draft.run.status }));
  draft.journal.push(draft.run.announcesEnd ? end : quietly(end));
}

/** What the run leaves as its answer; a step that is still open is ended with what readers were shown of it. */
function closeOutput(draft: Draft): string | null {
  const { unfinished, history, run } = draft;
  if (!unfinished) return lastText(history, run.id);
  finishStep(draft, unfinished.step);
  // What was shown was said: whoever goes on with the thread knows of it.
  if (unfinished.text !== null) addMessage(draft, { role: "partial", text: unfinished.text });
  return unfinished.text ?? lastText(history, run.id);
}

/** The answer: what the model said last in this run. */
function lastText(history: readonly Message[], runId: string): string | null {
  return (
    ownMessages(history, runId).findLast((message) => message.role === "assistant" && message.text !== "")?.text ?? null
  );
}
