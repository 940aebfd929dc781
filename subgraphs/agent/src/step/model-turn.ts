import { estimateCost, priceUsage, recordNewUsage } from "@sba/billing/index";
import { makeToolCall, recordNewToolCalls, type Tool, type ToolCall } from "@sba/integrations/index";
import { AppError } from "@sba/platform/errors";
import type { AgentVersion, Run as RunRow } from "@sba/platform/generated/prisma/client";
import { newId } from "@sba/platform/ids";
import { requestToolApproval } from "../approval/approval.ts";
import { errors } from "../errors.ts";
import { tokenDelta, toolRequested, usageRecorded } from "../events.ts";
import { getModel, type ModelEvent, type ModelFinish, type ModelTool, type ModelToolCall } from "../model/index.ts";
import { affordableTokens, spend, TOOL_CALL_USAGE, turnUsage } from "../run/budget.ts";
import type { Work } from "../run/plan-next.ts";
import type { RunOptions } from "../run/run.ts";
import { addMessage, type Draft, type Session } from "../run/session.ts";
import { usageSnapshot } from "../run/usage.ts";
import { toModelMessages, type MessageToolCall } from "../thread/message.ts";
import { findTool } from "../tool/index.ts";
import { toolCallSnapshot } from "./tool-turn.ts";
import { finishStep } from "./step.ts";
import { openTokenWriter, type LastPiece, type TokenWriter } from "./token-writer.ts";

type ModelWork = Extract<Work, { kind: "model" }>;

/** What a model said in one turn; all of its text but the last piece is already in the journal. */
export interface ModelTurn {
  readonly text: string;
  readonly last: LastPiece;
  readonly calls: readonly NamedCall[];
  readonly finish: ModelFinish;
}

type NamedCall = ModelToolCall & { readonly id: string };

const MAX_OUTPUT_TOKENS = 4_096;

/** Lets the model speak, streaming its text to readers. @throws AGENT_MODEL_..., BILLING_BUDGET_EXHAUSTED */
export async function takeModelTurn(
  { run, version, history }: Session,
  { step }: ModelWork,
  signal: AbortSignal,
): Promise<ModelTurn> {
  const request = {
    model: run.model,
    instructions: instructionsOf(version, run.options as RunOptions),
    messages: toModelMessages(history),
    tools: toolsOf(version),
  };
  // One token a byte is more than any tokenizer makes of a text.
  const maxOutputTokens = affordableTokens(run, Buffer.byteLength(JSON.stringify(request)), MAX_OUTPUT_TOKENS);
  const writer = openTokenWriter(run, step.number, run.textPieces);
  try {
    const events = getModel(run.model).streamTurn({ ...request, maxOutputTokens }, signal);
    const turn = await collectTurn(events, writer);
    return { ...turn, last: await writer.close() };
  } catch (error) {
    // What readers have been shown stays; nothing of this attempt may come after what is decided now.
    await writer.discard();
    throw error;
  }
}

/** What jsonb can hold of a model's text: a NUL or half a character would make every attempt to commit it fail. */
function storableText(text: string): string {
  return text.replaceAll("\0", "").toWellFormed();
}

async function collectTurn(events: AsyncIterable<ModelEvent>, writer: TokenWriter): Promise<Omit<ModelTurn, "last">> {
  let text = "";
  let finish: ModelFinish | undefined;
  const calls: NamedCall[] = [];
  for await (const event of events) {
    if (event.type === "text") {
      const piece = storableText(event.text);
      text += piece;
      writer.write(piece);
    } else if (event.type === "toolCall") calls.push({ ...event, id: newId() });
    else finish = event;
  }
  if (!finish) throw errors.AGENT_MODEL_INTERRUPTED();
  return { text, calls, finish };
}

function toolsOf(version: AgentVersion): ModelTool[] {
  return version.tools.flatMap((toolName) => {
    const tool = findTool(toolName);
    return tool ? [{ name: tool.name, description: tool.description, paramsSchema: tool.paramsSchema }] : [];
  });
}

