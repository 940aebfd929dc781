import { AppError, ensureAppError, platformErrors } from "@sba/platform/errors";
import { OperationFailed, type OperationRequest } from "@sba/platform/execute";
import {
  INTERNAL_TOKEN_HEADER,
  internalExtensions,
  internalHeaders,
  type InternalRequest,
} from "@sba/platform/internal-token";
import { GRAPHQL_PATH, type Route, type RouteRequest, type RouteResponse } from "@sba/platform/server";
import { requireStorable } from "@sba/platform/storable";
import { currentTraceparent } from "@sba/platform/telemetry";
import { GraphQLError, type ExecutionResult, type GraphQLFormattedError } from "graphql";
import { createClient, type Client } from "graphql-ws";
import { Pool, type Dispatcher } from "undici";
import WebSocket from "ws";
import { errors, toShownError } from "./errors.ts";
import { guardSubgraph, type Ending, type SubgraphGuardOptions } from "./forward-guard.ts";
import { unavailable, type LinkOperation, type SubgraphLink } from "./forward.ts";
import { openQueue } from "./queue.ts";

/** A subgraph in another process: HTTP over a pool of kept connections, and one graphql-ws socket for all its streams. */

export interface RemoteSubgraph {
  readonly name: string;
  /** `http://host:port`, without a path. */
  readonly url: string;
  /** Somebody else's subgraph has a path of its own, none of our routes, and is not told who asks: by our token it could ask others as them. */
  readonly foreignPath?: string;
  readonly routes: readonly RouteDeclaration[];
}

/** What the gateway must know of a route that it forwards: `schema/routes.json`, printed from the subgraphs. */
export type RouteDeclaration = Pick<Route, "method" | "path"> & { readonly authenticated?: boolean };

const CONNECTIONS = 64;
const CONNECT_TIMEOUT_MS = 2_000;
/** Of routes, whose bodies may be large: until the answer begins, and between two parts of it. */
const ROUTE_TIMEOUT_MS = 30_000;
const READY_TIMEOUT_MS = 2_000;
const IDLE_CONNECTION_MS = 30_000;
const KEEP_ALIVE_MS = 10_000;
const PONG_TIMEOUT_MS = 5_000;
const IDLE_SOCKET_MS = 5_000;
/** Who opens the socket. */
const GATEWAY: InternalRequest = { caller: undefined, internal: true, requestId: "socket" };
/** Events that have come and that nobody has asked for. Beyond it the stream is left, and resumed from its cursor. */
const MAX_BUFFERED = 1_000;

export function linkRemote(
  { name, url, routes, foreignPath }: RemoteSubgraph,
  options?: SubgraphGuardOptions,
): SubgraphLink {
  const guard = guardSubgraph(name, options);
  const pool = new Pool(url, {
    connections: CONNECTIONS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    headersTimeout: ROUTE_TIMEOUT_MS,
    bodyTimeout: ROUTE_TIMEOUT_MS,
    keepAliveTimeout: IDLE_CONNECTION_MS,
  });
  const path = foreignPath ?? GRAPHQL_PATH;
  const isOurs = foreignPath === undefined;
  const socket = openSocket(
    `${url.replace(/^http/, "ws")}${path}`,
    isOurs ? () => internalExtensions(GATEWAY) : () => ({}),
  );
  const headersFor = isOurs ? toHeaders : onlyItsId;
  return {
    name,
    routes: routes.map((route) => ({ ...route, handle: (request) => forwardRoute(pool, route, request) })),
    execute: (operation, request) => {
      // Before the guard: what cannot be written is no failure of the subgraph.
      const body = write(operation);
      if (body instanceof AppError) return Promise.resolve(unavailable(operation, body));
      return guard.run(operation, request, (ending) =>
        post({ pool, path, headers: headersFor(request) }, body, ending),
      );
    },
    subscribe: (operation, request) =>
      subscribeRemote(socket, operation, request, isOurs ? internalExtensions(toInternal(request)) : undefined),
    isReady: () => isReady(pool, foreignPath),
    close: async () => {
      await socket.dispose();
      await pool.close();
    },
  };
}

