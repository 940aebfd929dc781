import { useApolloClient } from "@apollo/client/react";
import { useStartRunMutation } from "@sba/client/react";
import { useCallback, useState } from "react";
import { useLocation } from "wouter";
import { AskRecentDocument, AskThreadDocument } from "../../generated/ask/graphql.ts";
import { useNotify } from "../../parts/error-notice.tsx";

export interface Asking {
  readonly ask: (agentKey: string, prompt: string, threadId?: string) => void;
  /** What was asked, and not yet accepted: it waits in the outbox while nobody can be reached. */
  readonly asked: string | undefined;
}

/** Starts a run and goes to it. It is sent once, also when the network fails in between. */
export function useAsk(): Asking {
  const [start] = useStartRunMutation({ context: { outbox: true } });
  const [asked, setAsked] = useState<string>();
  const [, navigate] = useLocation();
  const apollo = useApolloClient();
  const notify = useNotify();
  const ask = useCallback(
    (agentKey: string, prompt: string, threadId?: string) => {
      setAsked(prompt);
      const variables = { agentKey, prompt, ...(threadId === undefined ? {} : { threadId }) };
      start({ variables })
        .then(({ data }) => {
          if (data) navigate(`/ask/${data.startRun.id}`);
          void apollo.refetchQueries({ include: [AskRecentDocument, AskThreadDocument] });
        })
        .catch(notify.error)
        .finally(() => {
          setAsked(undefined);
        });
    },
    [start, navigate, apollo, notify],
  );
  return { ask, asked };
}

const KEY = "sba.agent";

/** The agent that was asked last. */
export function lastAgent(): string | undefined {
  return localStorage.getItem(KEY) ?? undefined;
}

export function keepAgent(key: string): void {
  localStorage.setItem(KEY, key);
}
