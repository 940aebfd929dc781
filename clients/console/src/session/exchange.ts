/**
 * What the last exchange made of a refresh token. Another tab's process sees what is written to localStorage when the browser
 * brings it there, and a Web Lock does not wait for that: a tab that has just got the lock may still read the spent token, and
 * sending it would end the session. What a transaction of IndexedDB has written, the next one reads, in whichever process.
 */
export interface Exchange<Kept> {
  readonly spent: string;
  readonly kept: Kept;
}

const DATABASE = "sba.session";
const STORE = "exchange";
const KEY = "last";

/** Undefined where there was none, or where the browser keeps nothing. */
export function lastExchange<Kept>(): Promise<Exchange<Kept> | undefined> {
  return inStore("readonly", (store) => store.get(KEY) as IDBRequest<Exchange<Kept> | undefined>);
}

export async function keepExchange<Kept>(exchange: Exchange<Kept>): Promise<void> {
  await inStore("readwrite", (store) => store.put(exchange, KEY));
}

export async function forgetExchange(): Promise<void> {
  await inStore("readwrite", (store) => store.delete(KEY));
}

async function inStore<T>(
  mode: IDBTransactionMode,
  work: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T | undefined> {
  try {
    const database = await open();
    try {
      return await new Promise<T>((resolve, reject) => {
        const transaction = database.transaction(STORE, mode);
        const request = work(transaction.objectStore(STORE));
        transaction.oncomplete = () => {
          resolve(request.result);
        };
        transaction.onabort = () => {
          reject(transaction.error ?? new Error("The transaction was aborted."));
        };
      });
    } finally {
      database.close();
    }
  } catch {
    // A browser that keeps nothing here: tabs see each other's tokens a little later.
    return undefined;
  }
}

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore(STORE);
    };
    request.onsuccess = () => {
      resolve(request.result);
    };
    request.onerror = () => {
      reject(request.error ?? new Error("There is no database."));
    };
  });
}
