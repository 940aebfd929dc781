import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import type { DocumentNode } from "graphql";
import { openConnections, type ConnectionState, type TransportName } from "./connection.ts";
import { textOf } from "./documents.ts";
import type { ApiError } from "./errors.ts";
import { apiErrorOf } from "./errors.ts";
import { follow, type FollowOptions } from "./follow.ts";
import { API_VERSION, CLIENT } from "./generated/version.ts";
import type { LiveDefinition } from "./live/definition.ts";
import { openPrepared } from "./live/prepared.ts";
import { openLive, type LiveStore } from "./live/store.ts";
import type { Observable } from "./observable.ts";
import { openOutbox, type Outbox } from "./outbox.ts";
import { DEFAULT_RATE_LIMIT, rateLimit, type RateLimitOptions } from "./rate-limit.ts";
import { openRealtime, type RealtimeOptions } from "./realtime.ts";
import { openHttp } from "./request.ts";
import { localLocks, memoryStorage, webStorage, type Locks, type Storage } from "./storage.ts";
import { identityOf, readToken, type ClientName, type Token } from "./token.ts";
import type { Heartbeat } from "./transport/websocket.ts";
import type { StreamResult } from "./transport/transport.ts";
import { FIRST_PAUSE_MS } from "./wait.ts";
import { surroundings as actualSurroundings, type Surroundings } from "./wake.ts";

/** A typed client for Node and browsers: HTTP for queries and mutations, live streams that lose nothing. See PROTOCOL.md. */

export interface ClientOptions {
  /** `https://host/graphql`. */
  readonly url: string;
  /** The WebSocket address; the same with `ws` for `http` when absent. */
  readonly subscriptionsUrl?: string;
  /** Where events are sent over HTTP; `url` and `/stream` when absent. */
  readonly sseUrl?: string;
  /** Absent for what needs no credentials, such as signing in. Another principal wants another client. */
  readonly token?: Token;
  /** What your program calls itself, when it has documents of its own registered, or to be told apart; `@sba/client` by default. */
  readonly client?: ClientName;
  /** How subscriptions may be listened to, the best first; all by default. */
  readonly transports?: readonly [TransportName, ...TransportName[]];
  /** One connection for all tabs; where there are tabs by default. */
  readonly shareAcrossTabs?: boolean;
  /** What is sent at most. */
  readonly rateLimit?: RateLimitOptions;
  readonly heartbeat?: Heartbeat;
  /** How often events are asked for where nothing stays open. */
  readonly pollEveryMs?: number;
  /** How long to wait before a lost connection is tried again; each further attempt waits up to twice as long. */
  readonly firstPauseMs?: number;
  /** When better transports than the one in use are tried for the first time; then at ever longer intervals. */
  readonly climbAfterMs?: number;
  /** Where mutations wait that were made offline; localStorage where there is one, else memory. */
  readonly storage?: Storage;
  /** Hears what is odd and no error, such as an API of another version; the console by default. */
  readonly onWarning?: (message: string) => void;
  /** What says that the machine woke or is offline; of tests. */
  readonly surroundings?: Surroundings;
}

export interface RequestOptions {
  readonly signal?: AbortSignal;
}

export interface SubscribeOptions extends FollowOptions {
  /** Hears of events of which a part failed; they are given out with null for that part. */
  readonly onPartialEvent?: (error: ApiError) => void;
}

export type Variables = Readonly<Record<string, unknown>>;
/** Variables may be left out when none of them is required. */
type Arguments<V, Options> =
  Record<string, never> extends V ? [variables?: V, options?: Options] : [variables: V, options?: Options];

export interface Client {
  /** @throws ApiError when there is any error; `data` of the error has what there is of the result. */
  query<Data, V extends Variables>(
    document: TypedDocumentNode<Data, V>,
    ...rest: Arguments<V, RequestOptions>
  ): Promise<Data>;
  /** As `query`. Nothing is sent twice: a mutation that must not happen twice carries an idempotency key. */
  mutate<Data, V extends Variables>(
    document: TypedDocumentNode<Data, V>,
    ...rest: Arguments<V, RequestOptions>
  ): Promise<Data>;
  /** The events, until the stream completes. A lost connection is resumed after the last event's cursor. `next()` throws ApiError. */
  subscribe<Data, V extends Variables>(
    document: TypedDocumentNode<Data, V>,
    ...rest: Arguments<V, SubscribeOptions>
  ): AsyncIterableIterator<Data, undefined>;
  /** What is there and what happens to it, as one value that changes. */
  live<State, V extends Variables>(definition: LiveDefinition<State, V>, variables: V): LiveStore<State>;
  /**
   * Begins a view with what an answer has just said of its object, such as the mutation that made it, so that it is not read
   * once more. Its stream is opened at once; `live` of the same gives this view within the next seconds.
   */
  prepare<State, V extends Variables, Snapshot>(
    definition: LiveDefinition<State, V, Snapshot>,
    variables: V,
    snapshot: NoInfer<Snapshot>,
  ): void;
  /** How live the streams that are open are. */
  readonly connection: Observable<ConnectionState>;
  /** Mutations made while nobody could be reached. Asking for it sends what an earlier visit left. */
  readonly outbox: Outbox;
  /** For other libraries: what the API answers, errors and all. @throws NetworkError */
  readonly raw: {
    execute(document: DocumentNode, variables: Variables, signal?: AbortSignal): Promise<StreamResult>;
    subscribe(
      document: DocumentNode,
      variables: Variables,
      options?: FollowOptions,
    ): AsyncIterableIterator<StreamResult, undefined>;
  };
  /** Closes the connection; streams that are open end. */
  close(): Promise<void>;
}

