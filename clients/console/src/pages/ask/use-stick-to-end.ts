import { useEffect } from "react";

/** Nearer to its end than this, somebody reads along. */
const NEAR_PX = 120;

/** Keeps the end of the page in sight while it grows, unless the reader has scrolled away from it. */
export function useStickToEnd(isGrowing: boolean): void {
  useEffect(() => {
    if (!isGrowing) return undefined;
    let isAtEnd = true;
    const look = (): void => {
      const { scrollHeight, clientHeight, scrollTop } = document.documentElement;
      isAtEnd = scrollHeight - clientHeight - scrollTop < NEAR_PX;
    };
    const grown = new ResizeObserver(() => {
      if (isAtEnd) window.scrollTo({ top: document.documentElement.scrollHeight });
    });
    look();
    window.addEventListener("scroll", look, { passive: true });
    grown.observe(document.body);
    return () => {
      window.removeEventListener("scroll", look);
      grown.disconnect();
    };
  }, [isGrowing]);
}
