import { platformErrors } from "./errors.ts";

/** Requests to `/graphql` as nearly all are sent, to the gateway and on to a subgraph. */

/** @throws INPUT_INVALID */
export function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (cause) {
    throw platformErrors.INPUT_INVALID({ message: "The body is not valid JSON.", cause });
  }
}

/** One operation: JSON that is posted. */
export interface PlainRequest {
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly operationName: string | undefined;
}

/** Undefined for whatever else a body is: a batch, a hash in a text's place, or not as it should be. */
export function plainRequestOf(body: unknown): PlainRequest | undefined {
  if (!isObject(body)) return undefined;
  const { query, variables, operationName, extensions } = body;
  if (typeof query !== "string" || query === "") return undefined;
  if (!isAbsent(variables) && !isObject(variables)) return undefined;
  if (!isAbsent(operationName) && typeof operationName !== "string") return undefined;
  if (!isAbsent(extensions) && !(isObject(extensions) && extensions["persistedQuery"] === undefined)) return undefined;
  return { query, variables: variables ?? {}, operationName: operationName ?? undefined };
}

function isAbsent(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