const POLL_EVERY_MS = 2_000;
const CLIMB_AFTER_MS = 5_000;
const HEARTBEAT: Heartbeat = { everyMs: 10_000, answerWithinMs: 5_000 };

export function createClient(options: ClientOptions): Client {
  const { url, token, client: name = CLIENT, surroundings = actualSurroundings } = options;
  const limit = rateLimit(options.rateLimit ?? DEFAULT_RATE_LIMIT);
  const execute = openHttp({ url, token, client: name, limit, onVersion: versionWatch(options.onWarning ?? warn) });
  const transport = openRealtime(realtimeOptions(options, execute));
  const connections = openConnections();
  const { firstPauseMs = FIRST_PAUSE_MS } = options;
  const context = { transport, connections, surroundings, limit, firstPauseMs };
  const send = async <Data, V extends Variables>(
    document: TypedDocumentNode<Data, V>,
    ...[variables, { signal } = {}]: Arguments<V, RequestOptions>
  ): Promise<Data> => {
    const { data, errors } = await execute(textOf(document), variables ?? {}, signal);
    if (errors) throw apiErrorOf(errors, { data });
    // The document's type says what the API promises for it; the schema's check in CI keeps the two together.
    return data as Data;
  };
  let outbox: Outbox | undefined;
  const prepared = openPrepared();
  const client: Client = {
    query: send,
    mutate: send,
    subscribe: <Data, V extends Variables>(
      document: TypedDocumentNode<Data, V>,
      ...[variables, followOptions = {}]: Arguments<V, SubscribeOptions>
    ) => dataOf<Data>(follow(context, { document, variables: variables ?? {} }, followOptions), followOptions),
    live: (definition, variables) => prepared.find(definition, variables) ?? openLive(client, definition, variables),
    prepare: (definition, variables, snapshot) => {
      prepared.keep(definition, variables, openLive(client, definition, variables, snapshot));
    },
    connection: connections,
    get outbox() {
      return (outbox ??= openOutbox({
        execute,
        surroundings,
        storage: options.storage ?? defaultStorage(),
        locks: defaultLocks(),
        identity: async () => identityOf(await readToken(token)),
      }));
    },
    raw: {
      execute: (document, variables, signal) => execute(textOf(document), variables, signal),
      subscribe: (document, variables, followOptions) => follow(context, { document, variables }, followOptions),
    },
    close: async () => {
      outbox?.close();
      prepared.close();
      await transport.close();
    },
  };
  return client;
}

function realtimeOptions(options: ClientOptions, execute: RealtimeOptions["execute"]): RealtimeOptions {
  const { url, token, client = CLIENT } = options;
  return {
    execute,
    token,
    client,
    socketUrl: options.subscriptionsUrl ?? url.replace(/^http/, "ws"),
    sseUrl: options.sseUrl ?? `${url}/stream`,
    transports: options.transports ?? ["websocket", "sse", "polling"],
    heartbeat: options.heartbeat ?? HEARTBEAT,
    pollEveryMs: options.pollEveryMs ?? POLL_EVERY_MS,
    climbAfterMs: options.climbAfterMs ?? CLIMB_AFTER_MS,
    shareAcrossTabs: options.shareAcrossTabs ?? typeof document !== "undefined",
  };
}

/** The data of each event. @throws ApiError for one of which nothing is left. */
async function* dataOf<Data>(
  results: AsyncIterableIterator<StreamResult, undefined>,
  { onPartialEvent }: SubscribeOptions,
): AsyncGenerator<Data, undefined> {
  for await (const { data, errors } of results) {
    const isThere = Object.values(data ?? {}).some((value) => value !== null);
    if (errors?.length) {
      const error = apiErrorOf(errors, { data });
      if (!isThere) throw error;
      onPartialEvent?.(error);
    }
    if (isThere) yield data as Data;
  }
  return undefined;
}

/** Says once that the API is not the one that this client was made for. Most things still work: fields are only added. */
function versionWatch(warnOf: (message: string) => void): (version: string) => void {
  let seen = API_VERSION;
  return (version) => {
    if (version === seen) return;
    seen = version;
    warnOf(`The API is of version ${version}, this client of ${API_VERSION}: update @sba/client or reload the page.`);
  };
}

function warn(message: string): void {
  // eslint-disable-next-line no-console -- whoever develops with the client reads it there.
  console.warn(message);
}

function defaultStorage(): Storage {
  return typeof localStorage === "undefined" || typeof document === "undefined"
    ? memoryStorage()
    : webStorage(localStorage);
}

function defaultLocks(): Locks {
  return typeof navigator === "undefined" || !("locks" in navigator) || typeof document === "undefined"
    ? localLocks()
    : { request: async (name, work) => navigator.locks.request(name, work) };
}
