import { useEffect, useState } from "react";

/** Whether it has been so for a while: what is over at once is not worth a word, or a spinner. */
export function useLate(is: boolean, afterMs: number): boolean {
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    if (!is) return undefined;
    const timer = setTimeout(() => {
      setLate(true);
    }, afterMs);
    return () => {
      clearTimeout(timer);
      setLate(false);
    };
  }, [is, afterMs]);
  return is && isLate;
}

/** At most so long: a page may have something to do all the time. */
const IDLE_WITHIN_MS = 300;

/** False until the browser has drawn what is looked at: what nobody waits for comes then. */
export function useIdle(): boolean {
  const [isIdle, setIdle] = useState(false);
  useEffect(() => {
    const done = (): void => {
      setIdle(true);
    };
    // Not everywhere yet.
    if (typeof requestIdleCallback === "undefined") {
      const timer = setTimeout(done);
      return () => {
        clearTimeout(timer);
      };
    }
    const handle = requestIdleCallback(done, { timeout: IDLE_WITHIN_MS });
    return () => {
      cancelIdleCallback(handle);
    };
  }, []);
  return isIdle;
}
