import { CONNECTING, type ConnectionState } from "../connection.ts";
import { apiErrorOf, recordOf, toApiError, type ApiError } from "../errors.ts";
import type { FollowOptions } from "../follow.ts";
import { changeable, type Observable } from "../observable.ts";
import type { StreamResult } from "../transport/transport.ts";
import { backoffMs, pause } from "../wait.ts";
import type { LiveDefinition, LiveEvent, Variables } from "./definition.ts";
import type { DocumentNode } from "graphql";

/** What an interface shows. */
export interface LiveView<State> {
  /** Undefined until the first answer; kept while the connection is lost. */
  readonly data: State | undefined;
  /** Whether everything that had happened when it was read is in it. */
  readonly isCaughtUp: boolean;
  /** Nothing more will happen. */
  readonly isEnded: boolean;
  /** Why it ended, if not of itself. */
  readonly error: ApiError | undefined;
  readonly connection: ConnectionState;
}

/** A view that lives while somebody subscribes to it, and goes on where it was when somebody does again. */
export interface LiveStore<State> extends Observable<LiveView<State>> {
  /** Reads the object anew and follows it again, also after an error. */
  reload(): void;
}

/** What a store needs of a client. */
export interface LiveClient {
  readonly raw: {
    execute(document: DocumentNode, variables: Variables, signal?: AbortSignal): Promise<StreamResult>;
    subscribe(
      document: DocumentNode,
      variables: Variables,
      options?: FollowOptions,
    ): AsyncIterableIterator<StreamResult, undefined>;
  };
}

/** What has come is shown as soon as nothing more waits to be read, and then at most this often. */
const SHOW_EVERY_MS = 16;

/** How far a view has come: enough to go on from. */
interface Progress<State> {
  state: State;
  /** Of the last event that was folded. */
  cursor: string | null;
  /** Of the last event that is in the snapshot, while the replay has not come to it. */
  pastUntil: string | undefined;
}

/** `snapshot` is the object as it was read just now, where it need not be read again to begin with. */
export function openLive<State, V extends Variables>(
  client: LiveClient,
  definition: LiveDefinition<State, V>,
  given: V,
  snapshot?: unknown,
): LiveStore<State> {
  const progress =
    snapshot === undefined ? undefined : progressFrom(definition, snapshot, { from: null, isWhole: true });
  const view = changeable<LiveView<State>>({
    data: progress?.state,
    isCaughtUp: progress !== undefined && progress.pastUntil === undefined,
    isEnded: false,
    error: undefined,
    connection: CONNECTING,
  });
  const show = (change: Partial<LiveView<State>>): void => {
    view.set({ ...view.get(), ...change });
  };
  const reader: Reader<State> = {
    ...{ client, definition, show },
    variables: definition.variables(given),
    ...{ connection: CONNECTING, progress },
  };
  let running: AbortController | undefined;

  const run = async (signal: AbortSignal): Promise<void> => {
    try {
      for (let isWhole = true, from: string | null = null; !signal.aborted; isWhole = false) {
        const gap: string | undefined = await goOn(reader, { from, isWhole }, signal);
        if (gap === undefined) break;
        [reader.progress, from] = [undefined, gap];
      }
      if (!signal.aborted) show({ isEnded: true, isCaughtUp: true });
    } catch (thrown) {
      if (!signal.aborted) show({ isEnded: true, error: toApiError(thrown) });
    }
  };
  const start = (): void => {
    if (running || view.get().isEnded) return;
    running = new AbortController();
    void run(running.signal);
  };
  const stop = (): void => {
    running?.abort();
    running = undefined;
  };
  return {
    get: view.get,
    subscribe: (listener) => {
      const unsubscribe = view.subscribe(listener);
      start();
      return () => {
        unsubscribe();
        if (view.listeners === 0) stop();
      };
    },
    reload: () => {
      stop();
      reader.progress = undefined;
      show({ isEnded: false, isCaughtUp: false, error: undefined, connection: CONNECTING });
      if (view.listeners > 0) start();
    },
  };
}

interface Reader<State> {
  readonly client: LiveClient;
  readonly definition: LiveDefinition<State, never>;
  readonly variables: Variables;
  readonly show: (change: Partial<LiveView<State>>) => void;
  /** Of the stream, as it was heard of last. */
  connection: ConnectionState;
  progress: Progress<State> | undefined;
}

interface Beginning {
  /** Where its events begin: the cursor of a gap, else null. */
  readonly from: string | null;
  readonly isWhole: boolean;
}

/** Follows the object from where it was, or reads it first. @returns the cursor of a gap, before which it has to be read anew. */
async function goOn<State>(
  reader: Reader<State>,
  beginning: Beginning,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { snapshot, model } = reader.definition;
  const known = !snapshot || model.from === "replay" ? beginning.from : undefined;
  const cursor = reader.progress ? reader.progress.cursor : known;
  // What is replayed comes while the object is read; what follows it cannot be asked for before.
  let listening = cursor === undefined ? undefined : listen(reader, cursor, signal);
  try {
    const progress = (reader.progress ??= await begin(reader, beginning, signal));
    listening ??= listen(reader, progress.cursor, signal);
    return await followFrom(reader, progress, listening, signal);
  } finally {
    await listening?.results.return?.();
  }
}

