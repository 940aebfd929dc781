import type { ModelRequest, ModelToolCall, ModelUsage } from "./model.ts";

// A word of any script, or one other character that is not white space: the rule by which the built-in model is metered.
const TOKEN = /[\p{L}\p{M}\p{N}]+|[^\p{L}\p{M}\p{N}\s]/gu;

/** Tokens of the built-in model: each run of letters and digits is one, and so is each other visible character. */
export function countTokens(text: string): number {
  return text.match(TOKEN)?.length ?? 0;
}

/** What a turn of the built-in model takes in: instructions, messages with their tool calls, and the offered tools. */
export function countRequestTokens({ instructions, messages, tools }: ModelRequest): number {
  const texts = [
    instructions,
    ...messages.flatMap((message) => [
      message.text,
      ...(message.role === "assistant" ? message.toolCalls.map(toolCallText) : []),
    ]),
    ...tools.map(({ name, description, paramsSchema }) => `${name} ${description} ${JSON.stringify(paramsSchema)}`),
  ];
  return texts.reduce((sum, text) => sum + countTokens(text), 0);
}

/** A tool call as it is counted: its name and its parameters as JSON. */
export function toolCallText({ name, params }: Pick<ModelToolCall, "name" | "params">): string {
  return `${name} ${JSON.stringify(params)}`;
}

// Four bytes a token is the usual mean for English (https://help.openai.com/en/articles/4936856).
const BYTES_PER_TOKEN = 4;

/** For providers that report no usage: bytes of what was sent and received, at four bytes a token, rounded up. */
export function estimateUsage(inputText: string, outputText: string): ModelUsage {
  const tokens = (text: string): number => Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN);
  return { inputTokens: tokens(inputText), outputTokens: tokens(outputText), isEstimated: true };
}
