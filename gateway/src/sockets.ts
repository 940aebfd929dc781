import type { IncomingMessage, Server as HttpServer } from "node:http";
import type { Duplex } from "node:stream";
import proxyAddress from "@fastify/proxy-addr";
import { httpStatusOf, platformErrors, type AppError } from "@sba/platform/errors";
import { closeSockets } from "@sba/platform/graphql-socket";
import { writeHttpError } from "@sba/platform/http-errors";
import { logger } from "@sba/platform/log";
import { GRAPHQL_PATH } from "@sba/platform/server";
import { CloseCode, GRAPHQL_TRANSPORT_WS_PROTOCOL, handleProtocols } from "graphql-ws";
import { WebSocketServer, type WebSocket } from "ws";
import { errors } from "./errors.ts";
import { requestIdOf } from "./http.ts";
import type { Origins, Page } from "./origins.ts";
import { closeTooMany, Connection, type Peer as From, type ProtocolOptions } from "./socket-protocol.ts";

/** The gateway's sockets: who may open one, what is let go, and how all end. What is said on them is `socket-protocol.ts`. */

export interface SocketOptions extends Omit<ProtocolOptions, "initTimeoutMs" | "maxOperations"> {
  readonly limits: { readonly maxMessageBytes: number; readonly maxSocketOperations: number };
  /** Pings go out this often; a peer that has not answered by the next one is gone. */
  readonly keepAliveMs?: number | undefined;
  readonly initTimeoutMs?: number | undefined;
  readonly origins: Origins;
  /** Who is believed about whom a request is for; fastify, which knows as much of its own requests, is not asked for an upgrade. */
  readonly trustedProxies: readonly string[];
}

export interface SocketServer {
  /** Sockets open now. */
  readonly size: number;
  /** Refuses new sockets and closes the open ones with this code; resolves when they are gone, those that do not answer are cut. */
  close(code: number, reason: string): Promise<void>;
}

const KEEP_ALIVE_MS = 10_000;
const INIT_TIMEOUT_MS = 3_000;
/** What is compressed serves many peers at once, so it leans on no earlier message; nor may theirs, or each would cost a window. */
const DEFLATE = { serverNoContextTakeover: true, clientNoContextTakeover: true, serverMaxWindowBits: 15 };

export function serveSockets(server: HttpServer, options: SocketOptions): SocketServer {
  const { maxMessageBytes, maxSocketOperations } = options.limits;
  const protocol: ProtocolOptions = {
    ...options,
    initTimeoutMs: options.initTimeoutMs ?? INIT_TIMEOUT_MS,
    maxOperations: maxSocketOperations,
  };
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: maxMessageBytes,
    handleProtocols,
    perMessageDeflate: DEFLATE,
  });
  const peers = new Map<WebSocket, Peer>();
  const isTrusted = proxyAddress.compile([...options.trustedProxies]);
  // A page of somebody else's would connect with whatever its visitor's browser adds by itself.
  const letOn = async (request: IncomingMessage, duplex: Duplex, head: Buffer): Promise<void> => {
    const { origin, host } = request.headers;
    const page: Page = { origin, host };
    try {
      if (!(await options.origins.isAllowed(page))) {
        refuseUpgrade(request, duplex, errors.ORIGIN_NOT_ALLOWED({ details: { origin } }));
        return;
      }
      const from = { address: proxyAddress(request, isTrusted), page };
      sockets.handleUpgrade(request, duplex, head, (socket) => {
        attach(socket, duplex, from, { protocol, peers });
      });
    } catch {
      refuseUpgrade(request, duplex, platformErrors.SUBGRAPH_UNAVAILABLE());
    }
  };
  server.on("upgrade", (request: IncomingMessage, duplex: Duplex, head: Buffer) => {
    duplex.on("error", destroySelf);
    if (pathOf(request) !== GRAPHQL_PATH) {
      refuseUpgrade(request, duplex, platformErrors.ROUTE_NOT_FOUND());
      return;
    }
    void letOn(request, duplex, head);
  });
  const beating = setInterval(() => {
    for (const [socket, peer] of peers) beat(socket, peer);
  }, options.keepAliveMs ?? KEEP_ALIVE_MS).unref();
  return {
    get size() {
      return sockets.clients.size;
    },
    close: async (code, reason) => {
      clearInterval(beating);
      await closeSockets(sockets, code, reason);
    },
  };
}

function destroySelf(this: Duplex): void {
  this.destroy();
}

/** As any other request is refused; there is no response to an upgrade. */
function refuseUpgrade(request: IncomingMessage, duplex: Duplex, error: AppError): void {
  writeHttpError(duplex, httpStatusOf(error.kind), error, requestIdOf(request));
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "/").split("?", 1)[0] ?? "/";
}

/** What is known of the other end. */
interface Peer {
  readonly transport: Duplex;
  answered: boolean;
  /** Bytes that its machine had taken when we looked last. */
  taken: number;
}

interface Attaching {
  readonly protocol: ProtocolOptions;
  readonly peers: Map<WebSocket, Peer>;
}

function attach(socket: WebSocket, transport: Duplex, from: From, { protocol, peers }: Attaching): void {
  // A frame that is too long or malformed: `ws` closes with the right code by itself.
  socket.on("error", () => undefined);
  if (socket.protocol !== GRAPHQL_TRANSPORT_WS_PROTOCOL) {
    socket.close(CloseCode.SubprotocolNotAcceptable, "Subprotocol not acceptable");
    return;
  }
  const { connections } = protocol.quotas;
  if (!connections.takeForAddress(from.address)) {
    closeTooMany(socket);
    return;
  }
  const peer: Peer = { transport, answered: true, taken: 0 };
  peers.set(socket, peer);
  const connection = new Connection(socket, transport, from, protocol);
  socket.on("message", (data) => {
    peer.answered = true;
    connection.receive(asText(data)).catch((error: unknown) => {
      logger.error({ err: error }, "handling a socket's message failed");
      socket.close(CloseCode.InternalServerError, "Internal server error");
    });
  });
  socket.on("pong", () => {
    peer.answered = true;
  });
  socket.once("close", () => {
    peers.delete(socket);
    connections.giveForAddress(from.address);
    connection.closed();
  });
}

function asText(data: Buffer | ArrayBuffer | Buffer[]): string {
  if (Array.isArray(data)) return Buffer.concat(data).toString();
  return Buffer.isBuffer(data) ? data.toString() : Buffer.from(data).toString();
}

/** A peer that neither answers nor takes what waits for it is gone. One that reads slowly sees our ping late. */
function beat(socket: WebSocket, peer: Peer): void {
  const taken = takenBy(peer.transport);
  const progresses = peer.transport.writableNeedDrain && taken > peer.taken;
  if (!peer.answered && !progresses) {
    socket.terminate();
    return;
  }
  peer.answered = false;
  peer.taken = taken;
  socket.ping();
}

function takenBy(transport: Duplex): number {
  const written = "bytesWritten" in transport ? Number(transport.bytesWritten) : 0;
  return written - transport.writableLength;
}
