/** A value that changes, for whoever shows it: what React's useSyncExternalStore asks for, and nothing more. */
export interface Observable<T> {
  get(): T;
  /** Calls the listener after each change, until the function that it returns is called. */
  subscribe(listener: () => void): () => void;
}

export interface Changeable<T> extends Observable<T> {
  set(value: T): void;
  /** How many listen. */
  readonly listeners: number;
}

export function changeable<T>(initial: T): Changeable<T> {
  let value = initial;
  const listeners = new Set<{ readonly call: () => void }>();
  return {
    get: () => value,
    set: (next) => {
      if (Object.is(next, value)) return;
      value = next;
      for (const { call } of [...listeners]) call();
    },
    subscribe: (call) => {
      const entry = { call };
      listeners.add(entry);
      return () => {
        listeners.delete(entry);
      };
    },
    get listeners() {
      return listeners.size;
    },
  };
}
