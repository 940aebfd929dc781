import { useEffect, useState } from "react";

const SECOND_MS = 1_000;

/** The time, told anew each second while something waits for it. */
export function useNow(isTicking = true): Date {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    if (!isTicking) return undefined;
    setNow(new Date());
    const timer = setInterval(() => {
      setNow(new Date());
    }, SECOND_MS);
    return () => {
      clearInterval(timer);
    };
  }, [isTicking]);
  return now;
}
