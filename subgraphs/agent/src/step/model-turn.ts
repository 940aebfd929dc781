import { estimateCost, priceUsage, recordNewUsage, type MeteredLine } from "@sba/billing/index";
import { makeToolCall, recordNewToolCalls, type Tool, type ToolCall } from "@sba/integrations/index";
import { AppError } from "@sba/platform/errors";
import type { AgentVersion, Run as RunRow } from "@sba/platform/generated/prisma/client";
import { newId } from "@sba/platform/ids";
import { isAsPinned } from "../agent/version.ts";
import { requestToolApproval } from "../approval/approval.ts";
import { errors } from "../errors.ts";
import { tokenDelta, toolRequested, usageRecorded } from "../events.ts";
import {
  callModel,
  resolveModelName,
  type BilledAttempt,
  type ModelAnswer,
  type ModelChoice,
  type ModelTool,
  type ModelToolCall,
} from "../model/index.ts";
import { affordableTokens, exhausted, spend, TOOL_CALL_USAGE, turnUsage } from "../run/budget.ts";
import type { Work } from "../run/plan-next.ts";
import type { RunOptions } from "../run/run.ts";
import { addMessage, type Draft, type Session } from "../run/session.ts";
import { usageSnapshot } from "../run/usage.ts";
import { toModelMessages, type MessageToolCall } from "../thread/message.ts";
import { findTool } from "../tool/index.ts";
import { toolCallSnapshot } from "./tool-turn.ts";
import { finishStep } from "./step.ts";
import { openTokenWriter, type LastPiece } from "./token-writer.ts";

type ModelWork = Extract<Work, { kind: "model" }>;

/** What a model said in one turn; all of its text but the last piece is already in the journal. */
export interface ModelTurn {
  readonly answer: ModelAnswer;
  readonly last: LastPiece;
  /** What it asks for, under the ids that its calls have from now on. */
  readonly calls: readonly ModelToolCall[];
}

const MAX_OUTPUT_TOKENS = 4_096;

/** Lets the model speak, streaming its text to readers. @throws AGENT_MODEL_..., BILLING_BUDGET_EXHAUSTED */
export async function takeModelTurn(
  { caller, run, version, history }: Session,
  { step, billed }: ModelWork,
  signal: AbortSignal,
): Promise<ModelTurn> {
  const request = {
    instructions: instructionsOf(version, run.options as RunOptions),
    messages: toModelMessages(history),
    tools: toolsOf(run, version),
  };
  const { answerCacheSeconds } = version;
  const call = {
    request,
    models: affordableModels(run, version, request),
    ...(answerCacheSeconds === null ? {} : { answerCacheSeconds }),
  };
  const writer = openTokenWriter(run, step.number, run.textPieces);
  const hooks = { onText: writer.write, onBilled: (attempt: BilledAttempt) => billed.push(attempt) };
  try {
    const answer = await callModel(caller, call, hooks, signal);
    const calls = answer.toolCalls.map((asked) => ({ ...asked, id: newId() }));
    return { answer, calls, last: await writer.close() };
  } catch (error) {
    // What readers have been shown stays; nothing of this attempt may come after what is decided now.
    await writer.discard();
    throw error;
  }
}

/** The run's model and the fallbacks that it can pay for. @throws BILLING_BUDGET_EXHAUSTED when not even its own model */
function affordableModels(
  run: RunRow,
  { fallbackModels }: AgentVersion,
  request: object,
): readonly [ModelChoice, ...ModelChoice[]] {
  // One token a byte is more than any tokenizer makes of a text.
  const inputTokens = Buffer.byteLength(JSON.stringify(request));
  const choose = (model: string): ModelChoice => ({
    model,
    maxOutputTokens: affordableTokens(run, model, inputTokens, MAX_OUTPUT_TOKENS),
  });
  const own = choose(run.model);
  if (own.maxOutputTokens === 0) throw exhausted(run);
  const others = fallbackModels.map(resolveModelName).filter((model) => model !== run.model);
  return [own, ...others.map(choose).filter(({ maxOutputTokens }) => maxOutputTokens > 0)];
}