/** Reads the object, from which its events go on. */
async function begin<State>(
  reader: Reader<State>,
  beginning: Beginning,
  signal: AbortSignal,
): Promise<Progress<State>> {
  const { snapshot, model } = reader.definition;
  if (!snapshot)
    return { state: model.begin(undefined, beginning.isWhole), cursor: beginning.from, pastUntil: undefined };
  const data = await readSnapshot(reader, snapshot.document, signal);
  const progress = progressFrom(reader.definition, data, beginning);
  reader.show({ data: progress.state, isCaughtUp: progress.pastUntil === undefined });
  return progress;
}

/** Where a reader stands who has read the object, and none of its events. */
function progressFrom<State>(
  { snapshot, model }: LiveDefinition<State, never>,
  data: unknown,
  { from, isWhole }: Beginning,
): Progress<State> {
  const state = model.begin(data, isWhole);
  const cursor = snapshot?.cursorOf(data) ?? from;
  if (model.from === "after") return { state, cursor, pastUntil: undefined };
  return { state, cursor: from, pastUntil: cursor === from ? undefined : (cursor ?? undefined) };
}

/** @throws ApiError for what does not pass by itself. */
async function readSnapshot<State>(
  reader: Reader<State>,
  document: DocumentNode,
  signal: AbortSignal,
): Promise<unknown> {
  const { client, variables, show } = reader;
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    const error = await client.raw
      .execute(document, variables, signal)
      .then(
        ({ data, errors }) =>
          data && Object.values(data).every((value) => value !== null) ? { data } : apiErrorOf(errors ?? []),
        toApiError,
      );
    if ("data" in error && !(error instanceof Error)) {
      if (attempt > 1) show({ connection: reader.connection });
      return error.data;
    }
    const failure = toApiError(error);
    if (failure.advice.action !== "retry") throw failure;
    const waitMs = backoffMs(attempt, failure);
    const retryAt = new Date(Date.now() + waitMs);
    show({ connection: { ...CONNECTING, status: "reconnecting", attempt, retryAt, error: failure } });
    await pause(waitMs, signal);
  }
}

interface Listening {
  readonly results: AsyncIterableIterator<StreamResult, undefined>;
  readonly first: Promise<IteratorResult<StreamResult, undefined>>;
}

/** Opens the stream after a cursor; what comes is kept for whoever follows it. */
function listen<State>(reader: Reader<State>, cursor: string | null, signal: AbortSignal): Listening {
  const { client, definition, variables, show } = reader;
  const onConnection = (connection: ConnectionState): void => {
    reader.connection = connection;
    if (!signal.aborted) show({ connection });
  };
  // It is shown, and somebody may come back to it: it is never given up.
  const options = { signal, onConnection, maxAttempts: Infinity };
  const results = client.raw.subscribe(definition.events, { ...variables, after: cursor }, options);
  const first = results.next();
  // Who follows it hears of it; nobody does when the object cannot be read.
  first.catch(() => undefined);
  return { results, first };
}

/** Folds what comes until the stream completes. @returns the cursor of a gap. */
async function followFrom<State>(
  { definition: { model }, show }: Reader<State>,
  progress: Progress<State>,
  { results, first }: Listening,
  signal: AbortSignal,
): Promise<string | undefined> {
  const batch = openBatch<LiveEvent<unknown>>((folded) => {
    progress.state = model.fold(progress.state, folded);
    if (!signal.aborted) show({ data: progress.state, isCaughtUp: progress.pastUntil === undefined });
  });
  try {
    for (let result = await first; result.done !== true; result = await results.next()) {
      const { data, errors } = result.value;
      const cursor = cursorOf(data);
      // Nothing is left of the event, and the stream cannot go on from it.
      if (cursor === undefined) throw apiErrorOf(errors ?? []);
      if (model.isGap?.(data)) return cursor;
      const isPast = progress.pastUntil !== undefined;
      if (cursor === progress.pastUntil) progress.pastUntil = undefined;
      progress.cursor = cursor;
      batch.add({ data, isPast });
    }
    return undefined;
  } finally {
    batch.flush();
  }
}

function cursorOf(data: unknown): string | undefined {
  const cursor = recordOf(Object.values(recordOf(data) ?? {})[0])?.["cursor"];
  return typeof cursor === "string" ? cursor : undefined;
}

/**
 * Gives on together what comes in a burst: after a quiet time in the next task, with all that was waiting to be read by then. Where
 * showing takes long, what came meanwhile is one change, not one each.
 */
function openBatch<T>(give: (items: readonly T[]) => void) {
  let items: T[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isDueAtMs = 0;
  const flush = (): void => {
    clearTimeout(timer);
    timer = undefined;
    if (items.length === 0) return;
    const given = items;
    items = [];
    const sinceMs = Date.now();
    give(given);
    // What shows it (React) has done so by then: it has as much time to itself as it takes, whatever the machine.
    queueMicrotask(() => {
      isDueAtMs = Date.now() + Math.max(SHOW_EVERY_MS, Date.now() - sinceMs);
    });
  };
  return {
    flush,
    add: (item: T) => {
      items.push(item);
      timer ??= setTimeout(flush, Math.max(0, isDueAtMs - Date.now()));
    },
  };
}
