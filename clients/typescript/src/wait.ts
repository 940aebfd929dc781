/** Waiting: for a time, or until something happens. */

/** Of the first attempt, unless a client is told otherwise. */
export const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;
/** Of what a server asked for, so that those whom it turned away do not come back together. */
const SPREAD = 0.2;

/**
 * How long to wait before the next attempt (from 1): between half and all of a time that doubles, or a little more than
 * what the server said.
 */
export function backoffMs(
  attempt: number,
  { retryAfterMs, firstMs = FIRST_PAUSE_MS, random = Math.random }: BackoffOptions = {},
): number {
  if (retryAfterMs !== undefined) return retryAfterMs * (1 + SPREAD * random());
  const most = Math.min(LONGEST_PAUSE_MS, firstMs * 2 ** Math.min(attempt, 16));
  return (most / 2) * (1 + random());
}

interface BackoffOptions {
  /** What the server said. */
  readonly retryAfterMs?: number | undefined;
  readonly firstMs?: number;
  readonly random?: () => number;
}

/** Resolves after the time, or as soon as one of the signals is aborted. */
export function pause(ms: number, ...signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    for (const signal of signals) {
      if (signal.aborted) done();
      else signal.addEventListener("abort", done, { once: true });
    }
  });
}
