import { setTimeout as delay } from "node:timers/promises";

export interface EventuallyOptions {
  /** How long the condition may take. */
  readonly timeoutMs?: number;
}

const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 200;

/**
 * Waits until `condition` gives something other than false, null or undefined and returns it. What it throws counts as
 * "not yet" and is shown when the time is up, so assertions may stand inside.
 */
export async function eventually<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 5_000 }: EventuallyOptions = {},
): Promise<Exclude<T, false | null | undefined>> {
  const deadline = Date.now() + timeoutMs;
  let lastError: unknown;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2)) {
    try {
      const value = await condition();
      if (value !== false && value !== null && value !== undefined)
        return value as Exclude<T, false | null | undefined>;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (Date.now() > deadline)
      throw new Error(`not so after ${timeoutMs} ms: ${condition.toString().slice(0, 200)}`, { cause: lastError });
    await delay(pauseMs);
  }
}
