import { useEffect, useRef, useState } from "react";

/** The value as it was at most so long ago: at once after a pause, then no more often than that, and the last one always. */
export function useThrottled<T>(value: T, pauseMs: number): T {
  const [shown, setShown] = useState(value);
  const shownAtMs = useRef(0);
  const pause = useRef(pauseMs);
  pause.current = pauseMs;
  useEffect(() => {
    const waitMs = Math.max(0, shownAtMs.current + pause.current - performance.now());
    const timer = setTimeout(() => {
      shownAtMs.current = performance.now();
      setShown(value);
    }, waitMs);
    return () => {
      // What is overtaken before it was due is not shown; what comes after it is due no later.
      clearTimeout(timer);
    };
  }, [value]);
  return shown;
}
