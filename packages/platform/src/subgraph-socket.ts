import type { Server as HttpServer } from "node:http";
import type { GraphQLSchema } from "graphql";
import { CloseCode } from "graphql-ws";
import { platformErrors } from "./errors.ts";
import { subscribeInProcess } from "./execute.ts";
import { presentErrors, toGraphQLError } from "./graphql-errors.ts";
import { serveGraphqlSocket, shownErrors, type GraphqlSocketServer, type SocketExtra } from "./graphql-socket.ts";
import { verifyInternalToken, type InternalRequest } from "./internal-token.ts";
import { isErrors, type DocumentOf } from "./known-documents.ts";

/**
 * A subgraph's subscriptions, for the gateway's one socket: `connection_init {"token"}` says that it is our gateway, and
 * each `subscribe` says in `extensions` for whom (`token`) and by which request (`requestId`).
 */

const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const KEEP_ALIVE_MS = 10_000;

/** Of a server's GraphQL at one path. */
export interface SubscriptionOptions {
  readonly schema: GraphQLSchema;
  readonly path: string;
  readonly documentOf: DocumentOf;
}

export function serveSubscriptions(
  server: HttpServer,
  { schema, path, documentOf }: SubscriptionOptions,
): GraphqlSocketServer {
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
