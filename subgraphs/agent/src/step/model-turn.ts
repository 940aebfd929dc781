import { priceUsage, recordNewUsage, type MeteredLine } from "@sba/billing/index";
import { makeToolCall, recordNewToolCalls, type Tool, type ToolCall } from "@sba/integrations/index";
import { AppError } from "@sba/platform/errors";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { newId } from "@sba/platform/ids";
import { isAsPinned, isPinned } from "../agent/version.ts";
import { errors } from "../errors.ts";
import { tokenDelta, toolRequested, usageRecorded } from "../events.ts";
import { callModel, type BilledAttempt, type ModelAnswer, type ModelToolCall } from "../model/index.ts";
import { askFirst } from "../run/ask.ts";
import { spend } from "../run/budget.ts";
import type { Work } from "../run/plan-next.ts";
import type { RunOptions } from "../run/run.ts";
import { addMessage, type Draft, type Session } from "../run/session.ts";
import { usageSnapshot } from "../run/usage.ts";
import { openCalls, type MessageToolCall } from "../thread/message.ts";
import { findTool } from "../tool/index.ts";
import { chargedLines, payFor, prepareTurn, type MadeSummary, type PaidAttempt } from "./model-request.ts";
import { toolCallSnapshot } from "./tool-turn.ts";
import { finishStep } from "./step.ts";
import { openTokenWriter, type LastPiece } from "./token-writer.ts";

type ModelWork = Extract<Work, { kind: "model" }>;

/** What a model said in one turn; all of its text but the last piece is already in the journal. */
export interface ModelTurn {
  readonly answer: ModelAnswer;
  /** What the answer costs at the most. */
  readonly reservedMicros: bigint;
  readonly last: LastPiece;
  /** What it asks for, under the ids that its calls have from now on. */
  readonly calls: readonly ModelToolCall[];
  /** Made before it, when the thread had outgrown the model's window. */
  readonly summary: MadeSummary | undefined;
}

/** Lets the model speak, streaming its text to readers. @throws AGENT_MODEL_..., BILLING_BUDGET_EXHAUSTED */
export async function takeModelTurn(
  session: Session,
  { step, billed }: ModelWork,
  signal: AbortSignal,
): Promise<ModelTurn> {
  const pay = (attempt: PaidAttempt): void => void billed.push(attempt);
  const { call, summary } = await prepareTurn(session, pay, signal);
  const writer = openTokenWriter(session.run, step.number, session.run.textPieces);
  try {
    const onBilled = (attempt: BilledAttempt): void => {
      pay(payFor(call.models, attempt));
    };
    const answer = await callModel(session.caller, call, { onText: writer.write, onBilled }, signal);
    const calls = answer.toolCalls.map((asked) => ({ ...asked, id: newId() }));
    const { reservedMicros } = payFor(call.models, answer);
    return { answer, reservedMicros, calls, summary, last: await writer.close() };
  } catch (error) {
    // The next attempt makes it anew; this one is paid for all the same.
    if (summary) pay(summary.paid);
    // What readers have been shown stays; nothing of this attempt may come after what is decided now.
    await writer.discard();
    throw error;
  }
}

/** Commits a model turn: its message, meter, the tool calls that it asks for with their approvals, and its events. */
export function commitModelTurn(draft: Draft, { step, billed }: ModelWork, turn: ModelTurn): void {
  const { run } = draft;
  const calls = turn.calls.map(({ id, ...call }) => ({ id, name: call.name, params: withRunOptions(run, call) }));
  if (turn.last.text !== "")
    draft.journal.push(tokenDelta({ stepNumber: step.number, index: turn.last.index, text: turn.last.text }));
  draft.run = { ...run, textPieces: turn.last.index + (turn.last.text === "" ? 0 : 1) };
  if (turn.summary) keepSummary(draft, step.number, turn.summary);
  addMessage(draft, {
    role: "assistant",
    text: turn.answer.text,
    toolCalls: calls,
    asksPerson: turn.answer.reason === "needs_input",
  });
  meterAnswer(draft, step.number, turn);
  meterFailedAttempts(draft, { step, billed });
  const requested = requestCalls(draft, calls);
  finishStep(draft, { ...step, model: turn.answer.model });
  // Nobody is asked about what is cancelled by now.
  if (run.status !== "CANCELLING") for (const { tool, call } of requested) askFirst(draft, tool, call);
}

/** Stores a summary and charges it. In the commit of its step, so there is one however often the step was tried. */
function keepSummary(draft: Draft, stepNumber: number, { text, paid }: MadeSummary): void {
  addMessage(draft, { role: "summary", text });
  meter(draft, `run:${draft.run.id}:step:${stepNumber}:summary`, paid);
}

function meterAnswer(draft: Draft, stepNumber: number, { answer, reservedMicros }: ModelTurn): void {
  const { model, usage, isCached } = answer;
  const key = `run:${draft.run.id}:step:${stepNumber}`;
  meter(draft, key, { model, usage, reservedMicros }, isCached ? [{ meter: "model.cachedAnswers", quantity: 1n }] : []);
}

/** Charges what providers billed for attempts of a step that came to nothing, each under the model that was asked. */
export function meterFailedAttempts(draft: Draft, { step, billed }: Pick<ModelWork, "step" | "billed">): void {
  if (billed.length === 0) return;
  const billedAttempts = draft.run.billedAttempts + 1;
  draft.run = { ...draft.run, billedAttempts };
  for (const [index, attempt] of billed.entries()) meter(draft, failedAttemptKey(draft.run, step, index), attempt);
}

/** Attempts of steps that were billed for nothing are numbered over the whole run: the number of one that was put aside is the next one's, too. */
export function failedAttemptKey(
  { id, billedAttempts }: Pick<RunRow, "id" | "billedAttempts">,
  { number }: Pick<ModelWork["step"], "number">,
  index: number,
): string {
  return `run:${id}:step:${number}:attempt:${billedAttempts}.${index + 1}`;
}

/** Charges what a model used. */
function meter(draft: Draft, key: string, paid: PaidAttempt, more: readonly MeteredLine[] = []): void {
  const { id: runId, agentKey, priceListVersion } = draft.run;
  const lines = [...chargedLines(draft, paid), ...more];
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

/** A fork goes on where the model had asked for calls that had no outcome yet: they are the fork's own to make. */
export function requestForkedCalls(draft: Draft): void {
  const asked = openCalls(draft.history, draft.run.id).filter(({ id }) => !draft.calls.has(id));
  for (const { tool, call } of requestCalls(draft, asked)) askFirst(draft, tool, call);
}

/** Records the intents. What cannot be called is told to the model instead, which may do better in its next turn. */
function requestCalls(draft: Draft, asked: readonly MessageToolCall[]): RequestedCall[] {
  const requested = makeCalls(draft, asked);
  const calls = requested.map(({ call }) => call);
  draft.writes.push((tx) => {
    recordNewToolCalls(tx, calls);
  });
  for (const call of calls) draft.journal.push(toolRequested({ toolCall: toolCallSnapshot(call) }));
  return requested;
}

function makeCalls(draft: Draft, calls: readonly MessageToolCall[]): RequestedCall[] {
  const { caller, run, version } = draft;
  return calls.flatMap((asked): RequestedCall[] => {
    try {
      const tool = version.tools.includes(asked.name) && isPinned(run, asked.name) ? findTool(asked.name) : undefined;
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
