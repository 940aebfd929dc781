import type { Message } from "@sba/platform/generated/prisma/client";
import { newId } from "@sba/platform/ids";
import { openCallIds, ownMessages, type MessageToolCall } from "./message.ts";
import { moveSummary } from "./summary.ts";

/** What a fork is told: copies of what was recorded of another run. Pure but for the ids of calls that are the fork's to make. */

export interface ForkOptions {
  /** UUID of the run whose messages they are. */
  readonly fromRunId: string;
  /** UUID of the fork. */
  readonly toRunId: string;
  /** What the person says from there: in place of the last words if nothing followed them, else after everything. */
  readonly prompt: string | undefined;
}

/**
 * The history of a run as the first messages of its fork. What was said in the run keeps its places, what was said in the thread
 * before has places below 1. Calls that had no outcome yet are the fork's to make, under ids of its own; when the person speaks
 * instead, they are dropped.
 */
export function recordedMessages(history: readonly Message[], options: ForkOptions): Message[] {
  const { fromRunId, toRunId, prompt } = options;
  // Half an answer is not gone on from: it is given anew, unless the person says something to it.
  const own = ownMessages(history, fromRunId).filter(({ role }) => role !== "partial" || prompt !== undefined);
  const before = history.filter(({ runId, ordinal }) => runId !== fromRunId || ordinal < 1);
  const ordinals = new Map<Message, number>([
    ...before.map((message, index) => [message, index - before.length + 1] as const),
    ...own.map((message) => [message, message.ordinal] as const),
  ]);
  const moved = new Map([...ordinals].map(([{ runId, ordinal }, to]) => [`${runId} ${ordinal}`, to]));
  // What a summary stands for may lie before what is copied.
  const move = (runId: string, ordinal: number) => ({
    runId: toRunId,
    ordinal: moved.get(`${runId} ${ordinal}`) ?? -before.length,
  });
  const renew = callRenewal(openCallIds(history, fromRunId), prompt === undefined);
  const copies = [...ordinals].map(([message, ordinal]): Message => ({
    ...message,
    runId: toRunId,
    ordinal,
    text: message.role === "summary" ? moveSummary(message.text, move) : message.text,
    toolCalls: renew(message.toolCalls),
  }));
  return prompt === undefined ? copies : speak(copies, prompt);
}

/** Gives calls that are open ids of their own, or drops them. */
function callRenewal(
  openIds: readonly string[],
  keeps: boolean,
): (calls: Message["toolCalls"]) => Message["toolCalls"] {
  const open = new Set(openIds);
  return (calls) => {
    if (calls === null) return null;
    const asked = calls as unknown as readonly MessageToolCall[];
    const renewed = asked.flatMap((call) => (open.has(call.id) ? (keeps ? [{ ...call, id: newId() }] : []) : [call]));
    return renewed as unknown as Message["toolCalls"];
  };
}

function speak(copies: readonly Message[], prompt: string): Message[] {
  const answered = copies.findLastIndex(({ role, ordinal }) => role !== "user" || ordinal < 1);
  const kept = copies.slice(0, answered + 1);
  const next = copies[answered + 1] ?? copies.at(-1)!;
  const ordinal = Math.max(kept.at(-1)?.ordinal ?? 0, 0) + 1;
  return [
    ...kept,
    { ...next, ordinal, role: "user", text: prompt, toolCalls: null, toolCallId: null, asksPerson: false },
  ];
}
