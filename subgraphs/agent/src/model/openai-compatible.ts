import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  APICallError,
  jsonSchema,
  streamText,
  tool,
  ToolChoiceViolationError,
  type ModelMessage as SdkMessage,
  type ToolSet,
} from "ai";
import { z } from "zod";
import { limitedFetch } from "@sba/platform/egress";
import { AppError, platformErrors } from "@sba/platform/errors";
import { openDeadline, type TurnDeadline, type TurnTimeouts } from "./deadline.ts";
import { modelErrors } from "./errors.ts";
import type {
  ModelEvent,
  ModelFinishReason,
  ModelMessage,
  ModelProvider,
  ModelRequest,
  ModelTool,
  ModelToolCall,
  ModelUsage,
} from "./model.ts";
import { PLAN_CALL, planParams } from "./plan-call.ts";
import { estimateUsage, toolCallText } from "./tokens.ts";

export interface OpenAiCompatibleOptions {
  readonly apiKey: string;
  /** Up to and including the version: `https://api.openai.com/v1`. */
  readonly baseUrl: string;
  readonly timeouts: TurnTimeouts;
}

const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** Any endpoint that speaks OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat), through the `ai` SDK. */
export function openAiCompatibleProvider({ apiKey, baseUrl, timeouts }: OpenAiCompatibleOptions): ModelProvider {
  // The clocks of a turn are our own: they count tokens, and the door's only bytes.
  const fetch = limitedFetch({
    timeoutMs: timeouts.turnMs,
    idleTimeoutMs: timeouts.turnMs,
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
    streamTurn: (request, signal, onBilled) => streamTurn({ sdk, timeouts, request, signal, onBilled }),
  };
}

type Sdk = ReturnType<typeof createOpenAICompatible>;

interface Turn {
  readonly sdk: Sdk;
  readonly timeouts: TurnTimeouts;
  readonly request: ModelRequest;
  readonly signal: AbortSignal;
  readonly onBilled: ((usage: ModelUsage) => void) | undefined;
}

async function* streamTurn(turn: Turn): AsyncGenerator<ModelEvent, void, undefined> {
  const deadline = openDeadline(turn.timeouts, turn.signal);
  const heard: Heard = { received: "", hasText: false, calls: 0 };
  try {
    yield* readTurn(turn, deadline, heard);
  } catch (thrown) {
    if (heard.usage) turn.onBilled?.(heard.usage);
    throw toModelError(thrown, turn.signal, deadline);
  } finally {
    deadline.close();
  }
}

/** What came so far. */
interface Heard {
  /** Text and tool calls, for providers that report no usage. */
  received: string;
  hasText: boolean;
  calls: number;
  /** What the model wants to ask the person. */
  question?: string;
  /** As the provider last reported it; usually once, at the end. */
  usage?: ModelUsage | undefined;
}

/** Signs of a model at work; the rest of a stream is bookkeeping. */
const SIGNS: ReadonlySet<string> = new Set([
  "text-delta",
  "reasoning-delta",
  "tool-input-start",
  "tool-input-delta",
  "tool-call",
]);

async function* readTurn(
  { sdk, request }: Turn,
  deadline: TurnDeadline,
  heard: Heard,
): AsyncGenerator<ModelEvent, void, undefined> {
  const names = new Map(request.tools.map(({ name }) => [wireName(name), name]));
  for await (const part of openStream(sdk, request, deadline.signal)) {
    if (SIGNS.has(part.type)) deadline.alive();
    switch (part.type) {
      case "text-delta":
        heard.received += part.text;
        heard.hasText = true;
        yield { type: "text", text: part.text };
        break;
      case "tool-call": {
        const name = names.get(part.toolName) ?? part.toolName;
        yield* hearCall({ id: part.toolCallId, name, params: part.input as unknown }, heard);
        break;
      }
      case "raw":
        heard.usage = reportedUsage(part.rawValue) ?? heard.usage;
        break;
      case "finish":
        yield* endTurn(request, heard, finishReason(part.finishReason));
        break;
      case "abort":
        throw platformErrors.OPERATION_CANCELLED();
      case "error":
        throw part.error;
      default: // Sources, files and the SDK's own bookkeeping: no part of a turn here.
    }
  }
}

/** A call for a tool is handed on; a question to the person is kept until it is known whether it is all that the model wants. */
function* hearCall(call: ModelToolCall, heard: Heard): Generator<ModelEvent, void, undefined> {
  heard.received += toolCallText(call);
  const question = call.name === ASK_PERSON ? askPersonParams.safeParse(call.params).data?.question : undefined;
  if (question !== undefined) {
    heard.question = question;
    return;
  }
  heard.calls += 1;
  yield { type: "toolCall", ...call };
}

/** Beside calls a question waits: their results may answer it, and the model can ask again. */
function* endTurn(
  request: ModelRequest,
  { question, calls, hasText, received, usage = estimateTurn(request, received) }: Heard,
  reason: ModelFinishReason,
): Generator<ModelEvent, void, undefined> {
  const isAsking = question !== undefined && calls === 0;
  if (isAsking) yield { type: "text", text: hasText ? `\n\n${question}` : question };
  yield { type: "finish", reason: isAsking ? "needs_input" : reason, usage };
}

/** The function by which a model ends its turn with a question. No tool has this name: theirs begin with a domain. */
const ASK_PERSON = "ask_person";

const askPersonParams = z.object({
  question: z.string().trim().min(1).describe("What to ask, in full, as the person will read it."),
});

const askPersonTool = toSdkTool({
  description:
    "Ends your turn and asks the person you work for. Only for what you cannot go on without and can find out in no other way.",
  paramsSchema: z.toJSONSchema(askPersonParams),
});

// https://platform.openai.com/docs/api-reference/chat-streaming: in the last chunk; some servers send it with each.
const usageChunk = z.object({
  usage: z.object({ prompt_tokens: z.int().min(0), completion_tokens: z.int().min(0) }),
});

function reportedUsage(chunk: unknown): ModelUsage | undefined {
  if (typeof chunk !== "object" || chunk === null || !("usage" in chunk) || chunk.usage === null) return undefined;
  const usage = usageChunk.safeParse(chunk).data?.usage;
  return usage && { inputTokens: usage.prompt_tokens, outputTokens: usage.completion_tokens, isEstimated: false };
}

function estimateTurn({ instructions, messages, tools }: ModelRequest, received: string): ModelUsage {
  return estimateUsage(JSON.stringify({ instructions, messages, tools }), received);
}

function openStream(sdk: Sdk, request: ModelRequest, signal: AbortSignal) {
  return streamText({
    model: sdk.chatModel(request.model),
    instructions: request.instructions,
    messages: toSdkMessages(request.messages),
    ...offeredTools(request),
    maxOutputTokens: request.maxOutputTokens,
    abortSignal: signal,
    // What is tried again is decided where it is known what readers have seen: a repeat in here would stream text twice.
    maxRetries: 0,
    include: { rawChunks: true },
    // By default the SDK prints errors; they arrive in the stream as well.
    onError: () => undefined,
  }).fullStream;
}

function offeredTools({ tools, purpose }: ModelRequest): { readonly tools: ToolSet; readonly toolChoice?: PlanChoice } {
  if (purpose === "plan") return { tools: { [PLAN_CALL]: planTool(tools) }, toolChoice: PLAN_CHOICE };
  const offered = Object.fromEntries(tools.map((each) => [wireName(each.name), toSdkTool(each)]));
  return { tools: purpose === "summary" ? offered : { ...offered, [ASK_PERSON]: askPersonTool } };
}

const PLAN_CHOICE = { type: "tool", toolName: PLAN_CALL } as const;
type PlanChoice = typeof PLAN_CHOICE;

function planTool(tools: readonly ModelTool[]): ToolSet[string] {
  return toSdkTool({
    description: "Says which steps you would take. Nothing is done by it.",
    paramsSchema: z.toJSONSchema(planParams(tools), { io: "input" }),
  });
}

function toSdkTool({ description, paramsSchema }: Omit<ModelTool, "name">): ToolSet[string] {
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

/** What went wrong, in our terms. The provider's own words stay in `cause`: they may quote the prompt or the key. */
function toModelError(thrown: unknown, signal: AbortSignal, deadline: TurnDeadline): AppError {
  if (signal.aborted) return platformErrors.OPERATION_CANCELLED({ cause: thrown });
  const expired = deadline.expired();
  if (expired) return expired;
  // It did not call the one function that it was to call.
  if (ToolChoiceViolationError.isInstance(thrown)) return modelErrors.AGENT_PLAN_INVALID({ cause: thrown });
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

/** Retry-After, in seconds or as a date (RFC 9110 section 10.2.3). */
function retryAfter(header: string | undefined): number {
  const seconds = header === undefined ? Number.NaN : Number(header);
  const waitMs = Number.isNaN(seconds) ? Date.parse(header ?? "") - Date.now() : seconds * 1_000;
  return Number.isNaN(waitMs) || waitMs < 0 ? DEFAULT_RETRY_AFTER_MS : Math.min(waitMs, MAX_RETRY_AFTER_MS);
}
