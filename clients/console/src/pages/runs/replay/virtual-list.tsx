import { useCallback, useId, useLayoutEffect, useRef, useState, type KeyboardEvent, type ReactNode } from "react";
import classes from "./replay.module.css";

/** A list of which only what is in sight is drawn, however long it is. Rows are equally high. */

const ROW_HEIGHT = 36;
/** Drawn beyond what is in sight, so that scrolling does not show what is not there yet. */
const BEYOND = 8;

interface VirtualListProps {
  readonly label: string;
  readonly count: number;
  readonly selected: number;
  readonly onSelect: (index: number) => void;
  readonly children: (index: number) => ReactNode;
}

interface Sight {
  /** In pixels, as the height. */
  readonly top: number;
  /** 0 until it is known. */
  readonly height: number;
  /** A row is brought into it; false of where somebody scrolled by themselves. */
  readonly isBrought: boolean;
  /**
   * The row that was last brought into it. In the same state: React takes what was set while drawing back when an earlier event is still
   * to be looked at, and then this has to go with it.
   */
  readonly followed: number | undefined;
}

export function VirtualList({ label, count, selected, onSelect, children }: VirtualListProps) {
  const id = useId();
  const scroller = useRef<HTMLDivElement>(null);
  const [sight, setSight] = useState<Sight>({ top: 0, height: 0, isBrought: false, followed: undefined });
  const look = useCallback(() => {
    if (!scroller.current) return;
    const { scrollTop, clientHeight } = scroller.current;
    setSight((known) =>
      known.top === scrollTop && known.height === clientHeight
        ? known
        : { ...known, top: scrollTop, height: clientHeight, isBrought: false },
    );
  }, []);
  useLayoutEffect(() => {
    look();
    const resized = new ResizeObserver(look);
    if (scroller.current) resized.observe(scroller.current);
    return () => {
      resized.disconnect();
    };
  }, [look]);
  // Found while the rows are drawn, not looked up afterwards: the page would be laid out twice for every step.
  if (sight.height > 0 && selected !== sight.followed) setSight(bring(sight, selected));
  useLayoutEffect(() => {
    if (scroller.current && sight.isBrought) scroller.current.scrollTop = sight.top;
  }, [sight]);
  const { top, height } = sight;
  const first = Math.max(0, Math.floor(top / ROW_HEIGHT) - BEYOND);
  const last = Math.min(count - 1, Math.ceil((top + Math.max(height, ROW_HEIGHT)) / ROW_HEIGHT) + BEYOND);
  const onKeyDown = (event: KeyboardEvent): void => {
    const page = Math.max(1, Math.floor(height / ROW_HEIGHT) - 1);
    const next = targetOf(event.key, selected, count, page);
    if (next === undefined) return;
    event.preventDefault();
    onSelect(Math.max(0, Math.min(count - 1, next)));
  };
  return (
    <div
      ref={scroller}
      className={classes["scroller"]}
      role="listbox"
      tabIndex={0}
      aria-label={label}
      aria-activedescendant={selected >= first && selected <= last ? `${id}-${selected}` : undefined}
      onScroll={look}
      onKeyDown={onKeyDown}
    >
      <div role="presentation" className={classes["all"]} style={{ height: count * ROW_HEIGHT }}>
        {Array.from({ length: Math.max(0, last - first + 1) }, (_, offset) => {
          const index = first + offset;
          return (
            <div
              key={index}
              id={`${id}-${index}`}
              role="option"
              aria-selected={index === selected}
              aria-setsize={count}
              aria-posinset={index + 1}
              className={classes["option"]}
              style={{ transform: `translateY(${index * ROW_HEIGHT}px)` }}
              onClick={() => {
                onSelect(index);
              }}
            >
              {children(index)}
            </div>
          );
        })}
      </div>
    </div>
  );
}

function targetOf(key: string, selected: number, count: number, page: number): number | undefined {
  switch (key) {
    case "ArrowDown":
      return selected + 1;
    case "ArrowUp":
      return selected - 1;
    case "PageDown":
      return selected + page;
    case "PageUp":
      return selected - page;
    case "Home":
      return 0;
    case "End":
      return count - 1;
    default:
      return undefined;
  }
}

function bring(sight: Sight, index: number): Sight {
  const { top, height } = sight;
  const rowTop = index * ROW_HEIGHT;
  const followed = { ...sight, followed: index };
  if (rowTop < top) return { ...followed, top: Math.max(0, rowTop), isBrought: true };
  if (rowTop + ROW_HEIGHT > top + height) return { ...followed, top: rowTop + ROW_HEIGHT - height, isBrought: true };
  return { ...followed, isBrought: false };
}
