import type { Message } from "@sba/platform/generated/prisma/client";
import { z } from "zod";
import type { ModelMessage } from "../model/index.ts";
import { toModelMessages, type MessageToolCall } from "./message.ts";

/**
 * What a model is shown of a thread that has outgrown its window: a summary of what came first, then the messages since. The
 * messages stay where they are. Pure.
 */

/** The place of a message in its thread: runs are ordered by their ids. */
interface Place {
  readonly runId: string;
  readonly ordinal: number;
}

const stored = z.object({
  /** The last message that the summary stands for. */
  upTo: z.object({ runId: z.string(), ordinal: z.number().int() }),
  text: z.string(),
});
type Summary = z.infer<typeof stored>;

/** The text of a message of role `summary`, which is JSON. */
export function summaryMessageText({ runId, ordinal }: Place, text: string): string {
  return JSON.stringify({ upTo: { runId, ordinal }, text } satisfies Summary);
}

/** The same summary where the messages are copies at other places. */
export function moveSummary(text: string, move: (runId: string, ordinal: number) => Place): string {
  const summary = stored.parse(JSON.parse(text));
  return summaryMessageText(move(summary.upTo.runId, summary.upTo.ordinal), summary.text);
}

interface Shown {
  readonly summary: Summary | undefined;
  /** What the summary does not stand for. */
  readonly rest: readonly Message[];
  /** The person's last words, when the summary stands for them: they are what is to be answered, so they stay. */
  readonly question: Message | undefined;
}

function split(history: readonly Message[], latest = latestSummary(history)): Shown {
  const spoken = history.filter(({ role }) => role !== "summary");
  if (latest === undefined) return { summary: undefined, rest: spoken, question: undefined };
  const summary = stored.parse(JSON.parse(latest));
  const rest = spoken.filter((message) => isAfter(message, summary.upTo));
  const question = spoken.findLast(({ role }) => role === "user");
  return { summary, rest, question: question && isAfter(question, summary.upTo) ? undefined : question };
}

function latestSummary(history: readonly Message[]): string | undefined {
  return history.findLast(({ role }) => role === "summary")?.text;
}

function isAfter({ runId, ordinal }: Place, place: Place): boolean {
  return runId > place.runId || (runId === place.runId && ordinal > place.ordinal);
}

/** The history as a model is shown it; with the summary that was just made, when it is not in there yet. */
export function shownMessages(history: readonly Message[], summaryText?: string): ModelMessage[] {
  const { summary, rest, question } = split(history, summaryText);
  if (!summary) return toModelMessages(rest);
  const remembered: ModelMessage = { role: "user", text: `Summary of our conversation until now:\n${summary.text}` };
  return [remembered, ...toModelMessages([...(question ? [question] : []), ...rest])];
}

/** How many tokens a model makes of a text. */
export type CountTokens = (text: string) => number;

export interface SummaryPlan {
  /** What is to be summarised, oldest first, as a model is told it; an earlier summary included. */
  readonly transcript: string;
  /** The last message that the new summary stands for. */
  readonly upTo: Place;
}

/**
 * What to summarise so that the rest has room: all but the latest messages that fill half of `roomTokens`, so that the thread can
 * grow again. A call and its results stay together. Undefined when everything fits, or when there is nothing to leave out.
 */
export function planSummary(
  history: readonly Message[],
  roomTokens: number,
  count: CountTokens,
): SummaryPlan | undefined {
  const shown = shownMessages(history);
  const total = shown.reduce((sum, message) => sum + count(textOf(message)), 0);
  if (total <= roomTokens) return undefined;
  const { summary, rest, question } = split(history);
  const covered = rest.slice(0, firstKept(rest, roomTokens / 2, count));
  const last = covered.at(-1);
  if (!last) return undefined;
  const earlier = summary ? [`Earlier summary:\n${summary.text}`] : [];
  const spoken = [...(question ? [question] : []), ...covered];
  const limit = longestThatFits(spoken, roomTokens / 2, count);
  const transcript = [...earlier, ...spoken.map((message) => line(message, limit))].join("\n\n");
  return { transcript, upTo: { runId: last.runId, ordinal: last.ordinal } };
}

/** The index of the first message that is kept; the last turn always is. */
function firstKept(messages: readonly Message[], roomTokens: number, count: CountTokens): number {
  let left = roomTokens;
  let first = messages.length;
  for (let index = messages.length - 1; index >= 0; index--) {
    left -= count(messages[index]!.text);
    if (left < 0 && first < messages.length) break;
    // Results of tools go with the call that they answer.
    if (messages[index]!.role !== "tool") first = index;
  }
  return first;
}

/** How many characters of each message can be told so that all of them fit: one long result must not push out the rest. */
function longestThatFits(messages: readonly Message[], roomTokens: number, count: CountTokens): number {
  const fits = (limit: number): boolean =>
    messages.reduce((sum, message) => sum + count(line(message, limit)), 0) <= roomTokens;
  let limit = Math.max(...messages.map(({ text }) => text.length), SHORTEST);
  while (limit > SHORTEST && !fits(limit)) limit = Math.max(SHORTEST, Math.floor(limit / 2));
  return limit;
}

const SHORTEST = 100;

const SPEAKERS: Readonly<Record<string, string>> = {
  user: "Person",
  assistant: "Assistant",
  partial: "Assistant",
  tool: "Tool",
};

/** A message as the transcript tells it. */
function line({ role, text, toolCalls }: Message, limit: number): string {
  const calls = ((toolCalls ?? []) as unknown as MessageToolCall[]).map(
    ({ name, params }) => `[calls ${name} with ${cut(JSON.stringify(params), limit)}]`,
  );
  return `${SPEAKERS[role] ?? role}: ${[cut(text, limit), ...calls].filter((part) => part !== "").join(" ")}`;
}

/** At most so many characters, cut between characters. */
function cut(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const head = text.slice(0, limit);
  return `${head.isWellFormed() ? head : head.slice(0, -1)}…`;
}

function textOf(message: ModelMessage): string {
  return message.role === "assistant" && message.toolCalls.length > 0
    ? `${message.text} ${JSON.stringify(message.toolCalls)}`
    : message.text;
}

/**
 * The messages with their longest results of tools cut until all fit into `roomTokens`, for a last turn that is too long by
 * itself. What people and the model said stays.
 */
export function fitMessages(messages: readonly ModelMessage[], roomTokens: number, count: CountTokens): ModelMessage[] {
  let fitted = [...messages];
  const total = (): number => fitted.reduce((sum, message) => sum + count(textOf(message)), 0);
  let limit = Math.max(...messages.map(({ text }) => text.length), SHORTEST);
  while (limit > SHORTEST && total() > roomTokens) {
    limit = Math.max(SHORTEST, Math.floor(limit / 2));
    fitted = messages.map((message) =>
      message.role === "tool" && message.text.length > limit
        ? { ...message, text: JSON.stringify({ cut: true, text: cut(message.text, limit) }) }
        : message,
    );
  }
  return fitted;
}
