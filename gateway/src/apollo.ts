import { AsyncLocalStorage } from "node:async_hooks";
import {
  ApolloServer,
  type ApolloServerOptionsWithGateway,
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
import { logger } from "@sba/platform/log";
import { rateLimitHeaders } from "@sba/platform/rate-limit";
import { runInSpan, type SpanOptions } from "@sba/platform/telemetry";
import { GraphQLError, type ExecutionResult } from "graphql";
import { guard } from "./apollo-guard.ts";
import { answerWith, createLimiter, textsOf, withTexts } from "./apollo-limits.ts";
import { hashOf } from "./documents.ts";
import { errors, presentGatewayError, toShownError } from "./errors.ts";
import type { GatewayContext, SubgraphLinks } from "./forward.ts";
import { countOperations } from "./metrics.ts";
import { variableErrors } from "./graph.ts";
import type { Graphs } from "./graphs.ts";
import type { Limits } from "./limits.ts";
import { runPlan } from "./plan-run.ts";
import type { Tolls } from "./tolls.ts";
import type { TrustedDocuments } from "./trusted-documents.ts";

/**
 * Queries and mutations. Apollo Server parses, validates and speaks GraphQL over HTTP; our limits come before it, our
 * enforcement between validation and plan, and the plan runs in `graph.ts`. Sockets send their queries through here too.
 */

/** Who may read the schema: `members` are all who have said who they are. */
export type Introspection = "everyone" | "members" | "nobody";

export interface ApolloOptions {
  readonly graphs: Graphs;
  readonly subgraphs: SubgraphLinks;
  readonly limits: Limits;
  readonly tolls: Tolls;
  readonly trusted: TrustedDocuments;
  readonly introspection: Introspection;
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
    introspection: options.introspection !== "nobody",
    // "Did you mean" tells strangers the names that introspection hides.
    hideSchemaDetailsFromClientErrors: options.introspection !== "everyone",
    csrfPrevention: true,
    persistedQueries: false,
    allowBatchedHttpRequests: options.limits.maxBatch > 1,
    includeStacktraceInErrorResponses: false,
    stopOnTerminationSignals: false,
    logger,
    formatError: (_formatted, error) => presentGatewayError(inOurWords(error), requestIds.getStore()).toJSON(),
    plugins: [
      countOperations(),
      guard({ ...options, isSchemaOpen: options.introspection === "everyone" }),
      ApolloServerPluginLandingPageDisabled(),
      ApolloServerPluginUsageReportingDisabled(),
      ApolloServerPluginCacheControlDisabled(),
      ApolloServerPluginInlineTraceDisabled(),
    ],
  });
  await apollo.start();
  const overLimits = createLimiter(options.limits);
  const answer = (httpGraphQLRequest: HTTPGraphQLRequest, context: GatewayContext) =>
    runInSpan("graphql.request", spanOf(context, httpGraphQLRequest.headers.get("traceparent")), () =>
      apollo.executeHTTPGraphQLRequest({ httpGraphQLRequest, context: () => Promise.resolve(context) }),
    );
  return {
    answerHttp: (sent, context) =>
      requestIds.run(context.requestId, async () => {
        const request = withTexts(sent, options.trusted, context.client);
        if (request instanceof GraphQLError) return answerWith(request, sent, context.requestId);
        const texts = textsOf(request);
        const { refusal, standings } = await options.tolls.admit(context, hashOf(texts.join("\n")), texts.length || 1);
        const refused = refusal ? toShownError(refusal, context.requestId) : overLimits(request, texts);
        const response = refused ? answerWith(refused, request, context.requestId) : await answer(request, context);
        for (const [name, value] of Object.entries(rateLimitHeaders(standings))) response.headers.set(name, value);
        return response;
      }),
    execute: (request, context) =>
      requestIds.run(context.requestId, () =>
        runInSpan("graphql.request", spanOf(context), () => executeSingle(apollo, request, context)),
      ),
    stop: () => apollo.stop(),
  };
}

/** Of a schema that nobody may read Apollo Server tells callers what its operator could configure. */
function inOurWords(error: unknown): unknown {
  const isIntrospection =
    error instanceof GraphQLError && error.extensions["validationErrorCode"] === "INTROSPECTION_DISABLED";
  return isIntrospection ? toShownError(errors.SCHEMA_NOT_SHOWN()) : error;
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
  const { data, errors: problems, extensions } = body.singleResult;
  const found = problems?.map(
    ({ message, path, locations: _locations, extensions }) =>
      new GraphQLError(message, { path: path ?? null, extensions: extensions ?? {} }),
  );
  if (data === undefined && found) throw new OperationFailed(found);
  return {
    ...(data === undefined ? {} : { data }),
    ...(found ? { errors: found } : {}),
    ...(extensions ? { extensions } : {}),
  };
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
          const graph = graphs.of(schema);
          const plan = graph.planOf(document, request.operationName);
          const variables: Record<string, unknown> = request.variables ?? {};
          const refused = variableErrors(plan, variables);
          const result = refused
            ? { errors: graph.told(refused) }
            : await runPlan(plan, { links: subgraphs, variables, context: context as GatewayContext });
          return result as Awaited<ReturnType<NonNullable<Executor>>>;
        },
      }),
    stop: () => Promise.resolve(),
  };
}
