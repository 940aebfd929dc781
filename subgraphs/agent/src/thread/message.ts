import type { Caller } from "@sba/platform/caller";
import { booleans, ints, texts, uuids } from "@sba/platform/columns";
import { json, type Tx } from "@sba/platform/db";
import type { Message, RunInput } from "@sba/platform/generated/prisma/client";
import { runStream } from "../events.ts";
import type { ModelMessage } from "../model/index.ts";

/** A tool call as the model asked for it; `id` is the UUID of its row in integrations. */
export interface MessageToolCall {
  readonly id: string;
  readonly name: string;
  readonly params: unknown;
}

/** `summary`: what a model is shown in place of the messages before it. `partial`: what the model had said when its run was ended. */
export type MessageRole = "user" | "assistant" | "tool" | "summary" | "partial";

export interface NewMessage {
  readonly role: MessageRole;
  readonly text: string;
  readonly toolCalls?: readonly MessageToolCall[];
  readonly toolCallId?: string;
  /** The model ended its turn with a question to the person. */
  readonly asksPerson?: boolean;
}

/** Adds what a person said at the end of a run's part of the thread. The run's row is locked by whoever calls. */
export async function appendInput(tx: Tx, caller: Caller, runId: string, text: string): Promise<void> {
  await tx.sql`
    INSERT INTO agent.message (tenant_id, run_id, ordinal, role, text, seq)
    SELECT ${caller.tenantId}, ${runId}, greatest(max(ordinal), 0) + 1, 'user', ${text},
           (SELECT coalesce(max(last_seq), 0) + 1 FROM platform.stream WHERE id = ${runStream(runId)}) FROM agent.message WHERE run_id = ${runId}`;
}

/** What a run was sent and its model has not been told, in order. */
export function readInbox(tx: Tx, runId: string): Promise<RunInput[]> {
  return tx.sql<RunInput>`SELECT * FROM agent.run_input WHERE run_id = ${runId} AND told_at IS NULL ORDER BY ordinal`;
}

/** What a person said first in a run. */
export function firstMessage({ tenantId }: Caller, runId: string, text: string): Message {
  const nothingElse = { toolCalls: null, toolCallId: null, asksPerson: false, seq: 1, createdAt: new Date() };
  return { tenantId, runId, ordinal: 1, role: "user", text, ...nothingElse };
}

/** Adds messages of runs at their places, before the events that are committed with them. Nothing of it needs an answer. */
export function appendMessages(tx: Tx, messages: readonly Message[]): void {
  tx.gather(insertMessages, messages);
}

function insertMessages(tx: Tx, messages: readonly Message[]): Promise<unknown> {
  return tx.sql`
    INSERT INTO agent.message (tenant_id, run_id, ordinal, role, text, tool_calls, tool_call_id, asks_person, seq)
    SELECT ${tx.tenantId}, run_id, ordinal, role, text, tool_calls::jsonb, tool_call_id, asks_person,
           (SELECT coalesce(max(last_seq), 0) + 1 FROM platform.stream WHERE id = 'run:' || run_id)
    FROM (
      SELECT (${uuids(messages, ({ runId }) => runId)}::uuid[])[i] AS run_id, (${ints(messages, ({ ordinal }) => ordinal)}::int[])[i] AS ordinal,
             (${texts(messages, ({ role }) => role)}::text[])[i] AS role, (${texts(messages, ({ text }) => text)}::text[])[i] AS text,
             (${texts(messages, ({ toolCalls }) => (toolCalls === null ? null : json(toolCalls)))}::text[])[i] AS tool_calls,
             (${uuids(messages, ({ toolCallId }) => toolCallId)}::uuid[])[i] AS tool_call_id,
             (${booleans(messages, ({ asksPerson }) => asksPerson)}::boolean[])[i] AS asks_person
      FROM generate_series(1, ${messages.length}::int) AS i) AS said`;
}

/** What was said in the run itself: not in the thread before, of which a fork has copies. */
export function ownMessages(history: readonly Message[], runId: string): Message[] {
  return history.filter((message) => message.runId === runId && message.ordinal > 0);
}

