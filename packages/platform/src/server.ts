// First: graphql is traced only where it is evaluated after this.
import "./telemetry.ts";
import type { AddressInfo } from "node:net";
import { fastifyApolloHandler } from "@as-integrations/fastify";
import { ApolloServer, HeaderMap, type ApolloServerPlugin, type GraphQLRequestListener } from "@apollo/server";
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginInlineTraceDisabled,
  ApolloServerPluginLandingPageDisabled,
  ApolloServerPluginUsageReportingDisabled,
} from "@apollo/server/plugin/disabled";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import {
  getOperationAST,
  GraphQLError,
  OperationTypeNode,
  type DocumentNode,
  type FormattedExecutionResult,
  type GraphQLSchema,
} from "graphql";
import { openClosing } from "./closing.ts";
import { errorExtensions, platformErrors } from "./errors.ts";
import { executeInProcess, type Operation, type OperationRequest } from "./execute.ts";
import { presentError, toGraphQLError } from "./graphql-errors.ts";
import { mountHealth } from "./health.ts";
import { answerUnreadable, sendHttpError } from "./http-errors.ts";
import { INTERNAL_TOKEN_HEADER, verifyInternalToken } from "./internal-token.ts";
import { isErrors, parseOnce, type DocumentOf } from "./known-documents.ts";
import { logger } from "./log.ts";
import { gauge, histogram } from "./metrics.ts";
import { parseJson, plainRequestOf } from "./plain-request.ts";
import { abortedWhenGone, mountRoutes, ROUTER_OPTIONS, type Route } from "./routes.ts";
import { serveSubscriptions } from "./subgraph-socket.ts";
import { runInSpan } from "./telemetry.ts";

export type { Route, RouteRequest, RouteResponse } from "./routes.ts";

/** One domain as it is served: in the gateway's process, or alone by `startSubgraphServer`. */
export interface Subgraph {
  readonly name: string;
  readonly schema: GraphQLSchema;
  readonly routes: readonly Route[];
}

export interface SubgraphServerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** What `/readyz` answers by. Default: always ready. */
  readonly isReady?: () => Promise<boolean>;
}

export interface RunningServer {
  /** `http://host:port`, without a path. */
  readonly url: string;
  /** Ends streams with 1012, lets requests under way finish, and resolves when nothing is left. */
  close(): Promise<void>;
}

export const GRAPHQL_PATH = "/graphql";
/** Service restart (https://www.iana.org/assignments/websocket): the peer goes on from its cursor, elsewhere. */
export const CLOSE_RESTARTING = 1012;

// The gateway limits what clients send; this only stops what no plan can produce.
const MAX_BODY_BYTES = 256 * 1024 * 1024;
// Longer than the gateway's pool keeps an idle connection, so that it is never the server that closes first.
const KEEP_CONNECTION_MS = 75_000;

const requestSeconds = histogram("subgraph_request_seconds", "How long a subgraph's HTTP requests took.", ["status"]);

/** Serves one subgraph to the gateway: GraphQL over HTTP and graphql-ws on one path, its routes, `/livez`, `/readyz` and `/metrics`. */
export async function startSubgraphServer(subgraph: Subgraph, options: SubgraphServerOptions): Promise<RunningServer> {
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    keepAliveTimeout: KEEP_CONNECTION_MS,
    clientErrorHandler: answerUnreadable,
    forceCloseConnections: "idle",
    routerOptions: ROUTER_OPTIONS,
  });
  app.setErrorHandler((error, request, reply) => sendHttpError(reply, error, requestIdOf(request)));
  app.setNotFoundHandler((request, reply) =>
    sendHttpError(reply, platformErrors.ROUTE_NOT_FOUND(), requestIdOf(request)),
  );
  app.addHook("onResponse", (_request, reply, done) => {
    requestSeconds.observe({ status: String(reply.statusCode) }, reply.elapsedTime / 1_000);
    done();
  });
  // Without fastify's search for what could change prototypes: of a body only known fields are read, and schemas say of which values.
  app.removeContentTypeParser("application/json");
  app.addContentTypeParser("application/json", { parseAs: "string" }, async (_request: FastifyRequest, body: string) =>
    parseJson(body),
  );
  mountHealth(app, options.isReady ?? (() => Promise.resolve(true)));
  const { schema } = subgraph;
  const documentOf = parseOnce(schema);
  const apollo = await startApollo(schema);
  mountGraphql(app, { schema, documentOf, apollo });
  await mountRoutes(app, subgraph.routes, () => identify);
  const sockets = serveSubscriptions(app.server, { schema, documentOf, path: GRAPHQL_PATH });
  const close = openClosing(app);
  gauge("subgraph_sockets", "Sockets of gateways open.", () => sockets.size);
  await app.listen({ host: options.host, port: options.port });
  return {
    url: addressOf(app),
    close: async () => {
      await sockets.close(CLOSE_RESTARTING, "Restarting");
      await close();
      await apollo.stop();
    },
  };
}

