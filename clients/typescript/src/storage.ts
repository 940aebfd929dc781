/** Where something is kept from one visit to the next. */
export interface Storage {
  read(key: string): Promise<string | undefined>;
  write(key: string, value: string | undefined): Promise<void>;
}

/** For as long as the program runs. */
export function memoryStorage(): Storage {
  const values = new Map<string, string>();
  return {
    read: (key) => Promise.resolve(values.get(key)),
    write: (key, value) => {
      if (value === undefined) values.delete(key);
      else values.set(key, value);
      return Promise.resolve();
    },
  };
}

/** localStorage, or sessionStorage: what is kept there is there when the page is loaded again, in every tab. */
export function webStorage(storage: Pick<globalThis.Storage, "getItem" | "setItem" | "removeItem">): Storage {
  return {
    read: (key) => Promise.resolve(storage.getItem(key) ?? undefined),
    write: (key, value) => {
      if (value === undefined) storage.removeItem(key);
      else storage.setItem(key, value);
      return Promise.resolve();
    },
  };
}

/** One at a time: among the tabs of a browser where it can (Web Locks), else within this program. */
export interface Locks {
  request<T>(name: string, work: () => Promise<T>): Promise<T>;
}

export function localLocks(): Locks {
  const tails = new Map<string, Promise<unknown>>();
  return {
    request: (name, work) => {
      const result = (tails.get(name) ?? Promise.resolve()).then(work, work);
      tails.set(name, result);
      return result;
    },
  };
}
