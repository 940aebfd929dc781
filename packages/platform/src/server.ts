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
import fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import { GraphQLError, OperationTypeNode, type GraphQLSchema } from "graphql";
import { errorExtensions, platformErrors } from "./errors.ts";
import { executeInProcess, type OperationRequest } from "./execute.ts";
import { presentError, toGraphQLError } from "./graphql-errors.ts";
import { mountHealth } from "./health.ts";
import { sendHttpError } from "./http-errors.ts";
import { INTERNAL_TOKEN_HEADER, verifyInternalToken } from "./internal-token.ts";
import { logger } from "./log.ts";
import { gauge, histogram } from "./metrics.ts";
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
  mountHealth(app, options.isReady ?? (() => Promise.resolve(true)));
  const apollo = await startApollo(subgraph.schema);
  mountGraphql(app, apollo);
  await mountRoutes(app, subgraph.routes, () => identify);
  const sockets = serveSubscriptions(app.server, subgraph.schema, GRAPHQL_PATH);
  gauge("subgraph_sockets", "Sockets of gateways open.", () => sockets.size);
  await app.listen({ host: options.host, port: options.port });
  return {
    url: addressOf(app),
    close: async () => {
      await sockets.close(CLOSE_RESTARTING, "Restarting");
      await app.close();
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

function mountGraphql(app: FastifyInstance, apollo: ApolloServer<OperationRequest>): void {
  const identified = new WeakMap<FastifyRequest, OperationRequest>();
  const handler = fastifyApolloHandler(apollo, {
    context: (request: FastifyRequest) => {
      const known = identified.get(request);
      if (!known) throw new Error("a request came past its identification");
      return Promise.resolve(known);
    },
  });
  app.route({
    method: "POST",
    url: GRAPHQL_PATH,
    preHandler: async (request, reply) => {
      identified.set(request, { ...(await identify(request)), signal: abortedWhenGone(reply) });
    },
    handler,
  });
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

/** One way to execute in every deployment: here Apollo Server only parses, validates and speaks HTTP. */
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
      const { variables, operationName } = request;
      const traceparent = request.http?.headers.get("traceparent");
      const { data, errors } = await runInSpan("subgraph.request", { kind: "server", traceparent }, () =>
        executeInProcess(schema, { document, variables, operationName }, contextValue),
      );
      const singleResult = {
        ...(data === undefined ? {} : { data }),
        ...(errors ? { errors: errors.map((error) => error.toJSON()) } : {}),
      };
      return { http: { headers: new HeaderMap() }, body: { kind: "single", singleResult } };
    },
  };
  return { requestDidStart: () => Promise.resolve(listener) };
}