/** `http://host:port` of a server that listens. */
export function addressOf(app: FastifyInstance): string {
  const { address, family, port } = app.server.address() as AddressInfo;
  return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
}

function requestIdOf(request: FastifyRequest): string | undefined {
  const id = request.headers["x-request-id"];
  return typeof id === "string" ? id : undefined;
}

/** @throws CREDENTIALS_MISSING, CREDENTIALS_INVALID for whoever is not our gateway. */
async function identify(request: FastifyRequest): ReturnType<typeof verifyInternalToken> {
  const token = request.headers[INTERNAL_TOKEN_HEADER];
  if (typeof token !== "string")
    throw platformErrors.CREDENTIALS_MISSING({ message: "This server answers only its own gateway." });
  return verifyInternalToken(token, request.headers["x-request-id"]);
}

interface Graphql {
  readonly schema: GraphQLSchema;
  readonly documentOf: DocumentOf;
  /** Answers whatever is not plain and valid. */
  readonly apollo: ApolloServer<OperationRequest>;
}

declare module "fastify" {
  interface FastifyRequest {
    /** Of GraphQL: who asks, and until when they wait. */
    identified?: OperationRequest;
  }
}

function mountGraphql(app: FastifyInstance, { schema, documentOf, apollo }: Graphql): void {
  app.decorateRequest("identified");
  const answerPlain = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> => {
    const who = { ...(await identify(request)), signal: abortedWhenGone(reply) };
    request.identified = who;
    const plain = plainRequestOf(request.body);
    const document = plain && executableOf(documentOf(plain.query), plain.operationName);
    if (!document) return undefined;
    const result = await answer(schema, { ...plain, document }, who, request.headers["traceparent"]);
    return reply.type("application/json; charset=utf-8").send(JSON.stringify(result));
  };
  app.route({
    method: "POST",
    url: GRAPHQL_PATH,
    // What it answers goes no further.
    preHandler: answerPlain,
    handler: fastifyApolloHandler(apollo, {
      context: (request: FastifyRequest) => {
        const { identified: known } = request;
        if (!known) throw new Error("a request came past its identification");
        return Promise.resolve(known);
      },
    }),
  });
}

/** Undefined for what is not valid, and for what is no query or mutation: Apollo Server says what of it. */
function executableOf(
  document: DocumentNode | readonly GraphQLError[],
  operationName: string | undefined,
): DocumentNode | undefined {
  if (isErrors(document)) return undefined;
  const operation = getOperationAST(document, operationName);
  return operation && operation.operation !== OperationTypeNode.SUBSCRIPTION ? document : undefined;
}

/** One way to execute in every deployment: of Apollo Server is what is beside it, to parse, to validate and to speak HTTP. */
async function answer(
  schema: GraphQLSchema,
  operation: Operation,
  request: OperationRequest,
  traceparent: unknown,
): Promise<FormattedExecutionResult> {
  const span = { kind: "server", traceparent: typeof traceparent === "string" ? traceparent : undefined } as const;
  const { data, errors } = await runInSpan("subgraph.request", span, () =>
    executeInProcess(schema, operation, request),
  );
  return {
    ...(data === undefined ? {} : { data }),
    ...(errors ? { errors: errors.map((error) => error.toJSON()) } : {}),
  };
}

async function startApollo(schema: GraphQLSchema): Promise<ApolloServer<OperationRequest>> {
  const apollo = new ApolloServer<OperationRequest>({
    schema,
    introspection: true,
    includeStacktraceInErrorResponses: false,
    stopOnTerminationSignals: false,
    persistedQueries: false,
    logger,
    formatError: (_formatted, error) => presentError(toGraphQLError(error)).toJSON(),
    plugins: [
      executeWithPlatform(schema),
      ApolloServerPluginLandingPageDisabled(),
      ApolloServerPluginUsageReportingDisabled(),
      ApolloServerPluginCacheControlDisabled(),
      ApolloServerPluginInlineTraceDisabled(),
    ],
  });
  await apollo.start();
  return apollo;
}

function executeWithPlatform(schema: GraphQLSchema): ApolloServerPlugin<OperationRequest> {
  const listener: GraphQLRequestListener<OperationRequest> = {
    didResolveOperation: ({ operation }) => {
      if (operation?.operation !== OperationTypeNode.SUBSCRIPTION) return Promise.resolve();
      const refused = platformErrors.INPUT_INVALID({ message: "Subscriptions are served over WebSocket." });
      throw new GraphQLError(refused.message, {
        extensions: { ...errorExtensions(refused), http: { status: 400, headers: new HeaderMap() } },
      });
    },
    responseForOperation: async ({ document, request, contextValue }) => {
      const { variables, operationName, http } = request;
      const operation = { document, variables, operationName };
      const singleResult = await answer(schema, operation, contextValue, http?.headers.get("traceparent"));
      return { http: { headers: new HeaderMap() }, body: { kind: "single", singleResult } };
    },
  };
  return { requestDidStart: () => Promise.resolve(listener) };
}
