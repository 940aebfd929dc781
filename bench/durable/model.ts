import type { ModelEvent, ModelFinish, ModelProvider, ModelRequest } from "@sba/agent/model/model";

/**
 * A model that costs nothing: it says 50 tokens at once and asks for a tool, and ends when that has answered. What a run then
 * costs is the platform's.
 */

export const SCRIPTED_MODEL = "scripted";
export const TOKENS = Array.from({ length: 50 }, (_, index) => `token${index} `);
/** A prompt that begins so has the tool called that a person approves first. */
export const APPROVAL_PROMPT = "approve";

export const scriptedProvider: ModelProvider = {
  name: "scripted",
  serves: (model) => model === SCRIPTED_MODEL,
  async *streamTurn(request): AsyncGenerator<ModelEvent, void, undefined> {
    const hasAnswer = request.messages.at(-1)?.role === "tool";
    if (hasAnswer) {
      yield { type: "text", text: "done" };
      yield finish("stop", 1);
      return;
    }
    for (const text of TOKENS) yield { type: "text", text };
    yield { type: "toolCall", id: "call-1", ...toolFor(request) };
    yield finish("tool_calls", TOKENS.length);
  },
};

function toolFor({ messages }: ModelRequest): { readonly name: string; readonly params: unknown } {
  const prompt = messages.findLast(({ role }) => role === "user");
  const asksFirst = prompt?.role === "user" && prompt.text.startsWith(APPROVAL_PROMPT);
  return asksFirst
    ? { name: "task.create", params: { title: "Order a fan" } }
    : { name: "memory.read", params: { key: "bench" } };
}

function finish(reason: ModelFinish["reason"], outputTokens: number): ModelFinish {
  return { type: "finish", reason, usage: { inputTokens: 100, outputTokens, isEstimated: false } };
}
