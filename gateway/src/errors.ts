import { defineErrors, errorExtensions, type AppError } from "@sba/platform/errors";
import { presentError, toGraphQLError } from "@sba/platform/graphql-errors";
import { GraphQLError } from "graphql";

export const errors = defineErrors("gateway", {
  BODIES_UNDER_WAY: { kind: "unavailable", message: "Too many large requests are under way: send it again." },
  OPERATION_TOO_LARGE: { kind: "payload_too_large", message: "The operation's text is too long." },
  OPERATION_TOO_MANY_TOKENS: { kind: "invalid_input", message: "The operation has too many tokens." },
  OPERATION_TOO_DEEP: { kind: "invalid_input", message: "The operation is nested too deeply." },
  OPERATION_TOO_MANY_ALIASES: { kind: "invalid_input", message: "The operation has too many aliases." },
  OPERATION_TOO_MANY_ROOT_FIELDS: { kind: "invalid_input", message: "The operation has too many root fields." },
  OPERATION_TOO_MANY_DIRECTIVES: { kind: "invalid_input", message: "The operation has too many directives." },
  OPERATION_TOO_MANY_FIELDS: { kind: "invalid_input", message: "The operation selects too many fields." },
  OPERATION_TOO_COSTLY: { kind: "invalid_input", message: "The operation may cost too much." },
  OPERATION_COST_UNKNOWN: { kind: "invalid_input", message: "How much the operation may cost cannot be told." },
  COST_BUDGET_EXHAUSTED: { kind: "rate_limited", message: "What may be asked for in a while has been asked for." },
  OPERATION_BATCH_TOO_LARGE: { kind: "invalid_input", message: "Too many operations in one request." },
  FIELD_NOT_IN_CONTRACT: { kind: "permission_denied", message: "What partners are given does not have this." },
  ORIGIN_NOT_ALLOWED: {
    kind: "permission_denied",
    message: "The tenant does not allow this page's origin to call for it: setAllowedOrigins does.",
  },
  POLICY_MISSING: { kind: "permission_denied", message: "A policy that this asks for does not hold." },
  POLICIES_UNDECIDED: { kind: "unavailable", message: "Nobody can say now which policies hold." },
  DOCUMENT_NOT_TRUSTED: {
    kind: "permission_denied",
    message: "Only documents that a client was released with are answered here.",
  },
  DOCUMENT_HASH_WRONG: { kind: "invalid_input", message: "The hash is not that of the document." },
  SCHEMA_NOT_SHOWN: {
    kind: "invalid_input",
    message:
      "This server does not show its schema. It comes with the release, as schema/api.graphql; whoever runs the server can show it to members, with INTROSPECTION=members.",
  },
  OPERATION_UNKNOWN: { kind: "invalid_input", message: "The document has no operation of this name." },
  SOCKET_TOO_MANY_OPERATIONS: {
    kind: "rate_limited",
    message: "Too many operations are under way on this socket: complete one, or open another socket.",
  },
  CONNECTIONS_TOO_MANY: { kind: "rate_limited", message: "Too many connections are open: close one, or wait." },
  SUBSCRIPTIONS_TOO_MANY: { kind: "rate_limited", message: "Too many subscriptions are open: complete one, or wait." },
  SUBSCRIPTION_NEEDS_SOCKET: {
    kind: "invalid_input",
    message:
      "Subscriptions are served over WebSocket (graphql-transport-ws) on this path, and as an event stream on /graphql/stream.",
  },
  SUBSCRIPTION_OUTDATED: {
    kind: "conflict",
    message: "The API has changed, and this document is no longer valid: take a newer version of the client.",
  },
  EVENT_STREAM_NOT_ACCEPTED: {
    kind: "invalid_input",
    message: "This path answers with an event stream: send `Accept: text/event-stream`.",
  },
  SUBSCRIPTION_TOO_SLOW: {
    kind: "rate_limited",
    message: "This subscriber reads more slowly than events come, and the stream has no cursor to go on from.",
  },
  SUBSCRIPTION_LOST: {
    kind: "unavailable",
    message: "The source of the events is not answering. Subscribe again after the last cursor.",
  },
});

/** As Apollo's clients know it: they send the text then. */
export function persistedQueryNotFound(): GraphQLError {
  const code = "PERSISTED_QUERY_NOT_FOUND";
  return new GraphQLError("PersistedQueryNotFound", { extensions: { code, reason: code, retryable: true } });
}

/** An error of ours as GraphQL carries it, ready to be shown. */
export function toShownError(error: AppError, requestId?: string): GraphQLError {
  return new GraphQLError(error.message, { extensions: { ...errorExtensions(error, requestId) } });
}

/** When to come again, as HTTP says it. */
export function retryHeaders({ retryAfterMs }: Pick<AppError, "retryAfterMs">): Record<string, string> {
  return retryAfterMs === undefined ? {} : { "retry-after": String(Math.ceil(retryAfterMs / 1_000)) };
}

/**
 * Any error of an operation, as the client sees it. What a subgraph answered is presented already: it is known by its
 * `reason`. What has none, of a subgraph or of our own, is masked.
 */
export function presentGatewayError(thrown: unknown, requestId: string | undefined): GraphQLError {
  const error = toGraphQLError(thrown);
  if (typeof error.extensions["reason"] !== "string") return presentError(unknownDownstream(error), requestId);
  const { serviceName, http, ...extensions } = error.extensions;
  return new GraphQLError(error.message, {
    path: error.path ?? null,
    nodes: error.nodes ?? null,
    extensions: { ...extensions, ...(requestId === undefined ? {} : { requestId }) },
  });
}

/** An answer of a subgraph that does not speak the house's errors says nothing that a client may read. */
function unknownDownstream(error: GraphQLError): GraphQLError {
  if (error.extensions["serviceName"] === undefined) return error;
  return new GraphQLError(error.message, { path: error.path ?? null, originalError: new Error(error.message) });
}
