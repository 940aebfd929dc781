import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { print, type DocumentNode } from "graphql";
import { ApiError, isFormattedErrors, networkError } from "./errors.ts";
import { openRealtime, type SubscribeOptions } from "./realtime.ts";
import { readToken, type Token } from "./token.ts";

/** A small typed client for Node and browsers: fetch for queries and mutations, graphql-ws for subscriptions. See PROTOCOL.md. */

export interface ClientOptions {
  /** `https://host/graphql`. */
  readonly url: string;
  /** The WebSocket address; the same with `ws` for `http` when absent. */
  readonly subscriptionsUrl?: string;
  /** Absent for what needs no credentials, such as signing in. */
  readonly token?: Token;
}

export interface RequestOptions {
  readonly signal?: AbortSignal;
}

export type { SubscribeOptions } from "./realtime.ts";

type Variables = Readonly<Record<string, unknown>>;
/** Variables may be left out when none of them is required. */
type Arguments<V, Options> =
  Record<string, never> extends V ? [variables?: V, options?: Options] : [variables: V, options?: Options];

export interface Client {
  /** @throws ApiError when there is any error; `data` of the error has what there is of the result. */
  query<Data, V extends Variables>(
    document: TypedDocumentNode<Data, V>,
    ...rest: Arguments<V, RequestOptions>
  ): Promise<Data>;
  /** As `query`. Nothing is sent twice: a mutation that must not happen twice carries an idempotency key. */
  mutate<Data, V extends Variables>(
    document: TypedDocumentNode<Data, V>,
    ...rest: Arguments<V, RequestOptions>
  ): Promise<Data>;
  /** The events, until the stream completes. A lost connection is resumed after the last event's cursor. `next()` throws ApiError. */
  subscribe<Data, V extends Variables>(
    document: TypedDocumentNode<Data, V>,
    ...rest: Arguments<V, SubscribeOptions>
  ): AsyncIterableIterator<Data, undefined>;
  /** Closes the socket; streams that are open end. */
  close(): Promise<void>;
}

export function createClient({ url, subscriptionsUrl, token }: ClientOptions): Client {
  const realtime = openRealtime({ url: subscriptionsUrl ?? url.replace(/^http/, "ws"), token });
  const send = <Data, V extends Variables>(
    document: TypedDocumentNode<Data, V>,
    ...[variables, options]: Arguments<V, RequestOptions>
  ): Promise<Data> => post<Data>(url, token, document, variables ?? {}, options);
  return {
    query: send,
    mutate: send,
    subscribe: <Data, V extends Variables>(
      document: TypedDocumentNode<Data, V>,
      ...[variables, options]: Arguments<V, SubscribeOptions>
    ) => realtime.subscribe<Data>(print(document), variables ?? {}, options),
    close: () => realtime.close(),
  };
}

async function post<Data>(
  url: string,
  token: Token | undefined,
  document: DocumentNode,
  variables: Variables,
  { signal }: RequestOptions = {},
): Promise<Data> {
  const credentials = await readToken(token);
  const response = await fetch(url, {
    method: "POST",
    headers: {
      accept: "application/graphql-response+json, application/json",
      "content-type": "application/json",
      ...(credentials === undefined ? {} : { authorization: `Bearer ${credentials}` }),
    },
    body: JSON.stringify({ query: print(document), variables }),
    ...(signal ? { signal } : {}),
  }).catch((cause: unknown) => {
    throw signal?.aborted ? cause : networkError("The API cannot be reached.", { cause });
  });
  const body: unknown = await response.json().catch((cause: unknown) => {
    throw signal?.aborted ? cause : networkError(`The API answered ${response.status} without JSON.`, { cause });
  });
  return dataOf<Data>(body, response.status);
}

/** @throws ApiError when the result has errors, or is none. */
function dataOf<Data>(body: unknown, status: number): Data {
  if (typeof body !== "object" || body === null)
    throw networkError(`The API answered ${status} with something else than a result.`);
  const data = "data" in body ? body.data : undefined;
  if ("errors" in body && isFormattedErrors(body.errors) && body.errors.length > 0)
    throw new ApiError(body.errors, { data });
  if (data === undefined || data === null)
    throw networkError(`The API answered ${status} with something else than a result.`);
  // The document's type says what the API promises for it; the schema's check in CI keeps the two together.
  return data as Data;
}
