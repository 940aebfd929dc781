/** What somebody pushes and somebody else iterates over. */
export interface Queue<T> extends AsyncIterable<T> {
  push(value: T): void;
  end(): void;
  fail(error: unknown): void;
}

export function openQueue<T>(): Queue<T> {
  const values: T[] = [];
  let ended: { readonly error?: unknown } | undefined;
  let wake = Promise.withResolvers<void>();
  const end = (how: { readonly error?: unknown }): void => {
    ended ??= how;
    wake.resolve();
  };
  return {
    push: (value) => {
      values.push(value);
      wake.resolve();
    },
    end: () => {
      end({});
    },
    fail: (error) => {
      end({ error });
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        yield* values.splice(0);
        if (values.length > 0) continue;
        if (ended) {
          if ("error" in ended) throw ended.error;
          return;
        }
        await wake.promise;
        wake = Promise.withResolvers();
      }
    },
  };
}
