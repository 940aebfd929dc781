import { useCallback, useMemo, useSyncExternalStore } from "react";
import type { ConnectionState } from "../connection.ts";
import type { LiveDefinition, Variables } from "../live/definition.ts";
import type { LiveStore, LiveView } from "../live/store.ts";
import type { OutboxEntry } from "../outbox.ts";
import { useClient } from "./provider.ts";

export interface LiveOptions {
  /** Listens to nothing. */
  readonly skip?: boolean;
}

export interface UseLiveResult<State> extends LiveView<State> {
  /** Reads it anew and follows it again, also after an error. */
  readonly reload: () => void;
}

/** A live view while the component is there. Other variables are another view; the last one's stream ends. */
export function useLive<State, V extends Variables>(
  definition: LiveDefinition<State, V>,
  variables: V | undefined,
  { skip = false }: LiveOptions = {},
): UseLiveResult<State> {
  const client = useClient();
  const isSkipped = skip || variables === undefined;
  const key = JSON.stringify(variables);
  const store = useMemo<LiveStore<State>>(
    // The variables are those of the key.
    () => (isSkipped ? nothing : client.live(definition, JSON.parse(key) as V)),
    [client, definition, isSkipped, key],
  );
  const view = useSyncExternalStore(store.subscribe, store.get, store.get);
  const reload = useCallback(() => {
    store.reload();
  }, [store]);
  return { ...view, reload };
}

/** How live what is shown is, as a whole. */
export function useConnection(): ConnectionState {
  const { connection } = useClient();
  return useSyncExternalStore(connection.subscribe, connection.get, connection.get);
}

/** The mutations that wait to be sent. */
export function useOutbox(): readonly OutboxEntry[] {
  const { waiting } = useClient().outbox;
  return useSyncExternalStore(waiting.subscribe, waiting.get, waiting.get);
}

const NOTHING: LiveView<never> = {
  data: undefined,
  isCaughtUp: false,
  isEnded: false,
  error: undefined,
  connection: { status: "idle", transport: undefined, attempt: 0, retryAt: undefined, error: undefined },
};
const nothing: LiveStore<never> = { get: () => NOTHING, subscribe: () => () => undefined, reload: () => undefined };
