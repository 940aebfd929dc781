import { newRun, runLive, StartRunLiveDocument } from "@sba/client";
import { useClient } from "@sba/client/react";
import { useCallback, useMemo, useState } from "react";
import { useLocation } from "wouter";
import { useNotify } from "../../parts/error-notice.tsx";

export interface Asking {
  readonly ask: (agentKey: string, prompt: string, threadId?: string) => void;
  /** What was asked, and not yet accepted: it waits in the outbox while nobody can be reached. */
  readonly asked: string | undefined;
}

/** Starts a run and goes to it. It is sent once, also when the network fails in between. */
export function useAsk(): Asking {
  const client = useClient();
  const [asked, setAsked] = useState<string>();
  const [, navigate] = useLocation();
  const notify = useNotify();
  const ask = useCallback(
    (agentKey: string, prompt: string, threadId?: string) => {
      setAsked(prompt);
      client.outbox
        .add(StartRunLiveDocument, { agentKey, prompt, ...(threadId === undefined ? {} : { threadId }) })
        .then(({ startRun }) => {
          const fresh = newRun(startRun);
          if (fresh) client.prepare(runLive, { runId: startRun.id }, fresh);
          // In a task of its own: drawing the page takes longer than asking for the run's events, which are then on their way.
          setTimeout(() => {
            setAsked(undefined);
            navigate(`/ask/${startRun.id}`);
          });
        })
        .catch((error: unknown) => {
          setAsked(undefined);
          notify.error(error);
        });
    },
    [client, navigate, notify],
  );
  return useMemo(() => ({ ask, asked }), [ask, asked]);
}

const KEY = "sba.agent";

/** The agent that was asked last. */
export function lastAgent(): string | undefined {
  return localStorage.getItem(KEY) ?? undefined;
}

export function keepAgent(key: string): void {
  localStorage.setItem(KEY, key);
}
