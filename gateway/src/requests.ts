import type { IncomingHttpHeaders } from "node:http";
import { GraphQLError } from "graphql";
import { LRUCache } from "lru-cache";
import { parseShown } from "./documents.ts";
import { errors, toShownError } from "./errors.ts";
import type { Limits } from "./limits.ts";
import type { Client } from "./metrics.ts";
import type { Sent, TrustedDocuments } from "./trusted-documents.ts";

/** Requests to `/graphql` as they come, before anything of them is parsed or validated. */

export interface GraphqlRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Parsed, of JSON; else null. */
  readonly body: unknown;
}

export function searchOf({ url }: Pick<GraphqlRequest, "url">): string {
  const start = url.indexOf("?");
  return start < 0 ? "" : url.slice(start);
}

/** The texts of a request's operations: of a batch, several; what is no text is left out, and Apollo Server's to refuse. */
export function textsOf(request: GraphqlRequest): readonly string[] {
  const { body } = request;
  const requests: readonly unknown[] = Array.isArray(body) ? body : [body];
  const inBody = requests
    .map((each) => (typeof each === "object" && each !== null && "query" in each ? each.query : undefined))
    .filter((query) => typeof query === "string");
  if (inBody.length > 0) return inBody;
  const inSearch = new URLSearchParams(searchOf(request)).get("query");
  return inSearch === null ? [] : [inSearch];
}

/** The request with its texts in the place of their hashes. */
export function withTexts(
  request: GraphqlRequest,
  trusted: TrustedDocuments,
  client: Client | undefined,
): GraphqlRequest | GraphQLError {
  const { body } = request;
  if (request.method === "GET") {
    const params = new URLSearchParams(searchOf(request));
    const sent = Object.fromEntries(params);
    const text = trusted.textOf({ ...sent, extensions: jsonOf(sent["extensions"]) }, client);
    if (text instanceof GraphQLError) return text;
    if (text === undefined || text === sent["query"]) return request;
    params.set("query", text);
    params.delete("extensions");
    return { ...request, url: `?${params.toString()}` };
  }
  if (!Array.isArray(body)) {
    const changed = bodyWithText(body, trusted, client);
    if (changed instanceof GraphQLError) return changed;
    return changed === body ? request : { ...request, body: changed };
  }
  const bodies = body.map((each: unknown) => bodyWithText(each, trusted, client));
  return bodies.find((each) => each instanceof GraphQLError) ?? { ...request, body: bodies };
}

/** The same when it has its text already, and nothing but that. */
function bodyWithText(body: unknown, trusted: TrustedDocuments, client: Client | undefined): unknown {
  if (typeof body !== "object" || body === null) return body;
  const text = trusted.textOf(body, client);
  if (text === undefined || text instanceof GraphQLError) return text ?? body;
  const { documentId, query, extensions } = body as Sent;
  const isPersisted = typeof extensions === "object" && extensions !== null && "persistedQuery" in extensions;
  if (query === text && documentId === undefined && !isPersisted) return body;
  const { documentId: _documentId, ...sent } = body as Sent;
  if (!isPersisted) return { ...sent, query: text };
  const { persistedQuery: _persistedQuery, ...rest } = extensions;
  return { ...sent, query: text, extensions: rest };
}

function jsonOf(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return undefined;
  }
}

const MAX_KNOWN_TEXT = 8 * 1024 * 1024;

/**
 * The limits of what Apollo Server is asked: it would validate first, and validation is where large documents are dear. Looks at
 * each text once: what is within the limits stays so.
 */
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
  return ({ body }: GraphqlRequest, texts: readonly string[]): GraphQLError | undefined => {
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