function instructionsOf(version: AgentVersion, { locale }: RunOptions): string {
  return locale === undefined
    ? version.instructions
    : `${version.instructions}\nAnswer in the language of the locale ${locale}.`;
}

/** Commits a model turn: its message, meter, the tool calls that it asks for with their approvals, and its events. */
export function commitModelTurn(draft: Draft, { step }: ModelWork, turn: ModelTurn): void {
  const { caller, run } = draft;
  const calls = turn.calls.map(({ id, ...call }) => ({ id, name: call.name, params: withRunOptions(run, call) }));
  if (turn.last.text !== "")
    draft.journal.push(tokenDelta({ stepNumber: step.number, index: turn.last.index, text: turn.last.text }));
  draft.run = { ...run, textPieces: turn.last.index + (turn.last.text === "" ? 0 : 1) };
  addMessage(draft, {
    role: "assistant",
    text: turn.text,
    toolCalls: calls,
    asksPerson: turn.finish.reason === "needs_input",
  });
  meterTurn(draft, step.number, turn.finish.usage);
  const requested = requestCalls(draft, calls);
  draft.writes.push((tx) => {
    recordNewToolCalls(
      tx,
      caller,
      requested.map(({ call }) => call),
    );
  });
  for (const { call } of requested) draft.journal.push(toolRequested({ toolCall: toolCallSnapshot(call) }));
  finishStep(draft, step);
  askPersons(draft, requested);
}

function meterTurn(draft: Draft, stepNumber: number, { inputTokens, outputTokens }: ModelFinish["usage"]): void {
  const { caller, run } = draft;
  const lines = turnUsage(run.model, inputTokens, outputTokens);
  const usage = priceUsage(lines);
  draft.writes.push((tx) => {
    recordNewUsage(tx, caller, {
      key: `run:${run.id}:step:${stepNumber}`,
      lines,
      runId: run.id,
      agentKey: run.agentKey,
    });
  });
  spend(draft, usage);
  draft.journal.push(usageRecorded({ usage: usage.map(usageSnapshot) }));
}

/** Run options fill in the params of the same name that the model left out and that the tool has. */
function withRunOptions(run: RunRow, { name, params }: Pick<ModelToolCall, "name" | "params">): unknown {
  const { topK } = run.options as RunOptions;
  const properties = findTool(name)?.paramsSchema["properties"];
  const takesTopK = typeof properties === "object" && properties !== null && "topK" in properties;
  return topK !== undefined && takesTopK ? { topK, ...(params as object) } : params;
}

interface RequestedCall {
  readonly tool: Tool;
  readonly call: ToolCall;
}

/** Records the intents. What cannot be called is told to the model instead, which may do better in its next turn. */
function requestCalls(draft: Draft, calls: readonly MessageToolCall[]): RequestedCall[] {
  const { caller, run, version } = draft;
  return calls.flatMap((asked): RequestedCall[] => {
    try {
      const tool = version.tools.includes(asked.name) ? findTool(asked.name) : undefined;
      if (!tool) throw errors.AGENT_TOOL_NOT_ALLOWED({ details: { tool: asked.name } });
      const call = makeToolCall(caller, { ...asked, tool, runId: run.id, agentKey: run.agentKey });
      draft.calls.set(call.id, call);
      return [{ tool, call }];
    } catch (error) {
      if (!(error instanceof AppError) || error.kind === "internal") throw error;
      const text = JSON.stringify({ error: { code: error.code, message: error.message } });
      addMessage(draft, { role: "tool", text, toolCallId: asked.id });
      return [];
    }
  });
}

/** Asks for the approvals that calls need, in the commit that requests them. */
function askPersons({ caller, run, approvals, journal }: Draft, requested: readonly RequestedCall[]): void {
  const costEstimate = estimateCost(TOOL_CALL_USAGE);
  for (const { tool, call } of requested.filter(({ tool }) => tool.approval === "ALWAYS")) {
    approvals.set(call.id, { status: "PENDING", reason: null });
    journal.push((tx) => requestToolApproval(tx, caller, { tool, call, runId: run.id, costEstimate }));
  }
}
