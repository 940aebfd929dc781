import { STATUS_CODES, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ConnectionError, FastifyReply } from "fastify";
import { AppError, ensureAppError, errorExtensions, httpStatusOf, platformErrors } from "./errors.ts";
import { newId } from "./ids.ts";
import { logger } from "./log.ts";

/** Errors of HTTP itself and of routes, in the form of GraphQL's so that a client reads one form. */

/** Answers with an error: `{ errors: [{ message, extensions }] }` and the status of its kind. What is not ours is masked and logged. */
export function sendHttpError(reply: FastifyReply, thrown: unknown, requestId: string | undefined): FastifyReply {
  const error = ofFramework(thrown) ?? ensureAppError(thrown);
  if (error.kind === "internal") logger.error({ err: error.cause ?? error, requestId }, "request failed");
  const status = frameworkStatus(thrown) ?? httpStatusOf(error.kind);
  if (error.retryAfterMs !== undefined) reply.header("retry-after", Math.ceil(error.retryAfterMs / 1000));
  return reply.code(status).send(bodyOf(error, requestId));
}

function bodyOf(error: AppError, requestId: string | undefined) {
  return { errors: [{ message: error.message, extensions: errorExtensions(error, requestId) }] };
}

/** The same by hand, where there is no reply to say it by; the connection ends with it. */
export function writeHttpError(connection: Duplex, status: number, error: AppError, requestId: string): void {
  const body = JSON.stringify(bodyOf(error, requestId));
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
    "Connection: close",
    "Content-Type: application/json; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "X-Content-Type-Options: nosniff",
    `X-Request-Id: ${requestId}`,
  ];
  connection.end(`${head.join("\r\n")}\r\n\r\n${body}`, () => {
    connection.destroy();
  });
}

/** Answers what node cannot read as a request: fastify's `clientErrorHandler`. */
export function answerUnreadable({ code }: ConnectionError, socket: Socket): void {
  const { _httpMessage: underWay } = socket as Socket & { readonly _httpMessage?: ServerResponse | null };
  // Gone; or in the middle of an answer, a stream for one, which another answer would spoil.
  if (code === "ECONNRESET" || !socket.writable || underWay?.headersSent) socket.destroy();
  else if (code === "ERR_HTTP_REQUEST_TIMEOUT") refuse(socket, 408, "The request did not arrive in time.");
  else if (code === "HPE_HEADER_OVERFLOW") refuse(socket, 431, "The request's headers are too long.");
  else refuse(socket, 400, "This is not a valid HTTP request.");
}

function refuse(socket: Socket, status: number, message: string): void {
  writeHttpError(socket, status, platformErrors.INPUT_INVALID({ message }), newId());
}

/** fastify's own refusals (https://fastify.dev/docs/latest/Reference/Errors/) have a status below 500 and a message for the client. */
function frameworkStatus(thrown: unknown): number | undefined {
  if (!(thrown instanceof Error) || thrown instanceof AppError || !("statusCode" in thrown)) return undefined;
  const { statusCode } = thrown;
  return typeof statusCode === "number" && statusCode >= 400 && statusCode < 500 ? statusCode : undefined;
}

function ofFramework(thrown: unknown): AppError | undefined {
  const status = frameworkStatus(thrown);
  if (status === undefined || !(thrown instanceof Error)) return undefined;
  if (status === 413) return platformErrors.PAYLOAD_TOO_LARGE({ cause: thrown });
  return platformErrors.INPUT_INVALID({ message: thrown.message, cause: thrown });
}
