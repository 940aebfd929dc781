import { isFormattedErrors, networkError, recordOf } from "./errors.ts";
import type { RateLimit } from "./rate-limit.ts";
import { introduce, type Introduction } from "./token.ts";
import type { StreamResult } from "./transport/transport.ts";

/** Queries and mutations: GraphQL over HTTP. Nothing is sent twice. */

export interface HttpOptions extends Introduction {
  readonly url: string;
  readonly limit: RateLimit;
  /** Hears which version of the API answered, if it says so. */
  readonly onVersion: (version: string) => void;
}

export type Execute = (
  query: string,
  variables: Readonly<Record<string, unknown>>,
  signal?: AbortSignal,
) => Promise<StreamResult>;

const ACCEPT = "application/graphql-response+json, application/json";

/** Gives what the API answers, errors and all. @throws NetworkError when it does not answer as it should. */
export function openHttp({ url, limit, onVersion, ...who }: HttpOptions): Execute {
  return async (query, variables, signal) => {
    await limit.take(signal);
    const body = JSON.stringify({ query, variables });
    const headers = { accept: ACCEPT, "content-type": "application/json", ...(await introduce(who)) };
    const failed = (message: string) => (cause: unknown) => {
      throw signal?.aborted ? cause : networkError(message, { cause });
    };
    const response = await fetch(url, { method: "POST", headers, body, ...(signal ? { signal } : {}) }).catch(
      failed("The API cannot be reached."),
    );
    const answer: unknown = await response.json().catch(failed(`The API answered ${response.status} without JSON.`));
    const version = response.headers.get("x-api-version");
    if (version !== null) onVersion(version);
    const result = resultOf(answer, response.status);
    holdFor(limit, result, response.headers.get("retry-after"));
    return result;
  };
}

function resultOf(answer: unknown, status: number): StreamResult {
  const { data, errors } = recordOf(answer) ?? {};
  const hasErrors = isFormattedErrors(errors) && errors.length > 0;
  if (!hasErrors && recordOf(data) === undefined)
    throw networkError(`The API answered ${status} with something else than a result.`);
  return {
    ...(data === undefined ? {} : { data: recordOf(data) ?? null }),
    ...(hasErrors ? { errors } : {}),
  };
}

/** One request that was too much makes the next ones wait. */
function holdFor(limit: RateLimit, { errors = [] }: StreamResult, retryAfter: string | null): void {
  const limited = errors.find(({ extensions }) => extensions?.["code"] === "RATE_LIMITED");
  if (!limited) return;
  const afterMs = limited.extensions?.["retryAfterMs"];
  limit.hold(typeof afterMs === "number" ? afterMs : (Number(retryAfter) || 1) * 1_000);
}
