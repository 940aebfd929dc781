import type { AppError } from "@sba/platform/errors";
import { modelErrors } from "./errors.ts";

/** How long one turn of a model is waited for, in milliseconds. */
export interface TurnTimeouts {
  /** From the request to the first sign of an answer. */
  readonly firstTokenMs: number;
  /** Between two signs. */
  readonly betweenTokensMs: number;
  /** From the request to the last of the answer. */
  readonly turnMs: number;
}

export interface TurnDeadline {
  /** Aborted with the caller's signal, and when the model is out of time. */
  readonly signal: AbortSignal;
  /** The model said something: not merely bytes, which proxies send to keep a connection open. */
  alive(): void;
  /** AGENT_MODEL_TIMED_OUT, once the model is out of time. */
  expired(): AppError | undefined;
  close(): void;
}

/** Starts the clocks of one turn; `close` stops them. */
export function openDeadline(
  { firstTokenMs, betweenTokensMs, turnMs }: TurnTimeouts,
  callerSignal: AbortSignal,
): TurnDeadline {
  const controller = new AbortController();
  let expired: AppError | undefined;
  const expireAfter = (waitedFor: string, timeoutMs: number): NodeJS.Timeout =>
    setTimeout(() => {
      expired ??= modelErrors.AGENT_MODEL_TIMED_OUT({ details: { waitedFor, timeoutMs } });
      controller.abort(expired);
    }, timeoutMs);
  const whole = expireAfter("turn", turnMs);
  let silence = expireAfter("firstToken", firstTokenMs);
  let hasSpoken = false;
  return {
    signal: AbortSignal.any([callerSignal, controller.signal]),
    alive: () => {
      if (hasSpoken) {
        silence.refresh();
        return;
      }
      hasSpoken = true;
      clearTimeout(silence);
      silence = expireAfter("nextToken", betweenTokensMs);
    },
    expired: () => expired,
    close: () => {
      clearTimeout(whole);
      clearTimeout(silence);
    },
  };
}
