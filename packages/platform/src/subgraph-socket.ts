import type { Server as HttpServer } from "node:http";
import { GraphQLError, parse, validate, type DocumentNode, type GraphQLSchema } from "graphql";
import { CloseCode } from "graphql-ws";
import { LRUCache } from "lru-cache";
import { platformErrors } from "./errors.ts";
import { subscribeInProcess } from "./execute.ts";
import { presentErrors, toGraphQLError } from "./graphql-errors.ts";
import { serveGraphqlSocket, shownErrors, type GraphqlSocketServer, type SocketExtra } from "./graphql-socket.ts";
import { verifyInternalToken, type InternalRequest } from "./internal-token.ts";

/**
 * A subgraph's subscriptions, for the gateway's one socket: `connection_init {"token"}` says that it is our gateway, and
 * each `subscribe` says in `extensions` for whom (`token`) and by which request (`requestId`).
 */

const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const KEEP_ALIVE_MS = 10_000;
const MAX_DOCUMENTS = 1_000;

export function serveSubscriptions(server: HttpServer, schema: GraphQLSchema, path: string): GraphqlSocketServer {
  const documentOf = parseOnce(schema);
  return serveGraphqlSocket<SocketExtra>(server, {
    path,
    maxMessageBytes: MAX_MESSAGE_BYTES,
    keepAliveMs: KEEP_ALIVE_MS,
    open: (extra) => extra,
    protocol: {
      onConnect: async ({ connectionParams, extra }) => {
        if (await verify(connectionParams)) return true;
        extra.socket.close(CloseCode.Unauthorized, "Unauthorized");
        return false;
      },
      onSubscribe: async (_context, _id, { query, variables, operationName, extensions }) => {
        const request = await verify(extensions);
        if (!request) return presentErrors([toGraphQLError(platformErrors.CREDENTIALS_INVALID())]);
        const document = documentOf(query);
        if (isErrors(document)) return presentErrors(document, request.requestId);
        return { schema, document, variableValues: variables, operationName, contextValue: request };
      },
      subscribe: ({ document, variableValues, operationName, contextValue }) =>
        subscribeInProcess(
          schema,
          { document, variables: variableValues ?? {}, operationName },
          contextValue as InternalRequest,
        ),
      onError: (_context, _id, _payload, errors) => errors.flatMap(shownErrors),
    },
  });
}

type Said = Readonly<Record<string, unknown>> | null | undefined;

async function verify(said: Said): Promise<InternalRequest | undefined> {
  const token = said?.["token"];
  if (typeof token !== "string") return undefined;
  return verifyInternalToken(token, said?.["requestId"]).catch(() => undefined);
}

function isErrors(value: DocumentNode | readonly GraphQLError[]): value is readonly GraphQLError[] {
  return Array.isArray(value);
}

/** The gateway sends the same few documents for ever: each is parsed and validated once. */
function parseOnce(schema: GraphQLSchema): (query: string) => DocumentNode | readonly GraphQLError[] {
  const known = new LRUCache<string, DocumentNode>({ max: MAX_DOCUMENTS });
  return (query) => {
    const existing = known.get(query);
    if (existing) return existing;
    const document = parseSafely(query);
    if (document instanceof GraphQLError) return [document];
    const errors = validate(schema, document);
    if (errors.length > 0) return errors;
    known.set(query, document);
    return document;
  };
}

function parseSafely(query: string): DocumentNode | GraphQLError {
  try {
    return parse(query);
  } catch (error) {
    return toGraphQLError(error);
  }
}
