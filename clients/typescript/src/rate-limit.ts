import { pause } from "./wait.ts";

/**
 * What a client sends at most, so that a loop gone wild is slowed down here and not by a server that turns everything of
 * the tenant away. A bucket of tokens: `burst` at once, then `perSecond`; in the order of asking.
 */

export interface RateLimitOptions {
  readonly perSecond: number;
  readonly burst: number;
}

export interface RateLimit {
  /** Resolves when one more may be sent. @throws the signal's reason when it is aborted first. */
  take(signal?: AbortSignal): Promise<void>;
  /** Sends nothing for a time, because the server said so. */
  hold(ms: number): void;
}

/** In ten seconds just what a server by default allows one principal of one operation, so that whoever works never waits here. */
export const DEFAULT_RATE_LIMIT: RateLimitOptions = { perSecond: 250, burst: 500 };

export function rateLimit({ perSecond, burst }: RateLimitOptions, now: () => number = Date.now): RateLimit {
  // When the bucket would be full again: one number instead of a count and a time.
  let fullAtMs = 0;
  let heldUntilMs = 0;
  const tokenMs = 1_000 / perSecond;
  return {
    take: async (signal) => {
      fullAtMs = Math.max(fullAtMs, now()) + tokenMs;
      const mineAtMs = fullAtMs - burst * tokenMs;
      for (;;) {
        signal?.throwIfAborted();
        const waitMs = Math.max(mineAtMs, heldUntilMs) - now();
        if (waitMs <= 0) return;
        await pause(waitMs, ...(signal ? [signal] : []));
      }
    },
    hold: (ms) => {
      heldUntilMs = Math.max(heldUntilMs, now() + ms);
    },
  };
}