/** Ours have a probe; of somebody else's it is enough that it answers. */
async function isReady(pool: Pool, foreignPath: string | undefined): Promise<boolean> {
  const probe = {
    method: "GET" as const,
    path: foreignPath ?? "/readyz",
    signal: AbortSignal.timeout(READY_TIMEOUT_MS),
  };
  try {
    const { statusCode, body } = await pool.request(probe);
    await body.dump();
    return foreignPath === undefined ? statusCode === 200 : statusCode < 500;
  } catch {
    return false;
  }
}

/** The body of a fetch; or INPUT_INVALID for variables that cannot be written. */
function write({ query, variables, operationName }: LinkOperation): string | AppError {
  try {
    return JSON.stringify({ query, variables, operationName });
  } catch (cause) {
    return platformErrors.INPUT_INVALID({ message: "The variables are too large or nested too deeply.", cause });
  }
}

/** A fetch has an ending of its own. */
const NO_TIMEOUTS = { headersTimeout: 0, bodyTimeout: 0 };

interface Recipient {
  readonly pool: Pool;
  readonly path: string;
  /** Of this request. */
  readonly headers: Readonly<Record<string, string>>;
}

async function post({ pool, path, headers }: Recipient, body: string, ending: Ending): Promise<ExecutionResult> {
  const traceparent = currentTraceparent();
  const { status, contentType, ...received } = await exchange(
    pool,
    {
      ...NO_TIMEOUTS,
      method: "POST",
      path,
      headers: {
        "content-type": "application/json",
        accept: "application/json",
        ...(traceparent === undefined ? {} : { traceparent }),
        ...headers,
      },
      body,
    },
    ending,
  );
  if (status !== 200 || !contentType.includes("json")) throw new Error(`answered ${status} ${contentType}`);
  const result: unknown = JSON.parse(received.body.toString());
  if (!isResult(result)) throw new Error("answered with JSON that is no GraphQL result");
  return result as ExecutionResult;
}

interface Received {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
}

/** As the pool's `request`, without the stream that it makes of each answer: these are read whole. */
function exchange(pool: Pool, options: Dispatcher.DispatchOptions, ending: Ending): Promise<Received> {
  return new Promise((resolve, reject) => {
    let request: Dispatcher.DispatchController | undefined;
    let [status, contentType] = [0, ""];
    const chunks: Buffer[] = [];
    if (ending.reason) {
      reject(ending.reason);
      return;
    }
    ending.onEnd = (reason) => {
      request?.abort(reason);
      reject(reason);
    };
    pool.dispatch(options, {
      // It may have waited for a connection until nobody waits for it.
      onRequestStart: (started) => {
        request = started;
        if (ending.reason) started.abort(ending.reason);
      },
      onResponseStart: (_request, statusCode, headers) => {
        [status, contentType] = [statusCode, String(headers["content-type"])];
      },
      onResponseData: (_request, chunk) => {
        chunks.push(chunk);
      },
      onResponseEnd: () => {
        resolve({ status, contentType, body: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks) });
      },
      onResponseError: (_request, error) => {
        reject(error);
      },
    });
  });
}

function isResult(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    ("data" in value || ("errors" in value && Array.isArray(value.errors)))
  );
}

function toHeaders(request: OperationRequest): Record<string, string> {
  return internalHeaders(toInternal(request));
}

function onlyItsId({ requestId }: OperationRequest): Record<string, string> {
  return { "x-request-id": requestId };
}

function toInternal({ caller, internal, requestId }: OperationRequest): InternalRequest {
  return { caller, internal: internal === true, requestId };
}

const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
  "te",
  "trailer",
  "proxy-authorization",
  "proxy-authenticate",
  "host",
  "expect",
  INTERNAL_TOKEN_HEADER,
]);

