import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import type { DocumentNode } from "graphql";
import { declaresVariable, textOf } from "./documents.ts";
import { apiErrorOf, networkError, toApiError, type ApiError } from "./errors.ts";
import { changeable, type Observable } from "./observable.ts";
import type { Execute } from "./request.ts";
import type { Locks, Storage } from "./storage.ts";
import { backoffMs, pause } from "./wait.ts";
import type { Surroundings } from "./wake.ts";

/**
 * Mutations made while nobody could be reached. They are written down, each with its idempotency key, and sent in their order,
 * one after the other, until each was answered: also after a reload, and whichever tab does it. A repeat of one whose answer
 * was lost is the same mutation to the API, and so the first attempt need not wait until it is written down.
 */

export interface OutboxEntry {
  readonly idempotencyKey: string;
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly addedAt: string;
}

export interface OutboxResult {
  readonly entry: OutboxEntry;
  readonly data?: unknown;
  /** Why it was refused. It is not tried again. */
  readonly error?: ApiError;
}

export interface Outbox {
  /**
   * Writes a mutation down and sends it when it can; where nothing can be kept, it is sent while this page is there.
   * @returns its data once it was answered.
   * @throws TypeError for a document without `$idempotencyKey`: it could happen twice. ApiError when it is refused.
   */
  add<Data, V extends Readonly<Record<string, unknown>>>(
    document: TypedDocumentNode<Data, V>,
    variables: V,
  ): Promise<Data>;
  /** What waits, oldest first. */
  readonly waiting: Observable<readonly OutboxEntry[]>;
  /** Hears of each that was answered, also of those that an earlier visit had added. */
  onResult(listener: (result: OutboxResult) => void): () => void;
  close(): void;
}

export interface OutboxOptions {
  readonly storage: Storage;
  readonly locks: Locks;
  readonly surroundings: Surroundings;
  readonly execute: Execute;
  /** Whose mutations these are: those of somebody else who used the same browser are left alone. */
  readonly identity: () => Promise<string>;
}

export function openOutbox(options: OutboxOptions): Outbox {
  const { surroundings, storage, locks } = options;
  const waiting = changeable<readonly OutboxEntry[]>([]);
  const listeners = new Set<(result: OutboxResult) => void>();
  const closing = new AbortController();
  /** Those whose answers somebody here waits for. */
  const unanswered = new Map<string, OutboxEntry>();
  let woken = new AbortController();

  const listKey = async (): Promise<string> => `sba:outbox:${await options.identity()}`;
  /** Changes the list under a lock: other tabs add to the same. */
  const update = async (change: (entries: readonly OutboxEntry[]) => readonly OutboxEntry[]): Promise<void> => {
    const key = await listKey();
    await locks.request(`${key}:list`, async () => {
      const entries = change(await readEntries(storage, key));
      await storage.write(key, entries.length === 0 ? undefined : JSON.stringify(entries));
      waiting.set(entries);
    });
  };
  /** Writes down what is not yet, or could not be when it was added. */
  const keep = (): Promise<void> =>
    update((entries) => {
      const written = new Set(entries.map(({ idempotencyKey }) => idempotencyKey));
      return [...entries, ...[...unanswered.values()].filter(({ idempotencyKey }) => !written.has(idempotencyKey))];
    }).catch(() => undefined);
  const settle = async (result: OutboxResult): Promise<void> => {
    const { idempotencyKey } = result.entry;
    const without = (entries: readonly OutboxEntry[]): readonly OutboxEntry[] =>
      entries.filter((entry) => entry.idempotencyKey !== idempotencyKey);
    unanswered.delete(idempotencyKey);
    waiting.set(without(waiting.get()));
    for (const listener of [...listeners]) listener(result);
    // Behind its own writing, which is under way at most: locks are given in the order in which they were asked for.
    await update(without);
  };
  const sendAll = async (): Promise<void> => {
    for (let attempt = 0; !closing.signal.aborted;) {
      // What somebody here has just added may not be written yet; one that another tab has sent is sent again for its answer.
      const [first] = await readEntries(storage, await listKey());
      const entry = first ?? unanswered.values().next().value;
      if (!entry) {
        await update((entries) => entries);
        return;
      }
      const result = await send(options.execute, entry, closing.signal);
      if (closing.signal.aborted) return;
      if (result.error && isWorthRepeating(result.error)) {
        await keep();
        await pause(backoffMs(++attempt, result.error), closing.signal, woken.signal);
      } else {
        attempt = 0;
        await settle(result);
      }
    }
  };
  const flush = async (): Promise<void> => {
    for (let attempt = 1; !closing.signal.aborted; attempt++) {
      try {
        await locks.request(`${await listKey()}:send`, sendAll);
        return;
      } catch {
        // Whose they are, or what is stored, could not be read.
        await pause(backoffMs(attempt), closing.signal, woken.signal);
      }
    }
  };
  const stopWaking = surroundings.onWake(() => {
    woken.abort();
    woken = new AbortController();
    void flush();
  });
  void flush();
  return {
    add: async <Data, V extends Readonly<Record<string, unknown>>>(
      document: TypedDocumentNode<Data, V>,
      variables: V,
    ) => {
      const entry = entryOf(document, variables);
      unanswered.set(entry.idempotencyKey, entry);
      const answered = answerTo(entry, listeners, closing.signal);
      // Asked for first, and so written first where nobody else holds its lock; what is sent does not wait for it.
      void keep();
      void flush();
      // The document's type says what the API promises for it.
      return (await answered) as Data;
    },
    waiting,
    onResult: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => {
      closing.abort();
      stopWaking();
    },
  };
}

async function readEntries(storage: Storage, key: string): Promise<readonly OutboxEntry[]> {
  try {
    const entries: unknown = JSON.parse((await storage.read(key)) ?? "[]");
    return Array.isArray(entries) ? (entries as OutboxEntry[]) : [];
  } catch {
    return [];
  }
}

function entryOf(document: DocumentNode, variables: Readonly<Record<string, unknown>>): OutboxEntry {
  if (!declaresVariable(document, "idempotencyKey"))
    throw new TypeError("Only a mutation with $idempotencyKey can wait: another could happen twice.");
  const given = variables["idempotencyKey"];
  const idempotencyKey = typeof given === "string" ? given : crypto.randomUUID();
  return {
    idempotencyKey,
    query: textOf(document),
    variables: { ...variables, idempotencyKey },
    addedAt: new Date().toISOString(),
  };
}

function answerTo(
  entry: OutboxEntry,
  listeners: Set<(result: OutboxResult) => void>,
  closing: AbortSignal,
): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const listener = (result: OutboxResult): void => {
    if (result.entry.idempotencyKey !== entry.idempotencyKey) return;
    listeners.delete(listener);
    if (result.error) reject(result.error);
    else resolve(result.data);
  };
  listeners.add(listener);
  closing.addEventListener("abort", () => {
    reject(networkError("The client was closed; what waits is sent when it is opened again.", { code: "CANCELLED" }));
  });
  return promise;
}

async function send(execute: Execute, entry: OutboxEntry, signal: AbortSignal): Promise<OutboxResult> {
  try {
    const { data, errors } = await execute(entry.query, entry.variables, signal);
    return errors ? { entry, error: apiErrorOf(errors, { data }) } : { entry, data };
  } catch (thrown) {
    return { entry, error: toApiError(thrown) };
  }
}

/** Whoever has to sign in again first has lost nothing either. */
function isWorthRepeating({ advice }: ApiError): boolean {
  return advice.action === "retry" || advice.action === "sign-in";
}
