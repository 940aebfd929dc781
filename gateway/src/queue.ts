/** Values pushed by one side and pulled by one consumer, as an async iterator. */
export interface Queue<T> extends AsyncIterableIterator<T, undefined> {
  /** Pushed and not yet pulled. */
  readonly size: number;
  push(value: T): void;
  /** Nothing comes after this; what is queued is still pulled, then `next()` throws the error, if there is one. */
  end(error?: unknown): void;
}

interface Waiting<T> {
  readonly resolve: (result: IteratorResult<T, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** `onReturn` runs when the consumer leaves, once. */
export function openQueue<T>(onReturn: () => void): Queue<T> {
  const values: T[] = [];
  let ended: { readonly error: unknown } | undefined;
  let waiting: Waiting<T> | undefined;

  function settle(): void {
    if (!waiting || (values.length === 0 && !ended)) return;
    const { resolve, reject } = waiting;
    waiting = undefined;
    if (values.length > 0) resolve({ done: false, value: values.shift()! });
    else if (ended?.error === undefined) resolve(DONE);
    else reject(takeError());
  }

  /** An iterator throws once; after that it is done. */
  function takeError(): unknown {
    const error = ended?.error;
    ended = { error: undefined };
    return error;
  }

  return {
    get size() {
      return values.length;
    },
    push: (value) => {
      if (ended) return;
      values.push(value);
      settle();
    },
    end: (error) => {
      ended ??= { error };
      settle();
    },
    next: () =>
      new Promise((resolve, reject) => {
        waiting = { resolve, reject };
        settle();
      }),
    return: () => {
      const first = !ended;
      values.length = 0;
      ended = { error: undefined };
      settle();
      if (first) onReturn();
      return Promise.resolve(DONE);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
