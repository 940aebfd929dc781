import { createClient as createSocketClient, type Client as SocketClient } from "graphql-ws";
import { ApiError, isFormattedErrors, networkError } from "./errors.ts";
import { readToken, type Token } from "./token.ts";

/**
 * Subscriptions over one socket. graphql-ws would resume a lost subscription with the variables it began with, and so
 * repeat or lose events: here each one is opened again after the cursor of the last event that was given out.
 */

export interface SubscribeOptions {
  readonly signal?: AbortSignal;
  /** False ends with an error where the connection is lost. */
  readonly resume?: boolean;
}

export interface Realtime {
  subscribe<Data>(
    query: string,
    variables: Readonly<Record<string, unknown>>,
    options?: SubscribeOptions,
  ): AsyncIterableIterator<Data, undefined>;
  close(): Promise<void>;
}

const KEEP_ALIVE_MS = 10_000;
const PONG_TIMEOUT_MS = 5_000;
const IDLE_SOCKET_MS = 1_000;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;
/** Without an event in between. */
const MAX_ATTEMPTS = 12;
/** New credentials are sent when this much of the old ones' time is left, at most. */
const RENEW_BEFORE_MS = 60_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

export function openRealtime({ url, token }: { readonly url: string; readonly token: Token | undefined }): Realtime {
  const socket = openSocket(url, token);
  return {
    subscribe: (query, variables, options = {}) => follow(socket, query, variables, options),
    close: async () => {
      await socket.dispose();
    },
  };
}

function openSocket(url: string, token: Token | undefined): SocketClient {
  const renewal = renewer(token);
  let unanswered: ReturnType<typeof setTimeout> | undefined;
  const client: SocketClient = createSocketClient({
    url,
    lazyCloseTimeout: IDLE_SOCKET_MS,
    keepAlive: KEEP_ALIVE_MS,
    retryAttempts: 0,
    connectionParams: async () => {
      const credentials = await readToken(token);
      return credentials === undefined ? {} : { authorization: `Bearer ${credentials}` };
    },
    on: {
      connected: (socket, payload) => {
        renewal.schedule(socket as WebSocket, payload);
      },
      ping: (received) => {
        if (!received)
          unanswered = setTimeout(() => {
            client.terminate();
          }, PONG_TIMEOUT_MS);
      },
      pong: (received, payload) => {
        if (received) clearTimeout(unanswered);
        renewal.renewed(payload);
      },
      closed: () => {
        clearTimeout(unanswered);
        renewal.stop();
      },
    },
  });
  return client;
}

/** Sends new credentials over the open socket before the old ones end, if there is a way to get them. */
function renewer(token: Token | undefined) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let current: WebSocket | undefined;
  const stop = (): void => {
    clearTimeout(timer);
    current = undefined;
  };
  const scheduleFor = (payload: unknown): void => {
    const expiresAtMs = expiryIn(payload);
    if (typeof token !== "function" || expiresAtMs === undefined) return;
    const leftMs = expiresAtMs - Date.now();
    clearTimeout(timer);
    timer = setTimeout(() => void renew(), Math.min(MAX_TIMER_MS, Math.max(leftMs / 2, leftMs - RENEW_BEFORE_MS)));
  };
  const renew = async (): Promise<void> => {
    // A failure to get credentials shows when the socket is closed for it.
    const credentials = await readToken(token).catch(() => undefined);
    if (credentials !== undefined && current?.readyState === WebSocket.OPEN) {
      current.send(JSON.stringify({ type: "ping", payload: { authorization: `Bearer ${credentials}` } }));
    }
  };
  return {
    schedule: (socket: WebSocket, payload: unknown) => {
      current = socket;
      scheduleFor(payload);
    },
    renewed: scheduleFor,
    stop,
  };
}

/** `{"authorization":{"expiresAt":"..."}}`, as ack and pong bring it. */
function expiryIn(payload: unknown): number | undefined {
  const authorization = recordOf(recordOf(payload)?.["authorization"]);
  const expiresAt = authorization?.["expiresAt"];
  const ms = typeof expiresAt === "string" ? Date.parse(expiresAt) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
}

function follow<Data>(
  socket: SocketClient,
  query: string,
  variables: Readonly<Record<string, unknown>>,
  { signal, resume = true }: SubscribeOptions,
): AsyncIterableIterator<Data, undefined> {
  const leaving = new AbortController();
  const stop = signal ? AbortSignal.any([signal, leaving.signal]) : leaving.signal;
  const events = readEvents<Data>(socket, query, variables, stop, resume);
  return {
    next: () => events.next(),
    // A generator's own return() waits behind a next() under way.
    return: () => {
      leaving.abort();
      return events.return(undefined);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

async function* readEvents<Data>(
  socket: SocketClient,
  query: string,
  variables: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
  resume: boolean,
): AsyncGenerator<Data, undefined> {
  let cursor: string | undefined;
  for (let attempt = 0; !signal.aborted;) {
    try {
      for await (const data of iterate<Data>(
        socket,
        query,
        cursor === undefined ? variables : { ...variables, after: cursor },
        signal,
      )) {
        attempt = 0;
        cursor = cursorOf(data) ?? cursor;
        yield data;
      }
      return undefined;
    } catch (thrown) {
      if (signal.aborted) return undefined;
      const failure = toApiError(thrown);
      if (!resume || !isResumable(failure) || ++attempt > MAX_ATTEMPTS) throw failure;
      await pause(failure.retryAfterMs ?? Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt), signal);
    }
  }
  return undefined;
}

/** One subscription on the socket, ended by the signal. */
async function* iterate<Data>(
  socket: SocketClient,
  query: string,
  variables: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): AsyncGenerator<Data, undefined> {
  const results = socket.iterate<Data>({ query, variables: { ...variables } });
  const leave = (): void => {
    void results.return?.();
  };
  signal.addEventListener("abort", leave, { once: true });
  try {
    for await (const { data, errors } of results) {
      if (errors?.length) throw new ApiError(errors, { data });
      if (data !== undefined && data !== null) yield data;
    }
  } finally {
    signal.removeEventListener("abort", leave);
    await results.return?.();
  }
  return undefined;
}

/** The cursor of an event: that of the subscription's one field. */
function cursorOf(data: unknown): string | undefined {
  const [event] = Object.values(recordOf(data) ?? {});
  const cursor = recordOf(event)?.["cursor"];
  return typeof cursor === "string" ? cursor : undefined;
}

/** graphql-ws throws an array for an `error` message, a close event for a closed socket, and an Error for one that never opened. */
function toApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (isFormattedErrors(thrown)) return new ApiError(thrown);
  const code = recordOf(thrown)?.["code"];
  const given = recordOf(thrown)?.["reason"];
  const reason = typeof given === "string" ? given : "";
  if (typeof code !== "number") return networkError("The socket was lost.", { cause: thrown });
  if (code === 4401)
    return networkError(reason || "The credentials are not valid.", { code: "UNAUTHENTICATED", cause: thrown });
  if (code >= 4400 && code < 4500)
    return networkError(`The socket was closed with ${code} ${reason}`, { code: "BAD_REQUEST", cause: thrown });
  const retryAfterMs = Number(/retryAfterMs=(\d+)/.exec(reason)?.[1] ?? Number.NaN);
  return networkError(`The socket was closed with ${code} ${reason}`, {
    cause: thrown,
    ...(Number.isNaN(retryAfterMs) ? {} : { retryAfterMs }),
  });
}

function isResumable({ code, reason }: ApiError): boolean {
  return reason === "NETWORK_FAILED" || code === "UNAVAILABLE";
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
