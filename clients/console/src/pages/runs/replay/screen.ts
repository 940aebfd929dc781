import { runModel, type RunLive } from "@sba/client";
import type { RunEvent } from "../timeline.ts";

/** What a reader of the run had before them once an event had come: the live view, folded from the events up to it. */

/** A run of which nothing has been heard. */
export const BLANK: RunLive = runModel.begin(
  {
    run: {
      ...{ id: "", cursor: "", status: "CREATED", prompt: "", model: "", thread: { id: "" }, createdAt: "" },
      ...{ agent: null, startedBy: null, startedAt: null, endedAt: null, output: null, error: null, forkedFrom: null },
      ...{ cost: null, usage: null, artifacts: [], citations: [], approvals: [] },
    },
  },
  true,
);

/** Screens at any event, without folding from the beginning each time: every so many events one is kept. */
export interface Screens {
  /** After the first `count` events. */
  at(count: number): RunLive;
}

const KEEP_EVERY = 250;

export function screensOf(events: readonly RunEvent[]): Screens {
  const kept: RunLive[] = [BLANK];
  return {
    at: (count) => {
      const wanted = Math.floor(count / KEEP_EVERY);
      for (let index = kept.length; index <= wanted; index++) {
        const from = (index - 1) * KEEP_EVERY;
        kept.push(fold(kept[index - 1] ?? BLANK, events.slice(from, from + KEEP_EVERY)));
      }
      return fold(kept[wanted] ?? BLANK, events.slice(wanted * KEEP_EVERY, count));
    },
  };
}

export function fold(screen: RunLive, events: readonly RunEvent[]): RunLive {
  return runModel.fold(
    screen,
    events.map((event) => ({ data: { runEvents: event }, isPast: false })),
  );
}
