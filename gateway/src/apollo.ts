import { AsyncLocalStorage } from "node:async_hooks";
import {
  ApolloServer,
  HeaderMap,
  type ApolloServerOptionsWithGateway,
  type ApolloServerPlugin,
  type GraphQLRequestListener,
  type HTTPGraphQLRequest,
  type HTTPGraphQLResponse,
} from "@apollo/server";
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginInlineTraceDisabled,
  ApolloServerPluginLandingPageDisabled,
  ApolloServerPluginUsageReportingDisabled,
} from "@apollo/server/plugin/disabled";
import { OperationFailed } from "@sba/platform/execute";
import { httpStatusOf } from "@sba/platform/errors";
import { logger } from "@sba/platform/log";
import { runInSpan, type SpanOptions } from "@sba/platform/telemetry";
import { GraphQLError, OperationTypeNode, type ExecutionResult } from "graphql";
import { LRUCache } from "lru-cache";
import { parseShown } from "./documents.ts";
import { findRefusal } from "./enforce.ts";
import { errors, presentGatewayError, toShownError } from "./errors.ts";
import type { GatewayContext, SubgraphLinks } from "./forward.ts";
import { variableErrors } from "./graph.ts";
import type { Graphs } from "./graphs.ts";
import type { Limits } from "./limits.ts";
import { runPlan } from "./plan-run.ts";

/**
 * Queries and mutations. Apollo Server parses, validates and speaks GraphQL over HTTP; our limits come before it, our
 * enforcement between validation and plan, and the plan runs in `graph.ts`. Sockets send their queries through here too.
 */

export interface ApolloOptions {
  readonly graphs: Graphs;
  readonly subgraphs: SubgraphLinks;
  readonly limits: Limits;
  readonly introspection: boolean;
}

export interface SingleRequest {
  readonly query: string;
  readonly variables?: Record<string, unknown> | null | undefined;
  readonly operationName?: string | null | undefined;
}

export interface Operations {
  /** One HTTP request to `/graphql`, whatever its method and body. */
  readonly answerHttp: (request: HTTPGraphQLRequest, context: GatewayContext) => Promise<HTTPGraphQLResponse>;
  /** A query or mutation of a socket. @throws OperationFailed when it could not run at all. */
  readonly execute: (request: SingleRequest, context: GatewayContext) => Promise<ExecutionResult>;
  readonly stop: () => Promise<void>;
}

// Apollo Server formats errors without telling of which request. Nothing but the errors' requestId is read from here.
const requestIds = new AsyncLocalStorage<string>();

export async function startOperations(options: ApolloOptions): Promise<Operations> {
  const apollo = new ApolloServer<GatewayContext>({
    gateway: toGateway(options),
    introspection: options.introspection,
    // "Did you mean" tells strangers the names that introspection hides.
    hideSchemaDetailsFromClientErrors: !options.introspection,
    csrfPrevention: true,
    persistedQueries: false,
    allowBatchedHttpRequests: false,
    includeStacktraceInErrorResponses: false,
    stopOnTerminationSignals: false,
    logger,
    formatError: (_formatted, error) => presentGatewayError(error, requestIds.getStore()).toJSON(),
    plugins: [
      guard(options),
      ApolloServerPluginLandingPageDisabled(),
      ApolloServerPluginUsageReportingDisabled(),
      ApolloServerPluginCacheControlDisabled(),
      ApolloServerPluginInlineTraceDisabled(),
    ],
  });
  await apollo.start();
  const overLimits = createLimiter(options.limits);
  return {
    answerHttp: (httpGraphQLRequest, context) =>
      requestIds.run(context.requestId, async () => {
        const refused = overLimits(httpGraphQLRequest);
        if (refused) return answerWith(refused, context.requestId);
        return runInSpan("graphql.request", spanOf(context, httpGraphQLRequest.headers.get("traceparent")), () =>
          apollo.executeHTTPGraphQLRequest({ httpGraphQLRequest, context: () => Promise.resolve(context) }),
        );
      }),
    execute: (request, context) =>
      requestIds.run(context.requestId, () =>
        runInSpan("graphql.request", spanOf(context), () => executeSingle(apollo, request, context)),
      ),
    stop: () => apollo.stop(),
  };
}

/** Where a trace begins, or goes on for a client that traces too. */
function spanOf({ caller, requestId }: GatewayContext, traceparent?: string): SpanOptions {
  const attributes = { "sba.request_id": requestId, "sba.tenant_id": caller?.tenantId };
  return { kind: "server", traceparent, attributes };
}

