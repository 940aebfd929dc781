import { CONNECTING, type Connections, type ConnectionState } from "./connection.ts";
import type { ApiError } from "./errors.ts";
import { recordOf, toApiError } from "./errors.ts";
import type { RateLimit } from "./rate-limit.ts";
import { MOVED } from "./transport/ladder.ts";
import type { StreamRequest, StreamResult, Transport } from "./transport/transport.ts";
import { backoffMs, pause } from "./wait.ts";
import type { Surroundings } from "./wake.ts";

/**
 * A subscription that survives its connections. It keeps the cursor of the last event that was given out, opens the
 * stream again after it when the connection is lost, and gives each event once.
 */

export interface FollowOptions {
  readonly signal?: AbortSignal;
  /** False ends with an error where the connection is lost. */
  readonly resume?: boolean;
  /** Hears how live it is. */
  readonly onConnection?: (state: ConnectionState) => void;
  /** How often in a row it is tried in vain, without an event in between. */
  readonly maxAttempts?: number;
}

export interface FollowContext {
  readonly transport: Transport;
  readonly connections: Connections;
  readonly surroundings: Surroundings;
  readonly limit: RateLimit;
  /** Before the first attempt after a loss; each further one waits up to twice as long. */
  readonly firstPauseMs: number;
}

const MAX_ATTEMPTS = 12;

export function follow(
  context: FollowContext,
  request: StreamRequest,
  options: FollowOptions = {},
): AsyncIterableIterator<StreamResult, undefined> {
  const leaving = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, leaving.signal]) : leaving.signal;
  const results = read(context, request, signal, options);
  return {
    next: () => results.next(),
    // A generator's own return() waits behind a next() under way.
    return: () => {
      leaving.abort();
      return results.return(undefined);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

async function* read(
  { transport, connections, surroundings, limit, firstPauseMs }: FollowContext,
  { document, variables }: StreamRequest,
  signal: AbortSignal,
  { resume = true, maxAttempts = MAX_ATTEMPTS, onConnection }: FollowOptions,
): AsyncGenerator<StreamResult, undefined> {
  const state = connections.open();
  if (onConnection)
    state.subscribe(() => {
      onConnection(state.get());
    });
  const place = openPlace();
  const wakes = watchWakes(surroundings, transport);
  let attempt = 0;
  const onOpen = (name: ReturnType<typeof state.get>["transport"]): void => {
    state.set({ ...CONNECTING, status: "connected", transport: name });
  };
  try {
    while (!signal.aborted) {
      try {
        await limit.take(signal);
        const request = { document, variables: place.after(variables) };
        for await (const result of transport.stream(request, { signal, onOpen })) {
          attempt = 0;
          if (place.isNew(result)) yield result;
        }
        return undefined;
      } catch (thrown) {
        if (signal.aborted) return undefined;
        const error = toApiError(thrown);
        if (error.reason === MOVED) continue;
        if (!resume || !isResumable(error) || ++attempt > maxAttempts) throw error;
        const waitMs = backoffMs(attempt, { firstMs: firstPauseMs, retryAfterMs: error.retryAfterMs });
        if (error.code === "RATE_LIMITED") limit.hold(error.retryAfterMs ?? waitMs);
        const status = surroundings.isOnline() ? "reconnecting" : "offline";
        state.set({ status, transport: undefined, attempt, error, retryAt: new Date(Date.now() + waitMs) });
        await pause(waitMs, signal, wakes.next());
        while (!surroundings.isOnline() && !signal.aborted) await pause(waitMs, signal, wakes.next());
      }
    }
    return undefined;
  } finally {
    wakes.stop();
    state.end();
  }
}

/** An abort signal for the next moment at which waiting makes no more sense. */
function watchWakes(surroundings: Surroundings, transport: Transport) {
  let next = new AbortController();
  const stop = surroundings.onWake(() => {
    transport.check();
    const woken = next;
    next = new AbortController();
    woken.abort();
  });
  return { stop, next: () => next.signal };
}

/** Where in the stream its reader stands. */
function openPlace() {
  let cursor: string | undefined;
  let seq = 0;
  return {
    after: (variables: Readonly<Record<string, unknown>>) =>
      cursor === undefined ? variables : { ...variables, after: cursor },
    /** False for an event that was given out before. */
    isNew: ({ data }: StreamResult): boolean => {
      // Of the subscription's one field.
      const event = recordOf(Object.values(data ?? {})[0]);
      const [nextCursor, nextSeq] = [event?.["cursor"], event?.["seq"]];
      if (typeof nextCursor !== "string") return true;
      if (nextCursor === cursor || (typeof nextSeq === "number" && nextSeq <= seq)) return false;
      cursor = nextCursor;
      if (typeof nextSeq === "number") seq = nextSeq;
      return true;
    },
  };
}

function isResumable({ code, reason }: ApiError): boolean {
  return reason === "NETWORK_FAILED" || code === "UNAVAILABLE" || code === "RATE_LIMITED";
}
