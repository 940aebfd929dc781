import type { ServerResponse } from "node:http";
import { AppError, errorExtensions, platformErrors } from "@sba/platform/errors";
import { OperationFailed } from "@sba/platform/execute";
import { rateLimitHeaders } from "@sba/platform/rate-limit";
import type { FastifyReply, FastifyRequest } from "fastify";
import { errors, toShownError } from "./errors.ts";
import type { Sink } from "./fan-out.ts";
import type { OpenedStream } from "./live.ts";
import { clientOf } from "./metrics.ts";
import { retryAfterMs, type Quotas } from "./quotas.ts";
import { endOf, type Session, type SessionEnd, type Sessions } from "./sessions.ts";
import type { Batch, StreamItem } from "./stream-item.ts";

/**
 * Answers of type text/event-stream (https://html.spec.whatwg.org/multipage/server-sent-events.html): one stream a response, with
 * the rights, limits and life of a socket. What is sent for an event is the same for all who read the stream, and made once.
 */

export interface EventStreamsOptions {
  readonly sessions: Sessions;
  readonly quotas: Quotas;
  /** A comment goes out this often; a reader who takes nothing in between is gone. */
  readonly heartbeatMs?: number | undefined;
}

/** How a kind of stream writes what happens. */
export interface Encoding {
  /** Of one function for all streams of a kind, so that it is asked once for all readers. */
  readonly items: (items: readonly StreamItem[]) => Buffer;
  readonly complete: string;
  readonly failed: (error: OperationFailed) => string;
}

export interface EventStreams {
  /** Streams open now. */
  readonly size: number;
  /** Lets the caller in. @throws AppError, to be answered before anything is streamed; the reply's headers say how the limits stand */
  open(request: FastifyRequest, reply: FastifyReply, encoding: Encoding): Promise<EventStream>;
  /** Ends them without their end: readers connect elsewhere and go on after their last id. */
  close(): void;
}

const HEARTBEAT_MS = 10_000;
const COMMENT = ":\n\n";
const STREAM_TYPE = "text/event-stream";

export function openEventStreams(options: EventStreamsOptions): EventStreams {
  const streams = new Set<EventStream>();
  const beating = setInterval(() => {
    for (const stream of streams) stream.beat();
  }, options.heartbeatMs ?? HEARTBEAT_MS).unref();
  return {
    get size() {
      return streams.size;
    },
    open: async (request, reply, encoding) => {
      const { connections } = options.quotas;
      const address = request.ip;
      if (!connections.takeForAddress(address)) throw errors.CONNECTIONS_TOO_MANY({ retryAfterMs: retryAfterMs() });
      const stream = new EventStream(request.id, encoding, (left) => {
        streams.delete(left);
        connections.giveForAddress(address);
        if (left.session) options.sessions.leave(left.session);
      });
      const { session, standings } = await options.sessions.admit(request.headers.authorization, {
        address,
        page: { origin: request.headers.origin, host: request.headers.host },
        client: clientOf((name) => request.headers[name]),
        end: (why) => {
          stream.expel(why);
        },
      });
      reply.headers(rateLimitHeaders(standings));
      if (session instanceof AppError) {
        connections.giveForAddress(address);
        throw session;
      }
      stream.session = session;
      streams.add(stream);
      return stream;
    },
    close: () => {
      clearInterval(beating);
      for (const stream of streams) stream.hangUp();
    },
  };
}

export class EventStream implements Sink {
  readonly requestId: string;
  readonly #encoding: Encoding;
  readonly #onLeave: (stream: EventStream) => void;
  session: Session | undefined;
  #response: ServerResponse | undefined;
  #opened: OpenedStream | undefined;
  #left = false;
  #awaitsDrain = false;
  /** Bytes that the reader's machine had taken when we looked last. */
  #taken = -1;

  constructor(requestId: string, encoding: Encoding, onLeave: (stream: EventStream) => void) {
    this.requestId = requestId;
    this.#encoding = encoding;
    this.#onLeave = onLeave;
  }

