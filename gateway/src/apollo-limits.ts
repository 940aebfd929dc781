import { HeaderMap, type HTTPGraphQLRequest, type HTTPGraphQLResponse } from "@apollo/server";
import { httpStatusOfCode } from "@sba/platform/errors";
import { GraphQLError } from "graphql";
import { LRUCache } from "lru-cache";
import { parseShown } from "./documents.ts";
import { errors, presentGatewayError, toShownError } from "./errors.ts";
import type { Limits } from "./limits.ts";
import type { Client } from "./metrics.ts";
import type { Sent, TrustedDocuments } from "./trusted-documents.ts";

/** The limits come before Apollo Server parses: it would validate first, and validation is where large documents are dear. */

const MAX_KNOWN_TEXT = 8 * 1024 * 1024;

/** The texts of a request's operations: of a batch, several; what is no text is left out, and Apollo Server's to refuse. */
export function textsOf({ body, search }: HTTPGraphQLRequest): readonly string[] {
  const requests: readonly unknown[] = Array.isArray(body) ? body : [body];
  const inBody = requests
    .map((request) =>
      typeof request === "object" && request !== null && "query" in request ? request.query : undefined,
    )
    .filter((query) => typeof query === "string");
  if (inBody.length > 0) return inBody;
  const inSearch = new URLSearchParams(search).get("query");
  return inSearch === null ? [] : [inSearch];
}

/** The request with its texts in the place of their hashes. */
export function withTexts(
  request: HTTPGraphQLRequest,
  trusted: TrustedDocuments,
  client: Client | undefined,
): HTTPGraphQLRequest | GraphQLError {
  const { body, search } = request;
  if (request.method === "GET") {
    const params = new URLSearchParams(search);
    const sent = Object.fromEntries(params);
    const text = trusted.textOf({ ...sent, extensions: jsonOf(sent["extensions"]) }, client);
    if (text instanceof GraphQLError) return text;
    if (text === undefined || text === sent["query"]) return request;
    params.set("query", text);
    params.delete("extensions");
    return { ...request, search: `?${params.toString()}` };
  }
  const bodies = (Array.isArray(body) ? body : [body]).map((each: unknown) => bodyWithText(each, trusted, client));
  const refused = bodies.find((each) => each instanceof GraphQLError);
  return refused ?? { ...request, body: Array.isArray(body) ? bodies : bodies[0] };
}

function bodyWithText(body: unknown, trusted: TrustedDocuments, client: Client | undefined): unknown {
  if (typeof body !== "object" || body === null) return body;
  const text = trusted.textOf(body, client);
  if (text === undefined || text instanceof GraphQLError) return text ?? body;
  const { documentId: _documentId, ...sent } = body as Sent;
  if (typeof sent.extensions !== "object" || sent.extensions === null || !("persistedQuery" in sent.extensions))
    return { ...sent, query: text };
  const { persistedQuery: _persistedQuery, ...extensions } = sent.extensions as Readonly<Record<string, unknown>>;
  return { ...sent, query: text, extensions };
}

function jsonOf(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return undefined;
  }
}

/** Looks at each text once: what is within the limits stays so. */
export function createLimiter(limits: Limits) {
  const within = new LRUCache<string, true>({
    maxSize: MAX_KNOWN_TEXT,
    sizeCalculation: (_true, text) => text.length + 1,
  });
  const overLimits = (query: string): GraphQLError | undefined => {
    if (within.has(query)) return undefined;
    const parsed = parseShown(query, limits);
    if (!(parsed instanceof GraphQLError)) within.set(query, true);
    // Syntax errors are Apollo Server's to report.
    return parsed instanceof GraphQLError && parsed.extensions["code"] !== "GRAPHQL_PARSE_FAILED" ? parsed : undefined;
  };
  return ({ body }: HTTPGraphQLRequest, texts: readonly string[]): GraphQLError | undefined => {
    if (Array.isArray(body) && (limits.maxBatch === 1 || body.length > limits.maxBatch))
      return toShownError(batchTooLarge(limits.maxBatch));
    for (const text of texts) {
      const refused = overLimits(text);
      if (refused) return refused;
    }
    return undefined;
  };
}

function batchTooLarge(limit: number) {
  return errors.OPERATION_BATCH_TOO_LARGE({
    message:
      limit === 1
        ? "Send one operation a request: batches are not taken."
        : `A batch may have at most ${limit} operations.`,
    details: { limit },
  });
}

const GRAPHQL_RESPONSE = "application/graphql-response+json";

/** The answer to a request that Apollo Server is not asked. */
export function answerWith(
  error: GraphQLError,
  { headers }: HTTPGraphQLRequest,
  requestId: string,
): HTTPGraphQLResponse {
  const shown = presentGatewayError(error, requestId);
  const type = headers.get("accept")?.includes(GRAPHQL_RESPONSE) ? GRAPHQL_RESPONSE : "application/json";
  const code = String(shown.extensions["code"]);
  const retryAfterMs = shown.extensions["retryAfterMs"];
  return {
    // Of a text that is only not known yet it is no failure to ask.
    status: code === "PERSISTED_QUERY_NOT_FOUND" ? 200 : httpStatusOfCode(code),
    headers: new HeaderMap([
      ["content-type", `${type}; charset=utf-8`],
      ...(typeof retryAfterMs === "number" ? [["retry-after", String(Math.ceil(retryAfterMs / 1_000))] as const] : []),
    ]),
    body: { kind: "complete", string: JSON.stringify({ errors: [shown.toJSON()] }) },
  };
}
