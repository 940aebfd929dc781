import { OperationFailed } from "@sba/platform/execute";
import { httpStatusOfCode } from "@sba/platform/errors";
import { plainRequestOf, type PlainRequest } from "@sba/platform/plain-request";
import { rateLimitHeaders } from "@sba/platform/rate-limit";
import { runInSpan, type SpanOptions } from "@sba/platform/telemetry";
import { GraphQLError, type ExecutionResult } from "graphql";
import { LRUCache } from "lru-cache";
import { startApollo, type HttpAnswer } from "./apollo.ts";
import { hashOf, type Documents } from "./documents.ts";
import { presentGatewayError, retryHeaders, toShownError } from "./errors.ts";
import type { GatewayContext } from "./forward.ts";
import type { Graphs } from "./graphs.ts";
import type { Limits } from "./limits.ts";
import { countOperation } from "./metrics.ts";
import { openOperationRunner, type AskedOperation, type OperationOptions } from "./operation.ts";
import { createLimiter, textsOf, withTexts, type GraphqlRequest } from "./requests.ts";
import type { TrustedDocuments } from "./trusted-documents.ts";

/** Queries and mutations, of requests and of sockets. */

export interface OperationsOptions extends OperationOptions {
  readonly graphs: Graphs;
  readonly documents: Documents;
  readonly limits: Limits;
  readonly trusted: TrustedDocuments;
}

export interface Operations {
  /** One HTTP request to `/graphql`, whatever its method and body. */
  readonly answerHttp: (request: GraphqlRequest, context: GatewayContext) => Promise<HttpAnswer>;
  /** A query or mutation of a socket. @throws OperationFailed when it could not run at all. */
  readonly execute: (asked: AskedOperation, context: GatewayContext) => Promise<ExecutionResult>;
  readonly stop: () => Promise<void>;
}

export async function startOperations(options: OperationsOptions): Promise<Operations> {
  const { graphs, documents, trusted, tolls, limits, introspection } = options;
  const run = openOperationRunner(options);
  const apollo = await startApollo({
    graphs,
    run,
    allowsBatches: limits.maxBatch > 1,
    hidesNames: introspection !== "everyone",
  });
  const overLimits = createLimiter(limits);
  const contentTypes = openContentTypes();
  const answerPlain = async (plain: PlainRequest, type: string, context: GatewayContext): Promise<HttpAnswer> => {
    const graph = graphs.current;
    const known = documents.of(graph, plain.query);
    if (!("document" in known)) {
      countOperation(context.client, undefined, { errors: known }, 0);
      return answerErrors(known, type, context);
    }
    const { document } = known;
    const { status, headers, result } = await run({ graph, document, ...plain }, context);
    return { status, headers: { ...headers, "content-type": type }, body: toJson(result) };
  };
  const answerAny = async (request: GraphqlRequest, texts: readonly string[], context: GatewayContext) => {
    const refused = overLimits(request, texts);
    if (refused) return answerErrors([refused], contentTypes.guess(request), context);
    const answer = await apollo.answer(request, context);
    contentTypes.learn(request, answer);
    return answer;
  };
  const answer = async (sent: GraphqlRequest, context: GatewayContext): Promise<HttpAnswer> => {
    const request = withTexts(sent, trusted, context.client);
    const refused = request instanceof GraphQLError ? request : undefined;
    const asked = request instanceof GraphQLError ? sent : request;
    const plain = refused || asked.method !== "POST" ? undefined : plainRequestOf(asked.body);
    const texts = plain ? [plain.query] : textsOf(asked);
    const hash = plain ? documents.hashOf(plain.query) : hashOf(texts.join("\n"));
    // What is not answered is counted, too: it has been read and hashed.
    const { refusal, standings } = await tolls.admit(context, hash, texts.length || 1);
    const type = contentTypes.of(asked);
    const problem = refusal ? toShownError(refusal, context.requestId) : refused;
    const answered = problem
      ? answerErrors([problem], contentTypes.guess(asked), context)
      : await runInSpan("graphql.request", spanOf(context, asked.headers["traceparent"]), () =>
          plain && type !== undefined ? answerPlain(plain, type, context) : answerAny(asked, texts, context),
        );
    return { ...answered, headers: { ...answered.headers, ...rateLimitHeaders(standings) } };
  };
  return {
    answerHttp: answer,
    execute: (asked, context) =>
      runInSpan("graphql.request", spanOf(context), async () => {
        const { result } = await run(asked, context);
        if (result.data === undefined && result.errors) throw new OperationFailed(result.errors);
        return result;
      }),
    stop: apollo.stop,
  };
}

/** Errors first: who reads a long answer sees them. */
function toJson({ errors, data, extensions }: ExecutionResult): string {
  return JSON.stringify({ errors, data, extensions });
}

/** Where a trace begins, or goes on for a client that traces too. */
function spanOf({ caller, requestId }: GatewayContext, traceparent?: string | string[]): SpanOptions {
  const attributes = { "sba.request_id": requestId, "sba.tenant_id": caller?.tenantId };
  return { kind: "server", traceparent: typeof traceparent === "string" ? traceparent : undefined, attributes };
}

const GRAPHQL_RESPONSE = "application/graphql-response+json";
const MAX_ACCEPTS = 200;
const MAX_ACCEPT_LENGTH = 300;

/** Which of the two media types an Accept header asks for is Apollo Server's to say: it is asked once for each. */
function openContentTypes() {
  const known = new LRUCache<string, string>({ max: MAX_ACCEPTS });
  const keyOf = ({ headers }: GraphqlRequest): string => headers.accept ?? "";
  return {
    of: (request: GraphqlRequest): string | undefined => known.get(keyOf(request)),
    /** For a refusal, which is better not to the letter than not told. */
    guess: (request: GraphqlRequest): string =>
      known.get(keyOf(request)) ??
      `${keyOf(request).includes(GRAPHQL_RESPONSE) ? GRAPHQL_RESPONSE : "application/json"}; charset=utf-8`,
    learn: (request: GraphqlRequest, { status, headers }: HttpAnswer): void => {
      const type = headers["content-type"];
      // A refusal of what is accepted says nothing of the kind.
      if (status === 200 && type !== undefined && keyOf(request).length <= MAX_ACCEPT_LENGTH)
        known.set(keyOf(request), type);
    },
  };
}

/** The answer to a request of which nothing is run. */
function answerErrors(problems: readonly GraphQLError[], type: string, { requestId }: GatewayContext): HttpAnswer {
  const shown = problems.map((problem) => presentGatewayError(problem, requestId));
  const code = String(shown[0]?.extensions["code"]);
  const retryAfterMs = shown[0]?.extensions["retryAfterMs"];
  return {
    // Of a text that is only not known yet it is no failure to ask.
    status: code === "PERSISTED_QUERY_NOT_FOUND" ? 200 : httpStatusOfCode(code),
    headers: {
      "content-type": type,
      ...retryHeaders({ retryAfterMs: typeof retryAfterMs === "number" ? retryAfterMs : undefined }),
    },
    body: toJson({ errors: shown }),
  };
}
