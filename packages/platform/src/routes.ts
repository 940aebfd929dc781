import type { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Caller } from "./caller.ts";

/** HTTP that is not GraphQL: what a domain serves under a path of its own (keys, artifacts, uploads, webhooks). */

export interface RouteRequest {
  /** Path and query as they came. */
  readonly url: string;
  /** The values of `:name` in the path, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** The raw body; the route limits what it reads. */
  readonly body: Readable;
  /** Known for routes that are `authenticated`. */
  readonly caller: Caller | undefined;
  readonly requestId: string;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

export interface RouteResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | Readable;
}

export interface Route {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  /** As fastify writes it: `/artifacts/:signed`. */
  readonly path: string;
  /** True when the gateway must know the caller first. Otherwise the route decides by what the request carries, such as a signed link. */
  readonly authenticated?: boolean;
  readonly handle: (request: RouteRequest) => Promise<RouteResponse>;
}

/** For every server that mounts routes: a signed link is longer than the 100 characters that fastify takes in a path's parameter. */
export const ROUTER_OPTIONS = { maxParamLength: 1_024 };

/** Who is asking, told by the server that carries the route. */
export type Identify = (
  request: FastifyRequest,
) => Promise<{ readonly caller: Caller | undefined; readonly requestId: string }>;

/** Mounts routes on a server, bodies unread. An error that a route throws goes to the server's own error handler. */
export async function mountRoutes(
  app: FastifyInstance,
  routes: readonly Route[],
  identify: (route: Route) => Identify,
): Promise<void> {
  await app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, _payload, parsed) => {
      parsed(null);
    });
    for (const route of routes) {
      const identifyCaller = identify(route);
      scope.route({
        method: route.method,
        url: route.path,
        handler: async (request, reply) => {
          const response = await route.handle(toRouteRequest(request, reply, await identifyCaller(request)));
          return reply
            .code(response.status)
            .headers(response.headers ?? {})
            .send(response.body ?? "");
        },
      });
    }
    done();
  });
}

function toRouteRequest(
  request: FastifyRequest,
  reply: FastifyReply,
  who: Awaited<ReturnType<Identify>>,
): RouteRequest {
  return {
    ...who,
    url: request.url,
    params: request.params as Record<string, string>,
    query: new URLSearchParams(request.url.split("?")[1] ?? ""),
    headers: flattenHeaders(request.headers),
    body: request.raw,
    signal: abortedWhenGone(reply),
  };
}

function flattenHeaders(headers: FastifyRequest["headers"]): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(", ") : value]),
  );
}

/** Aborted when the client leaves before it has its answer, and at once when it has left already: who is asking takes a while to tell. */
export function abortedWhenGone({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  const abort = (): void => {
    if (!raw.writableEnded) gone.abort();
  };
  if (raw.closed) abort();
  else raw.once("close", abort);
  return gone.signal;
}
