import type { Duplex } from "node:stream";
import { AppError } from "@sba/platform/errors";
import { OperationFailed } from "@sba/platform/execute";
import { logger } from "@sba/platform/log";
import { newId } from "@sba/platform/ids";
import type { ExecutionResult, GraphQLError } from "graphql";
import { CloseCode, parseMessage, type ConnectionInitMessage, type SubscribeMessage } from "graphql-ws";
import type { WebSocket } from "ws";
import { errors, presentGatewayError, toShownError } from "./errors.ts";
import type { Sink } from "./fan-out.ts";
import { nextFrames, nextHead, textFrame } from "./frames.ts";
import {
  admitOperation,
  prepareOperation,
  type LiveServices,
  type OpenedStream,
  type PreparedOperation,
} from "./live.ts";
import { clientOf } from "./metrics.ts";
import { retryAfterMs } from "./quotas.ts";
import { endOf, type Session, type SessionEnd, type Sessions } from "./sessions.ts";
import type { Batch } from "./stream-item.ts";

/**
 * graphql-transport-ws (https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverWebSocket.md), the server's side
 * of one socket. Our own, because graphql-ws serialises every event for every client, and pulls where the fan-out pushes:
 * 0.29 of what plain `ws` delivers, and 82 KiB a subscriber where this takes 25 (bench/fan-out.ts).
 */

export interface ProtocolOptions extends LiveServices {
  readonly sessions: Sessions;
  readonly initTimeoutMs: number;
  readonly maxOperations: number;
}

/** Try again later (https://www.iana.org/assignments/websocket). */
const CLOSE_TRY_AGAIN = 1013;
/** What may wait for a peer that does not read, before we stop reading what it asks. */
const MAX_WAITING_BYTES = 1024 * 1024;

const INVALID_MESSAGE = "Invalid message received";
const ORIGIN_REFUSED = "Origin not allowed";
const FAREWELLS: Readonly<Record<SessionEnd, string>> = {
  expired: "Credentials expired",
  refused: "Unauthorized",
  elsewhere: ORIGIN_REFUSED,
};

/** Who has opened a socket, as far as the transport knows. */
export type Peer = Pick<Session, "address" | "page">;

/** A query, mutation or stream under way: how to leave it. */
type Underway = OpenedStream;

export class Connection {
  readonly socket: WebSocket;
  readonly transport: Duplex;
  readonly from: Peer;
  readonly options: ProtocolOptions;
  readonly compresses: boolean;
  session: Session | undefined;
  #isInitialising = false;
  #initTimer: NodeJS.Timeout | undefined;
  readonly #operations = new Map<string, Underway>();

