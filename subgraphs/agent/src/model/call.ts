import { setTimeout as delay } from "node:timers/promises";
import { ExponentialBackoff } from "cockatiel";
import type { TenantScope } from "@sba/platform/caller";
import type { AppError } from "@sba/platform/errors";
import { ensureAppError, platformErrors } from "@sba/platform/errors";
import { logger } from "@sba/platform/log";
import { errors } from "../errors.ts";
import { cacheKeyOf, findAnswer, keepAnswer } from "./cached-answer.ts";
import type { ModelEvent, ModelFinishReason, ModelRequest, ModelToolCall, ModelUsage } from "./model.ts";
import { modelErrors } from "./errors.ts";
import { isLeftAlone } from "./guard.ts";
import { getProvider } from "./registry.ts";

/**
 * How a run asks a model: a cached answer where the agent allows it, else its model and then its fallbacks, each tried again
 * for a moment. All of that only until a reader has seen text: from then on a failure is the step's.
 */

export interface ModelCall {
  readonly request: Omit<ModelRequest, "model" | "maxOutputTokens">;
  /** The run's own model, then those that answer when it cannot. */
  readonly models: readonly [ModelChoice, ...ModelChoice[]];
  /** How long an answer may be given again to the same request; absent, each is asked for. */
  readonly answerCacheSeconds?: number;
}

export interface ModelChoice {
  /** As `resolveModelName` gives it. */
  readonly model: string;
  /** What an answer of this model may have at most; models have prices of their own. */
  readonly maxOutputTokens: number;
}

export interface ModelCallHooks {
  /** Text as it comes; what readers are shown. Absent when nobody is shown it: then there is never too much to try again. */
  readonly onText?: (piece: string) => void;
  /** An attempt that came to nothing and that its provider billed. Heard also when the call fails as a whole. */
  readonly onBilled: (attempt: BilledAttempt) => void;
}

export interface BilledAttempt {
  readonly model: string;
  readonly usage: ModelUsage;
}

export interface ModelAnswer {
  readonly text: string;
  readonly toolCalls: readonly ModelToolCall[];
  readonly reason: ModelFinishReason;
  /** Of the attempt that answered; zero for a cached answer. */
  readonly usage: ModelUsage;
  /** Which model answered: its usage is billed under this name. */
  readonly model: string;
  /** True when no provider was asked. */
  readonly isCached: boolean;
}

/** Of one model in one call, the first one included. */
const MAX_ATTEMPTS = 3;
const BACKOFF = { initialDelay: 250, maxDelay: 4_000 };
/** A longer wait is not spent here: the run is put aside, and no worker is held. */
const MAX_WAIT_MS = 5_000;

/**
 * Asks for one turn. Callers know by `hooks.onText` what was shown when it throws.
 * @throws AGENT_MODEL_..., with `retryAfterMs` when it is known; OPERATION_CANCELLED when the signal was aborted
 */
export async function callModel(
  scope: TenantScope,
  call: ModelCall,
  hooks: ModelCallHooks,
  signal: AbortSignal,
): Promise<ModelAnswer> {
  const [choice] = call.models;
  if (call.answerCacheSeconds === undefined) return askInTurn(call, hooks, signal);
  const key = cacheKeyOf(scope, { ...call.request, ...choice });
  const cached = await findAnswer(scope, key, choice.maxOutputTokens);
  if (cached) return cached.replay((piece) => hooks.onText?.(piece), signal);
  const answer = await askInTurn(call, hooks, signal);
  // A fallback's answer is for now: it would be given in the model's name when that one is back.
  if (answer.model === choice.model) await keepAnswer(scope, key, answer, call.answerCacheSeconds);
  return answer;
}

interface Shown {
  text: boolean;
}

