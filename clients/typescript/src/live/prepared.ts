import type { LiveDefinition, Variables } from "./definition.ts";
import type { LiveStore } from "./store.ts";

/** Views that were begun ahead of whoever will show them. */

interface Prepared {
  keep<State, V extends Variables>(definition: LiveDefinition<State, V>, variables: V, store: LiveStore<State>): void;
  find<State, V extends Variables>(definition: LiveDefinition<State, V>, variables: V): LiveStore<State> | undefined;
  close(): void;
}

/** Until then it listens without an audience; a page that is not there by then has gone elsewhere. */
const KEEP_MS = 5_000;

export function openPrepared(): Prepared {
  const kept = new Map<object, Map<string, LiveStore<unknown>>>();
  const timers = new Set<ReturnType<typeof setTimeout>>();
  return {
    keep: (definition, variables, store) => {
      const stores = kept.get(definition) ?? new Map<string, LiveStore<unknown>>();
      kept.set(definition, stores);
      const key = JSON.stringify(variables);
      stores.set(key, store);
      const leave = store.subscribe(() => undefined);
      const timer = setTimeout(() => {
        timers.delete(timer);
        if (stores.get(key) === store) stores.delete(key);
        leave();
      }, KEEP_MS);
      timers.add(timer);
    },
    // What was kept under a definition is a view of its state.
    find: <State, V extends Variables>(definition: LiveDefinition<State, V>, variables: V) =>
      kept.get(definition)?.get(JSON.stringify(variables)) as LiveStore<State> | undefined,
    close: () => {
      for (const timer of timers) clearTimeout(timer);
    },
  };
}