/** Shows the model the params with which a person let its call run, as if it had asked for that. Nothing of it needs an answer. */
export function amendCall(tx: Tx, runId: string, { id, params }: Pick<MessageToolCall, "id" | "params">): void {
  void tx.sql`
    UPDATE agent.message SET tool_calls = (
      SELECT jsonb_agg(CASE WHEN call->>'id' = ${id} THEN jsonb_set(call, '{params}', ${json(params)}::jsonb) ELSE call END ORDER BY place)
      FROM jsonb_array_elements(tool_calls) WITH ORDINALITY AS asked (call, place))
    WHERE run_id = ${runId} AND tool_calls @> jsonb_build_array(jsonb_build_object('id', ${id}::text))`;
}

/** The calls that a run's model asked for and that have no outcome yet, in the model's order. */
export function openCalls(history: readonly Message[], runId: string): MessageToolCall[] {
  const own = ownMessages(history, runId);
  const answered = new Set(own.map(({ toolCallId }) => toolCallId));
  return own
    .flatMap(({ toolCalls }) => (toolCalls ?? []) as unknown as MessageToolCall[])
    .filter(({ id }) => !answered.has(id));
}

/** The ids of the same. */
export function openCallIds(history: readonly Message[], runId: string): string[] {
  return openCalls(history, runId).map(({ id }) => id);
}

const HISTORY_MESSAGES = 200;
const MAX_SEQ = 2_147_483_647;

/**
 * What a model turn of this run is shown: the last messages of the thread's earlier runs, except those whose place another run took,
 * then its own, as far as they were committed when the event `upToSeq` of the run was.
 */
export async function readHistory(
  tx: Tx,
  run: { readonly id: string; readonly threadId: string },
  upToSeq = MAX_SEQ,
): Promise<Message[]> {
  const messages = await tx.sql<Message>`
    SELECT m.* FROM agent.message m JOIN agent.run r ON r.id = m.run_id
    WHERE r.thread_id = ${run.threadId} AND (r.id = ${run.id} AND m.seq <= ${upToSeq} OR r.id < ${run.id} AND r.replaced_by IS NULL)
    ORDER BY m.run_id DESC, m.ordinal DESC LIMIT ${HISTORY_MESSAGES}`;
  return messages.reverse();
}

/** The same for several runs of one tenant, by run. */
export async function readHistories(tx: Tx, runIds: readonly string[]): Promise<ReadonlyMap<string, Message[]>> {
  const messages = await tx.sql<Message & { readonly shownTo: string }>`
    SELECT asked.id AS shown_to, shown.* FROM (
      SELECT id, thread_id FROM agent.run WHERE tenant_id = ${tx.tenantId} AND id = ANY(${runIds}::uuid[]) OFFSET 0) AS asked
      CROSS JOIN LATERAL (
        SELECT m.* FROM agent.run r JOIN agent.message m ON m.run_id = r.id
        WHERE r.thread_id = asked.thread_id AND (r.id = asked.id OR r.id < asked.id AND r.replaced_by IS NULL)
        ORDER BY m.run_id DESC, m.ordinal DESC LIMIT ${HISTORY_MESSAGES}) AS shown
    ORDER BY shown.run_id, shown.ordinal`;
  const byRun = new Map(runIds.map((id): [string, Message[]] => [id, []]));
  for (const { shownTo, ...message } of messages) byRun.get(shownTo)?.push(message);
  return byRun;
}

/** What became of a call whose run ended before it had an outcome. */
const NO_OUTCOME = JSON.stringify({
  error: {
    code: "AGENT_RUN_ENDED",
    message: "The run ended before this call had an outcome: it may or may not have run.",
  },
});

/** The history as a model takes it: every call has an answer, also where a run was ended before there was one. */
export function toModelMessages(history: readonly Message[]): ModelMessage[] {
  const answered = new Set(history.map(({ toolCallId }) => toolCallId));
  return history.flatMap(({ role, text, toolCalls, toolCallId }): ModelMessage[] => {
    if (role === "user") return [{ role, text }];
    if (role === "tool") return [{ role, toolCallId: toolCallId ?? "", text }];
    const calls = (toolCalls ?? []) as unknown as MessageToolCall[];
    const open = calls.filter(({ id }) => !answered.has(id));
    return [
      { role: "assistant", text, toolCalls: calls },
      ...open.map(({ id }): ModelMessage => ({ role: "tool", toolCallId: id, text: NO_OUTCOME })),
    ];
  });
}
