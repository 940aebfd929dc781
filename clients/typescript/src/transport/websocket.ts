import { createClient, type Client as SocketClient } from "graphql-ws";
import { textOf } from "../documents.ts";
import { toApiError } from "../errors.ts";
import { introduce, type Introduction } from "../token.ts";
import { openRenewal } from "./renewal.ts";
import type { Rung, StreamOptions, StreamRequest, StreamResult } from "./transport.ts";

/** graphql-transport-ws: all streams over one socket, which is open while there are any. */

export interface SocketOptions extends Introduction {
  readonly url: string;
  readonly heartbeat: Heartbeat;
}

export interface Heartbeat {
  /** How often the peer is asked whether it is there. */
  readonly everyMs: number;
  /** A peer that says nothing for this long is gone. */
  readonly answerWithinMs: number;
}

const IDLE_SOCKET_MS = 1_000;
const ACK_WITHIN_MS = 10_000;

export function openWebSocket({ url, heartbeat, ...who }: SocketOptions): Rung {
  let current: WebSocket | undefined;
  let unanswered: ReturnType<typeof setTimeout> | undefined;
  const send = (message: unknown): void => {
    if (current?.readyState === WebSocket.OPEN) current.send(JSON.stringify(message));
  };
  const expectPong = (): void => {
    clearTimeout(unanswered);
    unanswered = setTimeout(() => {
      client.terminate();
    }, heartbeat.answerWithinMs);
  };
  const renewal = openRenewal(who.token, send);
  const client: SocketClient = createClient({
    url,
    lazyCloseTimeout: IDLE_SOCKET_MS,
    connectionAckWaitTimeout: ACK_WITHIN_MS,
    keepAlive: heartbeat.everyMs,
    // It would subscribe again with the variables it began with, and so repeat or lose events: follow.ts knows where to go on.
    retryAttempts: 0,
    connectionParams: () => introduce(who),
    on: {
      connected: (socket, payload) => {
        current = socket as WebSocket;
        renewal.schedule(payload);
      },
      ping: (received) => {
        if (!received) expectPong();
      },
      pong: (received, payload) => {
        if (received) clearTimeout(unanswered);
        renewal.schedule(payload);
      },
      closed: () => {
        current = undefined;
        clearTimeout(unanswered);
        renewal.stop();
      },
    },
  });
  return {
    name: "websocket",
    carries: () => typeof WebSocket !== "undefined",
    stream: (request, options) => iterate(client, request, options, () => current !== undefined),
    check: () => {
      if (current === undefined) return;
      send({ type: "ping" });
      expectPong();
    },
    close: async () => {
      await client.dispose();
    },
  };
}

/** One subscription on the socket, ended by the signal. */
async function* iterate(
  client: SocketClient,
  { document, variables }: StreamRequest,
  { signal, onOpen }: StreamOptions,
  isConnected: () => boolean,
): AsyncGenerator<StreamResult, undefined> {
  const opened = (): void => {
    onOpen("websocket");
  };
  const forget = client.on("connected", opened);
  const results = client.iterate<Record<string, unknown>>({ query: textOf(document), variables: { ...variables } });
  if (isConnected()) opened();
  const leave = (): void => {
    void results.return?.();
  };
  signal.addEventListener("abort", leave, { once: true });
  try {
    yield* results as AsyncIterableIterator<StreamResult>;
  } catch (thrown) {
    throw toApiError(thrown);
  } finally {
    forget();
    signal.removeEventListener("abort", leave);
    await results.return?.();
  }
  return undefined;
}
