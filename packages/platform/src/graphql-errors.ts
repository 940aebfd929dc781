import { GraphQLError } from "graphql";
import { errorExtensions, ensureAppError } from "./errors.ts";
import { logger } from "./log.ts";

/** How errors leave a GraphQL server: ours with their extensions, the rest masked and logged. */

/** Errors as a client sees them, on every transport: ours with their extensions, the rest masked and logged. */
export function presentErrors(errors: readonly GraphQLError[], requestId?: string): GraphQLError[] {
  return errors.map((error) => presentError(error, requestId));
}

export function presentError(error: GraphQLError, requestId?: string): GraphQLError {
  const original = error.originalError;
  if (original === undefined || original instanceof GraphQLError) {
    return withExtensions(error, error.message, requestErrorExtensions(error, requestId));
  }
  const known = ensureAppError(original);
  if (known.kind === "internal") {
    logger.error({ err: known.cause ?? known, "graphql.path": error.path?.join("."), requestId }, "resolver failed");
  }
  return withExtensions(error, known.message, { ...errorExtensions(known, requestId) });
}

/** Anything thrown, as an error that `presentErrors` can show. */
export function toGraphQLError(thrown: unknown): GraphQLError {
  if (thrown instanceof GraphQLError) return thrown;
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  return new GraphQLError(error.message, { originalError: error });
}

/** GraphQL's own errors (syntax, validation, variables) carry at most a code; what the contract promises is completed. */
function requestErrorExtensions(error: GraphQLError, requestId: string | undefined): Record<string, unknown> {
  const code = error.extensions["code"] ?? "BAD_USER_INPUT";
  const reason = code === "BAD_USER_INPUT" ? "INPUT_INVALID" : code;
  // `http` is Apollo Server's own (status and headers of the answer), not the client's.
  const { http, ...shown } = error.extensions;
  return { reason, retryable: false, ...shown, code, ...(requestId === undefined ? {} : { requestId }) };
}

function withExtensions(error: GraphQLError, message: string, extensions: Record<string, unknown>): GraphQLError {
  const { nodes = null, source = null, positions = null, path = null } = error;
  return new GraphQLError(message, { nodes, source, positions, path, extensions });
}
