import { setImmediate } from "node:timers/promises";
import { platformErrors } from "@sba/platform/errors";
import { planTurn, type PlannedTurn } from "./local-plan.ts";
import type { ModelEvent, ModelFinishReason, ModelProvider, ModelRequest } from "./model.ts";
import { countRequestTokens, countTokens, toolCallText } from "./tokens.ts";

/** The name of the built-in model. */
export const LOCAL_MODEL = "local";

/** The built-in model: no network, no key; it plans by rule and answers by extraction. Deterministic, and it streams. */
export const localProvider: ModelProvider = {
  name: "local",
  serves: (model) => model === LOCAL_MODEL,
  streamTurn,
};

/** Other work of the process gets its turn after this many pieces. */
const PIECES_BETWEEN_YIELDS = 8;

async function* streamTurn(request: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent, void, undefined> {
  const turn = fitInto(planTurn(request), request.maxOutputTokens);
  for (const [index, piece] of (turn.text.match(/\s*\S+\s*/g) ?? []).entries()) {
    if (index % PIECES_BETWEEN_YIELDS === 0) await setImmediate();
    if (signal.aborted) throw platformErrors.OPERATION_CANCELLED();
    yield { type: "text", text: piece };
  }
  if (signal.aborted) throw platformErrors.OPERATION_CANCELLED();
  for (const call of turn.toolCalls) yield { type: "toolCall", ...call };
  const usage = { inputTokens: countRequestTokens(request), outputTokens: outputTokens(turn), isEstimated: false };
  yield { type: "finish", reason: turn.reason, usage };
}

interface FittedTurn extends PlannedTurn {
  readonly reason: ModelFinishReason;
}

/** The turn within the tokens that it may use: tool calls that do not fit are left out, then text is cut at a word. */
function fitInto(turn: PlannedTurn, maxOutputTokens: number): FittedTurn {
  if (outputTokens(turn) <= maxOutputTokens) {
    return { ...turn, reason: turn.asksPerson ? "needs_input" : turn.toolCalls.length > 0 ? "tool_calls" : "stop" };
  }
  return { text: cutAtWord(turn.text, maxOutputTokens), toolCalls: [], asksPerson: false, reason: "length" };
}

function cutAtWord(text: string, maxTokens: number): string {
  let [kept, used] = ["", 0];
  for (const piece of text.match(/\s*\S+\s*/g) ?? []) {
    used += countTokens(piece);
    if (used > maxTokens) break;
    kept += piece;
  }
  return kept;
}

function outputTokens({ text, toolCalls }: PlannedTurn): number {
  return toolCalls.reduce((sum, call) => sum + countTokens(toolCallText(call)), countTokens(text));
}
