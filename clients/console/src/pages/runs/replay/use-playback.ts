import { useEffect, useMemo, useState } from "react";
import type { RunEvent } from "../timeline.ts";

/** Plays events at the pace at which they came, without the waits in between. */

/** Nobody watches a person decide: longer pauses are cut to this. */
const LONGEST_PAUSE_MS = 1_000;

/** When each event is shown after the beginning, in ms of unhurried playing. */
export function showTimesOf(events: readonly Pick<RunEvent, "at">[]): readonly number[] {
  let shownMs = 0;
  return events.map(({ at }, index) => {
    const before = events[index - 1];
    if (before) shownMs += Math.min(Math.max(0, Date.parse(at) - Date.parse(before.at)), LONGEST_PAUSE_MS);
    return shownMs;
  });
}

/** How many events are shown by then. */
export function shownBy(times: readonly number[], ms: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) <= ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

export interface Playback {
  /** How many events have happened: 0 to all of them. */
  readonly count: number;
  readonly isPlaying: boolean;
  readonly speed: number;
  readonly setSpeed: (speed: number) => void;
  /** Goes there, and stops. */
  readonly goTo: (count: number) => void;
  /** From the beginning when it is at the end. */
  readonly toggle: () => void;
}

export function usePlayback(events: readonly RunEvent[]): Playback {
  const times = useMemo(() => showTimesOf(events), [events]);
  // At the end, and with what is still coming, until somebody goes elsewhere.
  const [at, setAt] = useState<number>();
  const [isPlaying, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(1);
  const count = Math.min(at ?? events.length, events.length);
  useEffect(() => {
    if (!isPlaying) return undefined;
    let frame = 0;
    let last = performance.now();
    let clock = times[Math.max(0, (at ?? 0) - 1)] ?? 0;
    const tick = (now: number): void => {
      clock += (now - last) * speed;
      last = now;
      const shown = shownBy(times, clock);
      setAt(shown);
      if (shown >= times.length) setPlaying(false);
      else frame = requestAnimationFrame(tick);
    };
    frame = requestAnimationFrame(tick);
    return () => {
      cancelAnimationFrame(frame);
    };
    // Where it begins is where it was when it was begun.
  }, [isPlaying, speed, times]);
  return {
    ...{ count, isPlaying, speed, setSpeed },
    goTo: (next) => {
      setPlaying(false);
      setAt(Math.max(0, Math.min(events.length, next)));
    },
    toggle: () => {
      if (!isPlaying && count >= events.length) setAt(0);
      else setAt(count);
      setPlaying(!isPlaying && events.length > 0);
    },
  };
}
