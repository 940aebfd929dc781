import type { FastifyReply } from "fastify";
import { AppError, ensureAppError, errorExtensions, httpStatusOf, platformErrors } from "./errors.ts";
import { logger } from "./log.ts";

/** Errors of HTTP itself and of routes, in the form of GraphQL's so that a client reads one form. */

/** Answers with an error: `{ errors: [{ message, extensions }] }` and the status of its kind. What is not ours is masked and logged. */
export function sendHttpError(reply: FastifyReply, thrown: unknown, requestId: string | undefined): FastifyReply {
  const error = ofFramework(thrown) ?? ensureAppError(thrown);
  if (error.kind === "internal") logger.error({ err: error.cause ?? error, requestId }, "request failed");
  const status = frameworkStatus(thrown) ?? httpStatusOf(error.kind);
  if (error.retryAfterMs !== undefined) reply.header("retry-after", Math.ceil(error.retryAfterMs / 1000));
  return reply
    .code(status)
    .send({ errors: [{ message: error.message, extensions: errorExtensions(error, requestId) }] });
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