  constructor(socket: WebSocket, transport: Duplex, from: Peer, options: ProtocolOptions) {
    this.socket = socket;
    this.transport = transport;
    this.from = from;
    this.options = options;
    this.compresses = socket.extensions.includes("permessage-deflate");
    // Always, and not only after what is written here: pings and pongs, which `ws` writes, fill it too.
    transport.on("drain", () => {
      this.#drained();
    });
    this.#initTimer = setTimeout(() => {
      if (!this.#isInitialising) socket.close(CloseCode.ConnectionInitialisationTimeout, "No connection_init in time");
    }, options.initTimeoutMs);
  }

  /** Whether more may be sent without waiting in this process. */
  get hasRoom(): boolean {
    return !this.transport.writableNeedDrain;
  }

  get isOpen(): boolean {
    return this.socket.readyState === this.socket.OPEN;
  }

  /** Handles one message of the client. */
  async receive(text: string): Promise<void> {
    // What arrives after we have said goodbye, with bad credentials for one, is not handled.
    if (!this.isOpen) return;
    const message = parse(text);
    switch (message?.type) {
      case "connection_init":
        return this.#initialise(message);
      case "subscribe":
        return this.#subscribe(message);
      case "complete":
        this.#leave(message.id);
        return;
      case "ping":
        return this.#answerPing(message.payload);
      case "pong":
        return;
      default:
        this.socket.close(CloseCode.BadRequest, INVALID_MESSAGE);
    }
  }

  /** Ends everything; the socket is gone. */
  closed(): void {
    clearTimeout(this.#initTimer);
    for (const operation of this.#operations.values()) operation.leave();
    this.#operations.clear();
    if (this.session) this.options.sessions.leave(this.session);
  }

  async #initialise({ payload }: ConnectionInitMessage): Promise<void> {
    if (this.#isInitialising) {
      this.socket.close(CloseCode.TooManyInitialisationRequests, "Too many initialisation requests");
      return;
    }
    this.#isInitialising = true;
    clearTimeout(this.#initTimer);
    const { session } = await this.options.sessions.admit(payload?.["authorization"], {
      ...this.from,
      client: clientOf((name) => payload?.[name]),
      end: (why) => {
        this.#end(why);
      },
    });
    if (session instanceof AppError) {
      if (session.kind === "unauthenticated") this.socket.close(CloseCode.Unauthorized, "Unauthorized");
      // Not 4403, after which clients come again for ever.
      else if (session.kind === "permission_denied") this.socket.close(CloseCode.Unauthorized, ORIGIN_REFUSED);
      else if (session.kind === "rate_limited") closeTooMany(this.socket, session.retryAfterMs);
      else this.socket.close(CLOSE_TRY_AGAIN, "Try again later");
      return;
    }
    // Gone while it was let in.
    if (!this.isOpen) {
      this.options.sessions.leave(session);
      return;
    }
    this.session = session;
    this.#send({ type: "connection_ack", payload: { authorization: expiryOf(session) } });
  }

  /** What was revoked is gone for good, so every operation is told; credentials that have ended are renewed, and streams resumed. */
  #end(why: SessionEnd): void {
    const refusal = toShownError(endOf(why), newId());
    if (why !== "expired") for (const id of this.#operations.keys()) this.#fail(id, [refusal]);
    this.socket.close(CloseCode.Unauthorized, FAREWELLS[why]);
  }

  /** A ping with credentials renews the socket's; any other ping comes back as it is. */
  async #answerPing(payload: Readonly<Record<string, unknown>> | undefined): Promise<void> {
    if (!payload || !("authorization" in payload)) {
      const pong = pongFrame(payload);
      if (pong) this.writeFrames([pong]);
      else this.socket.close(CloseCode.BadRequest, INVALID_MESSAGE);
      return;
    }
    const { session } = this;
    const renewed = session && (await this.options.sessions.renew(session, payload["authorization"]));
    if (!session || renewed === false) this.socket.close(CloseCode.Unauthorized, "Unauthorized");
    // The old credentials still hold: the client tries again before they end.
    else if (renewed === "unavailable") this.#send({ type: "pong", payload: {} });
    else this.#send({ type: "pong", payload: { authorization: expiryOf(session) } });
  }

  async #subscribe({ id, payload }: SubscribeMessage): Promise<void> {
    const { session } = this;
    if (!session) {
      this.socket.close(CloseCode.Unauthorized, "Unauthorized");
      return;
    }
    if (this.#operations.has(id)) {
      this.socket.close(CloseCode.SubscriberAlreadyExists, `Subscriber for ${id} already exists`);
      return;
    }
    if (this.#operations.size >= this.options.maxOperations) {
      const limit = this.options.maxOperations;
      this.#fail(id, [
        toShownError(errors.SOCKET_TOO_MANY_OPERATIONS({ retryAfterMs: retryAfterMs(), details: { limit } }), newId()),
      ]);
      return;
    }
    // Its id is taken while it is counted; who has left by then, or is gone, has taken it off again.
    const waiting: Underway = { room: () => undefined, leave: () => undefined };
    this.#operations.set(id, waiting);
    try {
      const refused = await admitOperation(this.options, session, payload);
      if (this.#operations.get(id) !== waiting) return;
      this.#operations.delete(id);
      if (refused) {
        this.#fail(id, refused);
        return;
      }
      const prepared = prepareOperation(this.options, session, payload);
      if (!("kind" in prepared)) this.#fail(id, prepared);
      else if (prepared.kind === "stream")
        this.#operations.set(id, prepared.open(new SocketSink(this, id, this.#operations)));
      else await this.#executeOnce(id, prepared);
    } catch (error) {
      this.#operations.delete(id);
      // What were thrown further would close the socket, and end its other operations.
      this.#fail(id, error instanceof OperationFailed ? error.errors : [presentGatewayError(error, undefined)]);
    }
  }

  async #executeOnce(id: string, { execute }: Extract<PreparedOperation, { kind: "single" }>): Promise<void> {
    const gone = new AbortController();
    const underway: Underway = {
      room: () => undefined,
      leave: () => {
        gone.abort();
      },
    };
    this.#operations.set(id, underway);
    const result = await execute(gone.signal).catch((error: unknown) => {
      if (gone.signal.aborted) return undefined;
      throw error;
    });
    if (!result || gone.signal.aborted) return;
    await this.#answer(id, result);
    // A slow reader may have left it meanwhile and begun another by its name.
    if (this.#operations.get(id) === underway) this.#operations.delete(id);
  }

  /** The operation counts until a peer that reads slowly has taken its result. */
  async #answer(id: string, result: ExecutionResult): Promise<void> {
    const frames = [textFrame(JSON.stringify({ id, type: "next", payload: result })), completeFrame(id)];
    if (this.hasRoom) this.writeFrames(frames);
    else
      await new Promise<void>((resolve) => {
        this.writeFrames(frames, resolve);
      });
  }

  #leave(id: string): void {
    const underway = this.#operations.get(id);
    this.#operations.delete(id);
    underway?.leave();
  }

  #fail(id: string, problems: readonly GraphQLError[]): void {
    this.writeFrames([errorFrame(id, problems)]);
  }

  #send(message: object): void {
    this.writeFrames([textFrame(JSON.stringify(message))]);
  }

  /** Writes whole frames. What cannot be written belongs to a socket that is closing: its own close event tells the rest. */
  writeFrames(frames: readonly Buffer[], written?: () => void): void {
    if (!this.isOpen || this.transport.destroyed) {
      written?.();
      return;
    }
    const last = frames.length - 1;
    if (last > 0) this.transport.cork();
    for (let index = 0; index < last; index++) this.transport.write(frames[index]);
    this.transport.write(frames[last], written);
    if (last > 0) this.transport.uncork();
    if (this.transport.writableLength > MAX_WAITING_BYTES) this.socket.pause();
  }

  #drained(): void {
    this.socket.resume();
    for (const operation of this.#operations.values()) {
      if (!this.hasRoom) return;
      operation.room();
    }
  }
}