async function askInTurn(call: ModelCall, hooks: ModelCallHooks, signal: AbortSignal): Promise<ModelAnswer> {
  const shown: Shown = { text: false };
  let first: AppError | undefined;
  for (const choice of call.models) {
    try {
      return await askModel({ ...call.request, ...choice }, { hooks, shown, signal });
    } catch (thrown) {
      const error = ensureAppError(thrown);
      if (shown.text || !IS_THE_MODELS.has(error.code)) throw error;
      first ??= error;
      logger.warn({ "model.name": choice.model, "error.code": error.code }, "model did not answer");
    }
  }
  throw first!;
}

/** Failures that another model may not have. What a model refuses by its rules is not asked of another. */
const IS_THE_MODELS: ReadonlySet<string> = new Set([
  "AGENT_MODEL_UNKNOWN",
  "AGENT_MODEL_UNAVAILABLE",
  "AGENT_MODEL_RATE_LIMITED",
  "AGENT_MODEL_TIMED_OUT",
  "AGENT_MODEL_INTERRUPTED",
  "AGENT_MODEL_CREDENTIALS_REFUSED",
]);

interface Asking {
  readonly hooks: ModelCallHooks;
  readonly shown: Shown;
  readonly signal: AbortSignal;
}

/** One model, tried again while nothing was shown and the wait is short. */
async function askModel(request: ModelRequest, asking: Asking): Promise<ModelAnswer> {
  const { provider, guard } = getProvider(request.model);
  let backoff = new ExponentialBackoff(BACKOFF).next();
  for (let attempt = 1; ; attempt++) {
    try {
      return await guard.pass(request.model, (spoke) =>
        collect(
          provider.streamTurn(request, asking.signal, (usage) => {
            asking.hooks.onBilled({ model: request.model, usage });
          }),
          { request, asking, spoke },
        ),
      );
    } catch (thrown) {
      const error = ensureAppError(thrown);
      const waitMs = Math.max(error.retryAfterMs ?? 0, backoff.duration);
      // It was asked a moment ago, and is left alone for what it did then.
      if (attempt > 1 && isLeftAlone(error)) throw wasAsked(error);
      if (attempt === MAX_ATTEMPTS || !error.retryable || asking.shown.text || waitMs > MAX_WAIT_MS) throw error;
      await wait(waitMs, asking.signal);
      backoff = backoff.next(undefined);
    }
  }
}

function wasAsked({ code, message, retryAfterMs }: AppError): AppError {
  const make =
    code === "AGENT_MODEL_RATE_LIMITED" ? modelErrors.AGENT_MODEL_RATE_LIMITED : modelErrors.AGENT_MODEL_UNAVAILABLE;
  return make({ message, ...(retryAfterMs !== undefined && { retryAfterMs }) });
}

async function wait(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch((cause: unknown) => {
    throw platformErrors.OPERATION_CANCELLED({ cause });
  });
}

interface Collecting {
  readonly request: ModelRequest;
  readonly asking: Asking;
  readonly spoke: () => void;
}

async function collect(
  events: AsyncIterable<ModelEvent>,
  { request: { model }, asking: { hooks, shown }, spoke }: Collecting,
): Promise<ModelAnswer> {
  let text = "";
  const toolCalls: ModelToolCall[] = [];
  for await (const event of events) {
    spoke();
    if (event.type === "finish") {
      return { text, toolCalls, reason: event.reason, usage: event.usage, model, isCached: false };
    }
    if (event.type === "toolCall") {
      toolCalls.push({ id: event.id, name: event.name, params: event.params });
      continue;
    }
    const piece = storableText(event.text);
    if (piece === "") continue;
    text += piece;
    if (!hooks.onText) continue;
    shown.text = true;
    hooks.onText(piece);
  }
  throw errors.AGENT_MODEL_INTERRUPTED();
}

/** What a column can hold of a model's text: a NUL or half a character would make every attempt to commit it fail. */
function storableText(text: string): string {
  return text.replaceAll("\0", "").toWellFormed();
}
