import { estimateCost, recordUsage } from "@sba/billing/index";
import { requestToolCall, type Tool, type ToolCall } from "@sba/integrations/index";
import type { Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { AppError } from "@sba/platform/errors";
import { appendEvents } from "@sba/platform/events";
import type { AgentVersion, Run as RunRow } from "@sba/platform/generated/prisma/client";
import { newId } from "@sba/platform/ids";
import { requestToolApproval } from "../approval/approval.ts";
import { errors } from "../errors.ts";
import { runStream, toolRequested, usageRecorded } from "../events.ts";
import { getModel, type ModelEvent, type ModelFinish, type ModelTool, type ModelToolCall } from "../model/index.ts";
import { affordableTokens, spend, TOOL_CALL_USAGE, turnUsage } from "../run/budget.ts";
import type { Work } from "../run/plan-next.ts";
import type { RunOptions } from "../run/run.ts";
import { usageSnapshot } from "../run/usage.ts";
import { appendMessage, toModelMessages, type MessageToolCall } from "../thread/message.ts";
import { findTool } from "../tool/index.ts";
import { toolCallSnapshot } from "./tool-turn.ts";
import { finishStep } from "./step.ts";
import { openTokenWriter, type TokenWriter } from "./token-writer.ts";

type ModelWork = Extract<Work, { kind: "model" }>;

/** What a model said in one turn; its text is already in the journal. */
export interface ModelTurn {
  readonly text: string;
  readonly calls: readonly ModelToolCall[];
  readonly finish: ModelFinish;
  /** The names of the tools that the agent's version allows. */
  readonly allowedTools: readonly string[];
}

const MAX_OUTPUT_TOKENS = 4_096;

/** Lets the model speak, streaming its text to readers. @throws AGENT_MODEL_..., BILLING_BUDGET_EXHAUSTED */
export async function takeModelTurn(
  caller: Caller,
  { run, step, history }: ModelWork,
  signal: AbortSignal,
): Promise<ModelTurn> {
  const { version, firstIndex } = await withTenant(caller, (tx) => readTurn(tx, run));
  const request = {
    model: run.model,
    instructions: instructionsOf(version, run.options as RunOptions),
    messages: toModelMessages(history),
    tools: toolsOf(version),
  };
  // One token a byte is more than any tokenizer makes of a text.
  const maxOutputTokens = affordableTokens(run, Buffer.byteLength(JSON.stringify(request)), MAX_OUTPUT_TOKENS);
  const writer = openTokenWriter(run, step.number, firstIndex);
  try {
    const events = getModel(run.model).streamTurn({ ...request, maxOutputTokens }, signal);
    const turn = await collectTurn(events, writer);
    await writer.drain();
    return { ...turn, allowedTools: version.tools };
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

async function collectTurn(
  events: AsyncIterable<ModelEvent>,
  writer: TokenWriter,
): Promise<Omit<ModelTurn, "allowedTools">> {
  let text = "";
  let finish: ModelFinish | undefined;
  const calls: ModelToolCall[] = [];
  for await (const event of events) {
    if (event.type === "text") {
      const piece = storableText(event.text);
      text += piece;
      writer.write(piece);
    } else if (event.type === "toolCall") calls.push(event);
    else finish = event;
  }
  if (!finish) throw errors.AGENT_MODEL_INTERRUPTED();
  return { text, calls, finish };
}

interface TurnState {
  readonly version: AgentVersion;
  readonly firstIndex: number;
}

async function readTurn(tx: Tx, run: RunRow): Promise<TurnState> {
  const [version, pieces] = await Promise.all([
    tx.sql<AgentVersion>`SELECT * FROM agent.agent_version WHERE id = ${run.agentVersionId}`,
    tx.sql<{ count: number }>`
      SELECT count(*)::int AS count FROM platform.event WHERE stream = ${runStream(run.id)} AND type = 'agent.run.tokenDelta'`,
  ]);
  return { version: version[0]!, firstIndex: pieces[0]!.count };
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
export async function commitModelTurn(
  tx: Tx,
  caller: Caller,
  run: RunRow,
  { step }: ModelWork,
  turn: ModelTurn,
): Promise<void> {
  const { inputTokens, outputTokens } = turn.finish.usage;
  const calls = turn.calls.map((call) => ({ id: newId(), name: call.name, params: withRunOptions(run, call) }));
  // What does not wait for another's answer is sent together, in order: one round trip.
  const [usage, finished] = await Promise.all([
    recordUsage(tx, caller, {
      key: `run:${run.id}:step:${step.number}`,
      lines: turnUsage(run.model, inputTokens, outputTokens),
      runId: run.id,
      agentKey: run.agentKey,
    }),
    finishStep(tx, step),
    appendMessage(tx, caller, {
      runId: run.id,
      role: "assistant",
      text: turn.text,
      toolCalls: calls,
      asksPerson: turn.finish.reason === "needs_input",
    }),
  ]);
  const [requested] = await Promise.all([
    requestCalls(tx, caller, run, { calls, allowedTools: turn.allowedTools }),
    spend(tx, run.id, usage),
  ]);
  await appendEvents(tx, caller, runStream(run.id), [
    usageRecorded({ usage: usage.map(usageSnapshot) }),
    ...requested.map(({ call }) => toolRequested({ toolCall: toolCallSnapshot(call) })),
    finished,
  ]);
  const costEstimate = estimateCost(TOOL_CALL_USAGE);
  for (const { tool, call } of requested.filter(({ tool }) => tool.approval === "ALWAYS")) {
    await requestToolApproval(tx, caller, { tool, call, runId: run.id, costEstimate });
  }
}

/** Run options fill in the params of the same name that the model left out and that the tool has. */
function withRunOptions(run: RunRow, { name, params }: ModelToolCall): unknown {
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
async function requestCalls(
  tx: Tx,
  caller: Caller,
  run: RunRow,
  { calls, allowedTools }: { readonly calls: readonly MessageToolCall[]; readonly allowedTools: readonly string[] },
): Promise<RequestedCall[]> {
  const requested: RequestedCall[] = [];
  for (const call of calls) {
    try {
      const tool = allowedTools.includes(call.name) ? findTool(call.name) : undefined;
      if (!tool) throw errors.AGENT_TOOL_NOT_ALLOWED({ details: { tool: call.name } });
      requested.push({
        tool,
        call: await requestToolCall(tx, caller, { ...call, tool, runId: run.id, agentKey: run.agentKey }),
      });
    } catch (error) {
      if (!(error instanceof AppError) || error.kind === "internal") throw error;
      const text = JSON.stringify({ error: { code: error.code, message: error.message } });
      await appendMessage(tx, caller, { runId: run.id, role: "tool", text, toolCallId: call.id });
    }
  }
  return requested;
}
