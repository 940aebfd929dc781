import type { Caller } from "@sba/platform/caller";
import { json, type Tx } from "@sba/platform/db";
import type { Message } from "@sba/platform/generated/prisma/client";
import type { ModelMessage } from "../model/index.ts";

/** A tool call as the model asked for it; `id` is the UUID of its row in integrations. */
export interface MessageToolCall {
  readonly id: string;
  readonly name: string;
  readonly params: unknown;
}

export type MessageRole = "user" | "assistant" | "tool";

export interface NewMessage {
  readonly runId: string;
  readonly role: MessageRole;
  readonly text: string;
  readonly toolCalls?: readonly MessageToolCall[];
  readonly toolCallId?: string;
  /** The model ended its turn with a question to the person. */
  readonly asksPerson?: boolean;
}

/** Adds a message at the end of a run's part of the thread. The run's row is locked by whoever calls. */
export async function appendMessage(tx: Tx, caller: Caller, message: NewMessage): Promise<void> {
  await tx.sql`
    INSERT INTO agent.message (tenant_id, run_id, ordinal, role, text, tool_calls, tool_call_id, asks_person)
    SELECT ${caller.tenantId}, ${message.runId}, coalesce(max(ordinal), 0) + 1, ${message.role}, ${message.text},
           ${message.toolCalls ? json(message.toolCalls) : null}::jsonb, ${message.toolCallId ?? null}::uuid, ${message.asksPerson ?? false}
    FROM agent.message WHERE run_id = ${message.runId}`;
}

const HISTORY_MESSAGES = 200;

/** What a model turn of this run is shown: the thread's earlier runs (their last messages), then the run's own. */
export async function readHistory(tx: Tx, run: { readonly id: string; readonly threadId: string }): Promise<Message[]> {
  const messages = await tx.sql<Message>`
    SELECT m.* FROM agent.message m JOIN agent.run r ON r.id = m.run_id
    WHERE r.thread_id = ${run.threadId} AND r.id <= ${run.id}
    ORDER BY m.run_id DESC, m.ordinal DESC LIMIT ${HISTORY_MESSAGES}`;
  return messages.reverse();
}

/** The history as a model takes it. */
export function toModelMessages(history: readonly Message[]): ModelMessage[] {
  return history.map(({ role, text, toolCalls, toolCallId }): ModelMessage => {
    if (role === "user") return { role, text };
    if (role === "tool") return { role, toolCallId: toolCallId ?? "", text };
    return { role: "assistant", text, toolCalls: (toolCalls ?? []) as unknown as MessageToolCall[] };
  });
}