async function executeSingle(
  apollo: ApolloServer<GatewayContext>,
  { query, variables, operationName }: SingleRequest,
  contextValue: GatewayContext,
): Promise<ExecutionResult> {
  const request = { query, ...(variables ? { variables } : {}), ...(operationName ? { operationName } : {}) };
  const { body } = await apollo.executeOperation(request, { contextValue });
  if (body.kind !== "single") throw new Error("incremental delivery is not offered");
  const { data, errors: problems } = body.singleResult;
  const found = problems?.map(
    ({ message, path, locations: _locations, extensions }) =>
      new GraphQLError(message, { path: path ?? null, extensions: extensions ?? {} }),
  );
  if (data === undefined && found) throw new OperationFailed(found);
  return { ...(data === undefined ? {} : { data }), ...(found ? { errors: found } : {}) };
}

type Gateway = ApolloServerOptionsWithGateway<GatewayContext>["gateway"];
type Executor = Awaited<ReturnType<Gateway["load"]>>["executor"];

/** Our graph in the place of @apollo/gateway's. */
function toGateway({ graphs, subgraphs }: ApolloOptions): Gateway {
  return {
    onSchemaLoadOrUpdate: (listener) => {
      const tell = (): void => {
        listener({ apiSchema: graphs.current.schema, coreSupergraphSdl: graphs.current.sdl });
      };
      tell();
      return graphs.onReplaced(tell);
    },
    load: () =>
      Promise.resolve({
        executor: async ({ document, request, schema, context }) => {
          const plan = graphs.of(schema).planOf(document, request.operationName);
          const variables: Record<string, unknown> = request.variables ?? {};
          const refused = variableErrors(plan, variables);
          const result = refused
            ? { errors: refused }
            : await runPlan(plan, { links: subgraphs, variables, context: context as GatewayContext });
          return result as Awaited<ReturnType<NonNullable<Executor>>>;
        },
      }),
    stop: () => Promise.resolve(),
  };
}

/** Refuses what the caller may not do, after validation and before anything is planned or fetched. */
function guard({ graphs }: ApolloOptions): ApolloServerPlugin<GatewayContext> {
  const listener: GraphQLRequestListener<GatewayContext> = {
    didResolveOperation: ({ document, operation, schema, contextValue }) => {
      if (!operation) throw toShownError(errors.OPERATION_UNKNOWN(), undefined, 400);
      if (operation.operation === OperationTypeNode.SUBSCRIPTION)
        throw toShownError(errors.SUBSCRIPTION_NEEDS_SOCKET(), undefined, 400);
      const refusal = findRefusal(graphs.of(schema).requirements.of(document, operation), contextValue.caller);
      if (refusal) throw toShownError(refusal, contextValue.requestId, httpStatusOf(refusal.kind));
      return Promise.resolve();
    },
  };
  return { requestDidStart: () => Promise.resolve(listener) };
}

const MAX_KNOWN_TEXT = 8 * 1024 * 1024;

/** The limits come before Apollo Server parses: it would validate first, and validation is where large documents are dear. */
function createLimiter(limits: Limits): (request: HTTPGraphQLRequest) => GraphQLError | undefined {
  const within = new LRUCache<string, true>({
    maxSize: MAX_KNOWN_TEXT,
    sizeCalculation: (_true, text) => text.length + 1,
  });
  return ({ body, search }) => {
    const inBody = typeof body === "object" && body !== null && "query" in body ? body.query : undefined;
    const query = inBody ?? new URLSearchParams(search).get("query");
    if (typeof query !== "string" || within.has(query)) return undefined;
    const parsed = parseShown(query, limits);
    if (!(parsed instanceof GraphQLError)) within.set(query, true);
    // Syntax errors are Apollo Server's to report.
    return parsed instanceof GraphQLError && parsed.extensions["code"] !== "GRAPHQL_PARSE_FAILED" ? parsed : undefined;
  };
}

function answerWith(error: GraphQLError, requestId: string): HTTPGraphQLResponse {
  const status = error.extensions["code"] === "PAYLOAD_TOO_LARGE" ? 413 : 400;
  return {
    status,
    headers: new HeaderMap([["content-type", "application/json; charset=utf-8"]]),
    body: { kind: "complete", string: JSON.stringify({ errors: [presentGatewayError(error, requestId).toJSON()] }) },
  };
}
