import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, jsonSchema, streamText, tool, type ModelMessage as SdkMessage, type ToolSet } from "ai";
import { limitedFetch } from "@sba/platform/egress";
import { AppError, platformErrors } from "@sba/platform/errors";
import { modelErrors } from "./errors.ts";
import type {
  ModelEvent,
  ModelFinishReason,
  ModelMessage,
  ModelProvider,
  ModelRequest,
  ModelTool,
  ModelUsage,
} from "./model.ts";
import { estimateUsage, toolCallText } from "./tokens.ts";

export interface OpenAiCompatibleOptions {
  readonly apiKey: string;
  /** Up to and including the version: `https://api.openai.com/v1`. */
  readonly baseUrl: string;
  /** The longest silence that is waited for, before the first byte and between two: 60 s. */
  readonly silenceTimeoutMs?: number;
}

const SILENCE_TIMEOUT_MS = 60_000;
const TURN_TIMEOUT_MS = 600_000;
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** Any endpoint that speaks OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat), through the `ai` SDK. */
export function openAiCompatibleProvider({
  apiKey,
  baseUrl,
  silenceTimeoutMs = SILENCE_TIMEOUT_MS,
}: OpenAiCompatibleOptions): ModelProvider {
  const fetch = limitedFetch({
    timeoutMs: TURN_TIMEOUT_MS,
    idleTimeoutMs: silenceTimeoutMs,
    maxBytes: MAX_ANSWER_BYTES,
  });
  const sdk = createOpenAICompatible({
    name: "openai-compatible",
    apiKey,
    baseURL: baseUrl,
    includeUsage: true,
    fetch,
  });
  return {
    name: "openai-compatible",
    serves: () => true,
    streamTurn: (request, signal) => streamTurn(sdk, request, signal),
  };
}

type Sdk = ReturnType<typeof createOpenAICompatible>;

async function* streamTurn(
  sdk: Sdk,
  request: ModelRequest,
  signal: AbortSignal,
): AsyncGenerator<ModelEvent, void, undefined> {
  const names = new Map(request.tools.map(({ name }) => [wireName(name), name]));
  let received = "";
  try {
    for await (const part of openStream(sdk, request, signal)) {
      switch (part.type) {
        case "text-delta":
          received += part.text;
          yield { type: "text", text: part.text };
          break;
        case "tool-call": {
          const call = {
            id: part.toolCallId,
            name: names.get(part.toolName) ?? part.toolName,
            params: part.input as unknown,
          };
          received += toolCallText(call);
          yield { type: "toolCall", ...call };
          break;
        }
        case "finish":
          yield {
            type: "finish",
            reason: finishReason(part.finishReason),
            usage: usageOf(request, received, part.totalUsage),
          };
          break;
        case "abort":
          throw platformErrors.OPERATION_CANCELLED();
        case "error":
          throw part.error;
        default: // Reasoning, sources, files and the SDK's own bookkeeping: no part of a turn here.
      }
    }
  } catch (thrown) {
    throw toModelError(thrown, signal);
  }
}

function openStream(sdk: Sdk, request: ModelRequest, signal: AbortSignal) {
  return streamText({
    model: sdk.chatModel(request.model),
    instructions: request.instructions,
    messages: toSdkMessages(request.messages),
    tools: Object.fromEntries(request.tools.map((each) => [wireName(each.name), toSdkTool(each)])),
    maxOutputTokens: request.maxOutputTokens,
    abortSignal: signal,
    // The loop decides what is tried again: a repeat in here would stream text twice.
    maxRetries: 0,
    // By default the SDK prints errors; they arrive in the stream as well.
    onError: () => undefined,
  }).fullStream;
}

function toSdkTool({ description, paramsSchema }: ModelTool): ToolSet[string] {
  return tool({ description, inputSchema: jsonSchema<unknown>(paramsSchema) });
}

/** OpenAI takes letters, digits, _ and - in a function's name, no dots. */
function wireName(name: string): string {
  return name.replaceAll(".", "__");
}

/** What a call is answered with that a run left open when it ended: providers refuse a call without an answer. */
const NO_RESULT = JSON.stringify({
  error: { code: "AGENT_TOOL_CALL_UNANSWERED", message: "The run ended before this call had a result." },
});

function toSdkMessages(messages: readonly ModelMessage[]): SdkMessage[] {
  const results = new Map(
    messages.flatMap((message) => (message.role === "tool" ? [[message.toolCallId, message.text] as const] : [])),
  );
  return messages.flatMap((message): SdkMessage[] => {
    if (message.role === "user") return [{ role: "user", content: message.text }];
    // Results go right behind the call that they answer, below; one whose call is out of sight is left out.
    return message.role === "tool" ? [] : toSdkTurn(message, results);
  });
}

