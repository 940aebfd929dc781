import type { IncomingMessage, Server as HttpServer } from "node:http";
import type { Duplex } from "node:stream";
import type { GraphQLError, GraphQLFormattedError } from "graphql";
import { CloseCode, handleProtocols, makeServer, type ServerOptions } from "graphql-ws";
import { WebSocketServer, type WebSocket } from "ws";
import { OperationFailed } from "./execute.ts";
import { logger } from "./log.ts";

/**
 * graphql-transport-ws (https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverWebSocket.md) on one path
 * of an HTTP server: a subgraph's, for its gateway. The protocol is graphql-ws's; here are the socket's own rules. What clients
 * connect to is the gateway's own (`gateway/src/socket-protocol.ts`).
 */

/** What belongs to one socket from its opening to its end. */
export interface SocketExtra {
  readonly socket: WebSocket;
  readonly request: IncomingMessage;
}

export interface GraphqlSocketOptions<Extra extends SocketExtra> {
  readonly path: string;
  /** Longer messages close the socket with 1009; `ws` alone would take 100 MiB. */
  readonly maxMessageBytes: number;
  /** Pings go out this often; a peer that has not answered by the next one is gone. */
  readonly keepAliveMs: number;
  readonly protocol: ServerOptions<Record<string, unknown>, Extra>;
  /** Makes the state of a new socket. */
  readonly open: (extra: SocketExtra) => Extra;
}

export interface GraphqlSocketServer {
  /** Sockets open now. */
  readonly size: number;
  /** Refuses new sockets and closes the open ones with this code; resolves when they are gone, those that do not answer are cut. */
  close(code: number, reason: string): Promise<void>;
}

const CLOSE_TIMEOUT_MS = 2_000;

/** The errors of an `error` message: of a stream that ended with `OperationFailed`, those which it brings. */
export function shownErrors(error: GraphQLError): readonly GraphQLFormattedError[] {
  const errors = error.originalError instanceof OperationFailed ? error.originalError.errors : [error];
  return errors.map((each) => each.toJSON());
}

/** Serves the protocol on `path` of an HTTP server; upgrades to other paths are answered 404. */
export function serveGraphqlSocket<Extra extends SocketExtra>(
  server: HttpServer,
  options: GraphqlSocketOptions<Extra>,
): GraphqlSocketServer {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: options.maxMessageBytes, handleProtocols });
  const protocol = makeServer<Record<string, unknown>, Extra>(options.protocol);
  server.on("upgrade", (request: IncomingMessage, duplex: Duplex, head: Buffer) => {
    duplex.on("error", () => {
      duplex.destroy();
    });
    if (pathOf(request) !== options.path) {
      duplex.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    sockets.handleUpgrade(request, duplex, head, (socket) => {
      attach(protocol, socket, options, options.open({ socket, request }));
    });
  });
  return {
    get size() {
      return sockets.clients.size;
    },
    close: (code, reason) => closeSockets(sockets, code, reason),
  };
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "/").split("?", 1)[0] ?? "/";
}

function attach<Extra extends SocketExtra>(
  protocol: ReturnType<typeof makeServer<Record<string, unknown>, Extra>>,
  socket: WebSocket,
  options: GraphqlSocketOptions<Extra>,
  extra: Extra,
): void {
  const stopPinging = keepAlive(socket, options.keepAliveMs);
  const closed = protocol.opened(
    {
      protocol: socket.protocol,
      send: openSender(socket, extra.request.socket),
      close: (code, reason) => {
        socket.close(code, reason);
      },
      onMessage: (handle) => {
        socket.on("message", (data) => {
          // What arrives after we have said goodbye, with bad credentials for one, is not handled.
          if (socket.readyState !== socket.OPEN) return;
          void handle(asText(data)).catch((error: unknown) => {
            failSocket(socket, error);
          });
        });
      },
    },
    extra,
  );
  // A frame that is too long or malformed: `ws` closes with the right code by itself.
  socket.on("error", () => undefined);
  socket.once("close", (code, reason) => {
    stopPinging();
    void closed(code, String(reason)).catch((error: unknown) => {
      logger.error({ err: error }, "closing a socket failed");
    });
  });
}

function asText(data: Buffer | ArrayBuffer | Buffer[]): string {
  if (Array.isArray(data)) return Buffer.concat(data).toString();
  return Buffer.isBuffer(data) ? data.toString() : Buffer.from(data).toString();
}

/** What may wait in this process for a peer that reads slowly, before those who produce for it wait too. */
const MAX_WAITING_BYTES = 64 * 1024;

/**
 * Frames that are ready in one turn of the event loop leave in one system call, which is most of what a frame costs. Who produces
 * faster than the peer reads waits here until its own frame is handed to the operating system.
 */
function openSender(socket: WebSocket, transport: Duplex): (data: string) => Promise<void> {
  let corked = false;
  const flush = (): void => {
    corked = false;
    transport.uncork();
  };
  return (data) => {
    if (socket.readyState !== socket.OPEN) return Promise.resolve();
    if (!corked) {
      corked = true;
      transport.cork();
      setImmediate(flush);
    }
    if (socket.bufferedAmount < MAX_WAITING_BYTES) {
      // A write that fails belongs to a socket that is closing: its own close event tells the rest.
      socket.send(data, () => undefined);
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      socket.send(data, () => {
        resolve();
      });
    });
  };
}

function failSocket(socket: WebSocket, error: unknown): void {
  logger.error({ err: error }, "handling a socket's message failed");
  socket.close(CloseCode.InternalServerError, "Internal server error");
}

function keepAlive(socket: WebSocket, everyMs: number): () => void {
  let answered = true;
  socket.on("pong", () => {
    answered = true;
  });
  const timer = setInterval(() => {
    if (!answered) {
      socket.terminate();
      return;
    }
    answered = false;
    socket.ping();
  }, everyMs);
  timer.unref();
  return () => {
    clearInterval(timer);
  };
}

/** Closes every socket with a code and a reason; what is still open after a while is cut. */
export async function closeSockets(sockets: WebSocketServer, code: number, reason: string): Promise<void> {
  const open = [...sockets.clients];
  const gone = open.map(
    (socket) =>
      new Promise<void>((resolve) => {
        socket.once("close", () => {
          resolve();
        });
      }),
  );
  for (const socket of open) socket.close(code, reason);
  const cut = setTimeout(() => {
    for (const socket of open) socket.terminate();
  }, CLOSE_TIMEOUT_MS);
  sockets.close();
  await Promise.all(gone);
  clearTimeout(cut);
}
