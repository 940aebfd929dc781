import { AsyncLocalStorage } from "node:async_hooks";
import {
  ApolloServer,
  HeaderMap,
  type ApolloServerOptionsWithGateway,
  type ApolloServerPlugin,
  type GraphQLRequestListener,
} from "@apollo/server";
import {
  ApolloServerPluginCacheControlDisabled,
  ApolloServerPluginInlineTraceDisabled,
  ApolloServerPluginLandingPageDisabled,
  ApolloServerPluginUsageReportingDisabled,
} from "@apollo/server/plugin/disabled";
import { logger } from "@sba/platform/log";
import { presentGatewayError } from "./errors.ts";
import type { GatewayContext } from "./forward.ts";
import type { Graphs } from "./graphs.ts";
import { countOperation } from "./metrics.ts";
import type { OperationAnswer, RunOperation } from "./operation.ts";
import { searchOf, type GraphqlRequest } from "./requests.ts";

/**
 * Requests that are not as nearly all are: asked by GET, in batches, or not as they should be. Apollo Server speaks GraphQL over HTTP
 * for them, parses and validates; what it found valid runs where everything does, in `operation.ts`.
 */

export interface ApolloOptions {
  readonly graphs: Graphs;
  readonly run: RunOperation;
  readonly allowsBatches: boolean;
  /** "Did you mean" tells the names that who may not read the schema should not learn. */
  readonly hidesNames: boolean;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: string;
}

export interface Apollo {
  readonly answer: (request: GraphqlRequest, context: GatewayContext) => Promise<HttpAnswer>;
  readonly stop: () => Promise<void>;
}

// Apollo Server formats errors without telling of which request. Nothing but the errors' requestId is read from here.
const requestIds = new AsyncLocalStorage<string>();

export async function startApollo({ graphs, run, allowsBatches, hidesNames }: ApolloOptions): Promise<Apollo> {
  const apollo = new ApolloServer<GatewayContext>({
    gateway: schemasOf(graphs),
    // Whoever may not read the schema is refused where everything is.
    introspection: true,
    hideSchemaDetailsFromClientErrors: hidesNames,
    csrfPrevention: true,
    persistedQueries: false,
    allowBatchedHttpRequests: allowsBatches,
    includeStacktraceInErrorResponses: false,
    stopOnTerminationSignals: false,
    logger,
    formatError: (_formatted, error) => presentGatewayError(error, requestIds.getStore()).toJSON(),
    plugins: [
      handOver(graphs, run),
      ApolloServerPluginLandingPageDisabled(),
      ApolloServerPluginUsageReportingDisabled(),
      ApolloServerPluginCacheControlDisabled(),
      ApolloServerPluginInlineTraceDisabled(),
    ],
  });
  await apollo.start();
  return {
    answer: (request, context) =>
      requestIds.run(context.requestId, async () => {
        const { status, headers, body } = await apollo.executeHTTPGraphQLRequest({
          httpGraphQLRequest: toApolloRequest(request),
          context: () => Promise.resolve(context),
        });
        if (body.kind !== "complete") throw new Error("incremental delivery is not offered");
        return { status: status ?? 200, headers: Object.fromEntries(headers), body: body.string };
      }),
    stop: () => apollo.stop(),
  };
}

function toApolloRequest(request: GraphqlRequest) {
  const headers = new HeaderMap();
  for (const [name, value] of Object.entries(request.headers))
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  return { method: request.method, headers, search: searchOf(request), body: request.body };
}

type Gateway = ApolloServerOptionsWithGateway<GatewayContext>["gateway"];

/** Where Apollo Server hears of each new schema. */
function schemasOf(graphs: Graphs): Gateway {
  return {
    onSchemaLoadOrUpdate: (listener) => {
      const tell = (): void => {
        listener({ apiSchema: graphs.current.schema, coreSupergraphSdl: graphs.current.sdl });
      };
      tell();
      return graphs.onReplaced(tell);
    },
    load: () =>
      Promise.resolve({ executor: () => Promise.reject(new Error("an operation was not handed over to be run")) }),
    stop: () => Promise.resolve(),
  };
}

function handOver(graphs: Graphs, run: RunOperation): ApolloServerPlugin<GatewayContext> {
  return {
    requestDidStart: ({ contextValue: { client } }) => {
      const beganAt = performance.now();
      let answer: OperationAnswer | undefined;
      const listener: GraphQLRequestListener<GatewayContext> = {
        responseForOperation: async ({ document, request, schema, contextValue }) => {
          const { operationName, variables = {} } = request;
          answer = await run({ graph: graphs.of(schema), document, operationName, variables }, contextValue);
          const { status, headers } = answer;
          const { errors, ...result } = answer.result;
          const singleResult = { ...result, ...(errors ? { errors: errors.map((error) => error.toJSON()) } : {}) };
          return {
            http: { ...(status === 200 ? {} : { status }), headers: new HeaderMap(Object.entries(headers)) },
            body: { kind: "single", singleResult },
          };
        },
        willSendResponse: ({ errors = [] }) => {
          if (!answer) countOperation(client, undefined, { errors: [...errors] }, performance.now() - beganAt);
          return Promise.resolve();
        },
      };
      return Promise.resolve(listener);
    },
  };
}
