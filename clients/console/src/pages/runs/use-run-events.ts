import { RunLiveDocument } from "@sba/client";
import { useClient } from "@sba/client/react";
import { useEffect, useState } from "react";
import type { RunEvent } from "./timeline.ts";

export interface RunEvents {
  /** Oldest first, each once. */
  readonly events: readonly RunEvent[];
  /** Nothing more will come. */
  readonly isEnded: boolean;
  readonly error: unknown;
  readonly reload: () => void;
}

/** Events are shown as they come, but not each by itself: a long replay brings thousands in a second. */
const SHOW_EVERY_MS = 100;
const NONE = { events: [], isEnded: false, error: undefined } as const;

/** Everything that happened in a run, and what happens from now on; resumed after a lost connection. */
export function useRunEvents(runId: string): RunEvents {
  const client = useClient();
  const [attempt, setAttempt] = useState(0);
  const [state, setState] = useState<Omit<RunEvents, "reload"> & { readonly of: string }>({ ...NONE, of: runId });
  useEffect(() => {
    const leaving = new AbortController();
    let events: readonly RunEvent[] = [];
    let waiting: RunEvent[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const show = (end: { readonly isEnded: boolean; readonly error: unknown } = NONE): void => {
      clearTimeout(timer);
      timer = undefined;
      events = [...events, ...waiting];
      waiting = [];
      if (!leaving.signal.aborted) setState({ events, of: runId, isEnded: end.isEnded, error: end.error });
    };
    const follow = async (): Promise<void> => {
      const options = { signal: leaving.signal, maxAttempts: Infinity };
      for await (const { runEvents } of client.subscribe(RunLiveDocument, { runId }, options)) {
        waiting.push(runEvents);
        timer ??= setTimeout(show, SHOW_EVERY_MS);
      }
      show({ isEnded: true, error: undefined });
    };
    void follow().catch((error: unknown) => {
      show({ isEnded: true, error });
    });
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [client, runId, attempt]);
  const reload = (): void => {
    setAttempt((count) => count + 1);
  };
  return { ...(state.of === runId ? state : NONE), reload };
}