  /** Begins the answer: from here on everything is said in the stream. */
  begin(reply: FastifyReply): void {
    reply.hijack();
    const response = reply.raw;
    // Its reader has left while it was let in: nothing would tell us of that again.
    if (response.destroyed) {
      this.leave();
      return;
    }
    this.#response = response;
    response.writeHead(200, {
      ...(reply.getHeaders() as Record<string, string>),
      "content-type": `${STREAM_TYPE}; charset=utf-8`,
      "cache-control": "no-cache, no-transform",
      // nginx would hold events back until its buffer is full.
      "x-accel-buffering": "no",
    });
    response.on("error", () => undefined);
    response.once("close", () => {
      this.leave();
    });
    response.write(COMMENT);
    // Expelled while it was still to begin.
    if (this.#left) response.end();
  }

  /** Who feeds it. */
  follow(opened: OpenedStream): void {
    this.#opened = opened;
    // The reader may be gone already.
    if (this.#left) opened.leave();
  }

  get hasRoom(): boolean {
    return this.#response?.writableNeedDrain === false;
  }

  write(batch: Batch): void {
    this.send(batch.encoded(this.#encoding.items));
  }

  send(data: Buffer | string): void {
    const response = this.#response;
    if (!response || this.#left || response.destroyed) return;
    response.write(data);
    if (!response.writableNeedDrain || this.#awaitsDrain) return;
    this.#awaitsDrain = true;
    response.once("drain", () => {
      this.#awaitsDrain = false;
      this.#opened?.room();
    });
  }

  end(error: OperationFailed | undefined): void {
    this.send(error ? this.#encoding.failed(error) : this.#encoding.complete);
    this.#response?.end();
    this.leave();
  }

  /** Ends it because its credentials have. */
  expel(why: SessionEnd): void {
    this.end(new OperationFailed([toShownError(endOf(why), this.requestId)]));
  }

  hangUp(): void {
    this.#response?.end();
    this.leave();
  }

  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#opened?.leave();
    this.#onLeave(this);
  }

  /** A reader who takes nothing of what waits for him is gone. */
  beat(): void {
    const response = this.#response;
    if (!response) return;
    const taken = (response.socket?.bytesWritten ?? 0) - (response.socket?.writableLength ?? 0);
    if (response.writableNeedDrain && taken === this.#taken) response.destroy();
    else if (this.hasRoom) this.send(COMMENT);
    this.#taken = taken;
  }
}

/** Whether the request takes an event stream as its answer. */
export function acceptsEventStream({ headers }: FastifyRequest): boolean {
  const ranges = (headers.accept ?? "*/*").split(",").map((range) => range.split(";", 1)[0]?.trim().toLowerCase());
  return ranges.some((range) => range === STREAM_TYPE || range === "text/*" || range === "*/*");
}

export function refuseAccept(reply: FastifyReply, requestId: string): FastifyReply {
  const error = errors.EVENT_STREAM_NOT_ACCEPTED();
  return reply.code(406).send({ errors: [{ message: error.message, extensions: errorExtensions(error, requestId) }] });
}

const CURSOR_CHARACTERS = /^[\w=-]{1,512}$/;

/** Where a reader who comes back goes on. @throws CURSOR_INVALID */
export function lastEventIdOf({ headers }: FastifyRequest): string | undefined {
  const id = headers["last-event-id"];
  if (id === undefined || id === "") return undefined;
  if (typeof id !== "string" || !CURSOR_CHARACTERS.test(id)) throw platformErrors.CURSOR_INVALID();
  return id;
}

/** One event of a stream. `data` is one line: JSON has no others. */
export function eventFrame(event: string, data: string | Buffer, id: string | undefined): string {
  return `event: ${event}\n${id === undefined ? "" : `id: ${id}\n`}data: ${data.toString()}\n\n`;
}
