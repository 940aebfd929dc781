import { useEffect, useLayoutEffect, useRef } from "react";

/** Nearer to its end than this, somebody reads along. */
const NEAR_PX = 120;

/** Keeps the end of the page in sight while it grows, unless the reader has scrolled away from it. */
export function useStickToEnd(content: unknown, isGrowing: boolean): void {
  const isAtEnd = useRef(true);
  useEffect(() => {
    const look = (): void => {
      const { scrollHeight, clientHeight, scrollTop } = document.documentElement;
      isAtEnd.current = scrollHeight - clientHeight - scrollTop < NEAR_PX;
    };
    look();
    window.addEventListener("scroll", look, { passive: true });
    return () => {
      window.removeEventListener("scroll", look);
    };
  }, []);
  useLayoutEffect(() => {
    if (isGrowing && isAtEnd.current) window.scrollTo({ top: document.documentElement.scrollHeight });
  }, [content, isGrowing]);
}