function toSdkTurn(
  { text, toolCalls }: Extract<ModelMessage, { role: "assistant" }>,
  results: ReadonlyMap<string, string>,
): SdkMessage[] {
  const spoken = text === "" ? [] : [{ type: "text" as const, text }];
  const calls = toolCalls.map(({ id, name, params }) => ({
    type: "tool-call" as const,
    toolCallId: id,
    toolName: wireName(name),
    input: params,
  }));
  const content = [...spoken, ...calls];
  if (content.length === 0) return [];
  if (calls.length === 0) return [{ role: "assistant", content }];
  const answers = calls.map(({ toolCallId, toolName }) => ({
    type: "tool-result" as const,
    toolCallId,
    toolName,
    output: { type: "text" as const, value: results.get(toolCallId) ?? NO_RESULT },
  }));
  return [
    { role: "assistant", content },
    { role: "tool", content: answers },
  ];
}

/** @throws AGENT_MODEL_REFUSED, AGENT_MODEL_UNAVAILABLE for ends that are none. */
function finishReason(reason: string): ModelFinishReason {
  switch (reason) {
    case "tool-calls":
      return "tool_calls";
    case "length":
      return "length";
    case "content-filter":
      throw modelErrors.AGENT_MODEL_REFUSED({ retryable: false });
    // The connection ended without the provider saying that it was done.
    case "interrupted":
    case "error":
      throw modelErrors.AGENT_MODEL_UNAVAILABLE();
    default:
      return "stop";
  }
}

function usageOf(
  request: ModelRequest,
  received: string,
  {
    inputTokens,
    outputTokens,
  }: { readonly inputTokens: number | undefined; readonly outputTokens: number | undefined },
): ModelUsage {
  if (inputTokens !== undefined && outputTokens !== undefined) return { inputTokens, outputTokens, isEstimated: false };
  const { instructions, messages, tools } = request;
  return estimateUsage(JSON.stringify({ instructions, messages, tools }), received);
}

/** What went wrong, in our terms. The provider's own words stay in `cause`: they may quote the prompt or the key. */
function toModelError(thrown: unknown, signal: AbortSignal): AppError {
  if (signal.aborted) return platformErrors.OPERATION_CANCELLED({ cause: thrown });
  const ours = findAppError(thrown);
  if (ours?.code.startsWith("AGENT_MODEL_")) return ours;
  if (ours?.code === platformErrors.EGRESS_TIMED_OUT().code)
    return modelErrors.AGENT_MODEL_TIMED_OUT({ cause: thrown });
  if (!APICallError.isInstance(thrown) || thrown.statusCode === undefined)
    return modelErrors.AGENT_MODEL_UNAVAILABLE({ cause: thrown });
  return ofStatus(thrown, thrown.statusCode);
}

/** The SDK wraps what its fetch threw. */
function findAppError(thrown: unknown): AppError | undefined {
  if (thrown instanceof AppError) return thrown;
  return thrown instanceof Error && thrown.cause !== undefined ? findAppError(thrown.cause) : undefined;
}

function ofStatus(cause: APICallError, status: number): AppError {
  const details = { status };
  if (status === 429) {
    const retryAfterMs = retryAfter(cause.responseHeaders?.["retry-after"]);
    return modelErrors.AGENT_MODEL_RATE_LIMITED({ cause, details, retryAfterMs });
  }
  if (status === 401 || status === 403)
    return modelErrors.AGENT_MODEL_CREDENTIALS_REFUSED({ cause, details, retryable: false });
  // 200 with something that is no stream, 408 and 5xx pass; any other 4xx would be refused again.
  if (status < 400 || status === 408 || status >= 500) return modelErrors.AGENT_MODEL_UNAVAILABLE({ cause, details });
  return modelErrors.AGENT_MODEL_REQUEST_REFUSED({ cause, details, retryable: false });
}

const DEFAULT_RETRY_AFTER_MS = 5_000;
const MAX_RETRY_AFTER_MS = 60_000;

/** Retry-After in seconds (RFC 9110 section 10.2.3; the date form is rare among these providers and means the default). */
function retryAfter(header: string | undefined): number {
  const seconds = Number(header);
  if (header === undefined || !Number.isFinite(seconds) || seconds < 0) return DEFAULT_RETRY_AFTER_MS;
  return Math.min(seconds * 1_000, MAX_RETRY_AFTER_MS);
}
