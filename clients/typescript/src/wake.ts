/**
 * When connections must be doubted and pauses cut short: a tab that is shown again, a network that is back, and a machine
 * that slept, which shows only in a timer that came late.
 */

export interface Surroundings {
  /** False when the machine knows that it has no network. */
  isOnline(): boolean;
  /** Calls the listener at each such moment until the function that it returns is called. */
  onWake(listener: () => void): () => void;
}

const TICK_MS = 5_000;
/** A timer that comes later than this has slept; throttled tabs are called once a second or once a minute. */
const SLEPT_MS = 90_000;

export const surroundings: Surroundings = {
  isOnline: () => typeof navigator === "undefined" || (navigator as { onLine?: boolean }).onLine !== false,
  onWake: (listener) => {
    const leaving = new AbortController();
    const whenShown = (): void => {
      if (document.visibilityState === "visible") listener();
    };
    if (typeof addEventListener === "function")
      for (const type of ["online", "pageshow", "resume"]) addEventListener(type, listener, { signal: leaving.signal });
    if (typeof document !== "undefined")
      document.addEventListener("visibilitychange", whenShown, { signal: leaving.signal });
    const stopWatching = watchClock(listener);
    return () => {
      leaving.abort();
      stopWatching();
    };
  },
};

function watchClock(listener: () => void): () => void {
  let seenAt = Date.now();
  const timer: unknown = setInterval(() => {
    const sleptMs = Date.now() - seenAt;
    seenAt = Date.now();
    if (sleptMs > SLEPT_MS) listener();
  }, TICK_MS);
  // Node must not stay alive for it.
  (timer as { unref?: () => void }).unref?.();
  return () => {
    clearInterval(timer as ReturnType<typeof setInterval>);
  };
}