/** The events of one operation, on the socket that it came by. */
class SocketSink implements Sink {
  readonly #connection: Connection;
  readonly #id: string;
  readonly #head: Buffer;
  readonly #operations: Map<string, Underway>;

  constructor(connection: Connection, id: string, operations: Map<string, Underway>) {
    this.#connection = connection;
    this.#id = id;
    this.#head = nextHead(id);
    this.#operations = operations;
  }

  get hasRoom(): boolean {
    return this.#connection.hasRoom;
  }

  write({ items }: Batch): void {
    this.#connection.writeFrames(nextFrames(this.#head, items, this.#connection.compresses));
  }

  end(error: OperationFailed | undefined): void {
    this.#operations.delete(this.#id);
    this.#connection.writeFrames([error ? errorFrame(this.#id, error.errors) : completeFrame(this.#id)]);
  }
}

function parse(text: string): ReturnType<typeof parseMessage> | undefined {
  try {
    return parseMessage(text);
  } catch (error) {
    logger.debug({ err: error }, "a message is not of the protocol");
    return undefined;
  }
}

/** Undefined for a payload that nests deeper than JSON can be written, though it can be read. */
function pongFrame(payload: unknown): Buffer | undefined {
  try {
    return textFrame(JSON.stringify({ type: "pong", payload }));
  } catch {
    return undefined;
  }
}

function errorFrame(id: string, problems: readonly GraphQLError[]): Buffer {
  return textFrame(JSON.stringify({ id, type: "error", payload: problems }));
}

function completeFrame(id: string): Buffer {
  return textFrame(JSON.stringify({ id, type: "complete" }));
}

function expiryOf({ principal: { expiresAtMs } }: Session): { expiresAt: string | null } {
  return { expiresAt: expiresAtMs === undefined ? null : new Date(expiresAtMs).toISOString() };
}

/** Tells a client to come back later, and when. */
export function closeTooMany(socket: WebSocket, afterMs = retryAfterMs()): void {
  socket.close(CLOSE_TRY_AGAIN, `RATE_LIMITED retryAfterMs=${afterMs}`);
}