/** The version's tools that are what they were when the run was accepted: it was made with no other in mind. */
function toolsOf(run: RunRow, version: AgentVersion): ModelTool[] {
  return version.tools.flatMap((name) => {
    const tool = findTool(name);
    if (!tool || !isAsPinned(run, tool)) return [];
    return [{ name: tool.name, description: tool.description, paramsSchema: tool.paramsSchema }];
  });
}

function instructionsOf(version: AgentVersion, { locale }: RunOptions): string {
  return locale === undefined
    ? version.instructions
    : `${version.instructions}\nAnswer in the language of the locale ${locale}.`;
}

/** Commits a model turn: its message, meter, the tool calls that it asks for with their approvals, and its events. */
export function commitModelTurn(draft: Draft, { step, billed }: ModelWork, turn: ModelTurn): void {
  const { caller, run } = draft;
  const calls = turn.calls.map(({ id, ...call }) => ({ id, name: call.name, params: withRunOptions(run, call) }));
  if (turn.last.text !== "")
    draft.journal.push(tokenDelta({ stepNumber: step.number, index: turn.last.index, text: turn.last.text }));
  draft.run = { ...run, textPieces: turn.last.index + (turn.last.text === "" ? 0 : 1) };
  addMessage(draft, {
    role: "assistant",
    text: turn.answer.text,
    toolCalls: calls,
    asksPerson: turn.answer.reason === "needs_input",
  });
  meterAnswer(draft, step.number, turn.answer);
  meterFailedAttempts(draft, { step, billed });
  const requested = requestCalls(draft, calls);
  draft.writes.push((tx) => {
    recordNewToolCalls(
      tx,
      caller,
      requested.map(({ call }) => call),
    );
  });
  for (const { call } of requested) draft.journal.push(toolRequested({ toolCall: toolCallSnapshot(call) }));
  finishStep(draft, { ...step, model: turn.answer.model });
  askPersons(draft, requested);
}

function meterAnswer(draft: Draft, stepNumber: number, { model, usage, isCached }: ModelAnswer): void {
  const lines = turnUsage(model, usage.inputTokens, usage.outputTokens);
  if (isCached) lines.push({ meter: "model.cachedAnswers", quantity: 1n });
  meter(draft, `run:${draft.run.id}:step:${stepNumber}`, lines);
}

/** Charges what providers billed for attempts of a step that came to nothing, each under the model that was asked. */
export function meterFailedAttempts(draft: Draft, { step, billed }: Pick<ModelWork, "step" | "billed">): void {
  const { id, stepAttempt } = draft.run;
  for (const [index, { model, usage }] of billed.entries()) {
    const key = `run:${id}:step:${step.number}:attempt:${stepAttempt}.${index + 1}`;
    meter(draft, key, turnUsage(model, usage.inputTokens, usage.outputTokens));
  }
}

function meter(draft: Draft, key: string, lines: readonly MeteredLine[]): void {
  const { id: runId, agentKey, priceListVersion } = draft.run;
  const usage = priceUsage(lines, priceListVersion);
  draft.writes.push((tx) => {
    recordNewUsage(tx, draft.caller, { key, lines, runId, agentKey, priceListVersion });
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
      if (!isAsPinned(run, tool)) throw errors.AGENT_TOOL_CHANGED({ details: { tool: asked.name } });
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
  const costEstimate = estimateCost(TOOL_CALL_USAGE, run.priceListVersion);
  for (const { tool, call } of requested.filter(({ tool }) => tool.approval === "ALWAYS")) {
    approvals.set(call.id, { status: "PENDING", reason: null });
    journal.push((tx) => requestToolApproval(tx, caller, { tool, call, runId: run.id, costEstimate }));
  }
}
