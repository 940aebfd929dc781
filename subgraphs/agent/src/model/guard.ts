import { BrokenCircuitError, circuitBreaker, CircuitState, ConsecutiveBreaker, handleWhen } from "cockatiel";
import { LRUCache } from "lru-cache";
import { AppError } from "@sba/platform/errors";
import { logger } from "@sba/platform/log";
import { showBreaker } from "@sba/platform/metrics";
import { modelErrors } from "./errors.ts";

/**
 * What this process knows of a provider's health, shared by all runs: one that failed too often in a row is left alone for
 * a while, and one that asked for a pause gets it. Then one turn tries it for all.
 */

export interface GuardOptions {
  /** Failures in a row after which the provider is left alone. */
  readonly failuresToOpen: number;
  readonly openForMs: number;
}

const DEFAULT_OPTIONS: GuardOptions = { failuresToOpen: 5, openForMs: 15_000 };
/** Those who come while one turn tries the provider. */
const PROBE_WAIT_MS = 2_000;
/** Models that asked for a pause at the same time; more than that, and the longest unused pause is forgotten. */
const MAX_PAUSES = 500;

/** Begins a turn; it calls `spoke` at the first sign of an answer. */
export type Attempt<T> = (spoke: () => void) => Promise<T>;

export interface ProviderGuard {
  /**
   * Begins the attempt, unless the provider is being left alone.
   * @throws AGENT_MODEL_UNAVAILABLE, AGENT_MODEL_RATE_LIMITED with `retryAfterMs` when it is, and what the attempt throws.
   */
  pass<T>(model: string, attempt: Attempt<T>): Promise<T>;
}

export function createGuard(provider: string, options: GuardOptions = DEFAULT_OPTIONS): ProviderGuard {
  const breaker = circuitBreaker(handleWhen(isOutage), {
    halfOpenAfter: options.openForMs,
    breaker: new ConsecutiveBreaker(options.failuresToOpen),
  });
  showBreaker("provider", provider, () => breaker.state);
  let openUntilMs = 0;
  breaker.onBreak(() => {
    openUntilMs = Date.now() + options.openForMs;
    logger.warn({ "model.provider": provider, openForMs: options.openForMs }, "model provider is left alone");
  });
  breaker.onReset(() => {
    logger.info({ "model.provider": provider }, "model provider answers again");
  });
  const leftAlone = (retryAfterMs: number): AppError =>
    modelErrors.AGENT_MODEL_UNAVAILABLE({ retryAfterMs, details: { provider, leftAlone: true } });
  const pauses = new LRUCache<string, true>({ max: MAX_PAUSES });

  async function attemptOnce<T>(attempt: Attempt<T>): Promise<T> {
    if (breaker.state === CircuitState.HalfOpen) throw leftAlone(PROBE_WAIT_MS);
    // The turn that tries it for all has its answer with the first token: nobody waits for the last one.
    const isProbe = breaker.state === CircuitState.Open;
    const begun = Promise.withResolvers<undefined>();
    let answer: Promise<T> | undefined;
    await breaker.execute(() => {
      answer = attempt(() => {
        begun.resolve(undefined);
      });
      return isProbe ? Promise.race([begun.promise, answer]) : answer;
    });
    return answer!;
  }

  return {
    pass: async (model, attempt) => {
      const pauseMs = Math.ceil(pauses.getRemainingTTL(model));
      if (pauseMs > 0) {
        const details = { provider, leftAlone: true };
        throw modelErrors.AGENT_MODEL_RATE_LIMITED({ retryAfterMs: pauseMs, details });
      }
      try {
        return await attemptOnce(attempt);
      } catch (error) {
        if (error instanceof BrokenCircuitError) throw leftAlone(Math.max(1, openUntilMs - Date.now()));
        // A ttl of 0 would be for ever.
        if (isPauseRequest(error)) pauses.set(model, true, { ttl: Math.max(1, error.retryAfterMs) });
        throw error;
      }
    },
  };
}

/** True when the provider was not asked: nothing has failed, it is only left alone for a while. */
export function isLeftAlone(error: unknown): boolean {
  return error instanceof AppError && error.details?.["leftAlone"] === true;
}

const OUTAGES: ReadonlySet<string> = new Set(["AGENT_MODEL_UNAVAILABLE", "AGENT_MODEL_TIMED_OUT"]);

/** What a provider cannot help counts; a request that it refuses does not, nor does an answer that nobody waited for. */
function isOutage(error: unknown): boolean {
  return error instanceof AppError && OUTAGES.has(error.code);
}

function isPauseRequest(error: unknown): error is AppError & { readonly retryAfterMs: number } {
  return error instanceof AppError && error.code === "AGENT_MODEL_RATE_LIMITED" && error.retryAfterMs !== undefined;
}