/** Passes a request to the route's owner and its answer back, both bodies streamed. */
async function forwardRoute(pool: Pool, { method }: RouteDeclaration, request: RouteRequest): Promise<RouteResponse> {
  const response = await pool
    .request({
      method,
      path: request.url,
      headers: {
        ...endToEnd(request.headers),
        ...toHeaders(request),
      },
      body: method === "GET" ? null : request.body,
      signal: request.signal,
    })
    .catch((cause: unknown) => {
      throw platformErrors.SUBGRAPH_UNAVAILABLE({ cause });
    });
  return { status: response.statusCode, headers: endToEnd(response.headers), body: response.body };
}

/** RFC 9110 section 7.6.1: what belongs to one connection is not forwarded. */
function endToEnd(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined || HOP_BY_HOP.has(name) ? [] : [[name, Array.isArray(value) ? value.join(", ") : value]],
    ),
  );
}

/** The one socket to a subgraph. It never retries by itself: graphql-ws would lose the events in between without a word. */
function openSocket(url: string, connectionParams: () => Record<string, string>): Client {
  let unanswered: NodeJS.Timeout | undefined;
  const client: Client = createClient({
    url,
    webSocketImpl: WebSocket,
    lazyCloseTimeout: IDLE_SOCKET_MS,
    keepAlive: KEEP_ALIVE_MS,
    retryAttempts: 0,
    connectionParams,
    // Every stream hears of a lost socket by its own error.
    onNonLazyError: () => undefined,
    on: {
      ping: (received) => {
        if (!received)
          unanswered = setTimeout(() => {
            client.terminate();
          }, PONG_TIMEOUT_MS);
      },
      pong: (received) => {
        if (received) clearTimeout(unanswered);
      },
      closed: () => {
        clearTimeout(unanswered);
      },
    },
  });
  return client;
}

function subscribeRemote(
  socket: Client,
  { query, variables, operationName }: LinkOperation,
  request: OperationRequest,
  extensions: Record<string, string> | undefined,
): AsyncIterableIterator<ExecutionResult, undefined> {
  let leave = (): void => undefined;
  const events = openQueue<ExecutionResult>(() => {
    leave();
  });
  try {
    // graphql-ws keeps the socket for ever for what it could not write.
    requireStorable(variables);
  } catch (error) {
    events.end(new OperationFailed([toShownError(ensureAppError(error), request.requestId)]));
    return events;
  }
  leave = socket.subscribe<Record<string, unknown>>(
    {
      query,
      variables: { ...variables },
      operationName: operationName ?? null,
      ...(extensions && { extensions }),
    },
    {
      next: ({ data, errors: problems }) => {
        events.push(toResult(data, problems));
        if (events.size <= MAX_BUFFERED) return;
        events.end(lost(request));
        leave();
      },
      error: (error) => {
        events.end(toFailure(error, request));
      },
      complete: () => {
        events.end();
      },
    },
  );
  return events;
}

function toResult(
  data: Record<string, unknown> | null | undefined,
  problems: readonly GraphQLFormattedError[] | undefined,
): ExecutionResult {
  return { ...(data === undefined ? {} : { data }), ...(problems ? { errors: problems.map(toError) } : {}) };
}

function toError({ message, path, extensions }: GraphQLFormattedError): GraphQLError {
  return new GraphQLError(message, { path: path ?? null, extensions: extensions ?? {} });
}

/** graphql-ws gives an array for an `error` message, and a close event or an Error when the socket is gone. */
function toFailure(error: unknown, request: OperationRequest): OperationFailed {
  return Array.isArray(error) ? new OperationFailed((error as GraphQLFormattedError[]).map(toError)) : lost(request);
}

function lost({ requestId }: OperationRequest): OperationFailed {
  return new OperationFailed([toShownError(errors.SUBSCRIPTION_LOST(), requestId)]);
}
