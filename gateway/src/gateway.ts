import { logger } from "@sba/platform/log";
import { openRateLimiter, type RateLimiter } from "@sba/platform/rate-limit";
import { addressOf, CLOSE_RESTARTING, GRAPHQL_PATH, type RouteRequest, type RunningServer } from "@sba/platform/server";
import type { JSONWebKeySet } from "jose";
import { Readable } from "node:stream";
import { startOperations } from "./apollo.ts";
import { createAuthenticator, type Authenticator, type Issuer } from "./authenticate.ts";
import { createDocuments } from "./documents.ts";
import { openEventStreams } from "./event-stream.ts";
import { createFanOut, type FanOutOptions } from "./fan-out.ts";
import type { SubgraphLink, SubgraphLinks } from "./forward.ts";
import { loadGraph, type Graph } from "./graph.ts";
import { openGraphs, type Graphs } from "./graphs.ts";
import { openGrants } from "./grants.ts";
import { mountGraphqlStream, STREAM_PATH } from "./graphql-stream.ts";
import { createHttp } from "./http.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { openLinks, type GivenSubgraph, type LinkOptions, type Links } from "./links.ts";
import type { LiveServices } from "./live.ts";
import { openCounter } from "./quotas.ts";
import { mountRunEvents } from "./run-events.ts";
import { openSessions, type Sessions, type SessionsOptions } from "./sessions.ts";
import { serveSockets, type SocketOptions } from "./sockets.ts";
import { DEFAULT_RATE_LIMITS, DEVELOPMENT_RATE_LIMITS, openTolls, type RateLimits, type Tolls } from "./tolls.ts";

export type { Issuer } from "./authenticate.ts";
export type { RemoteSubgraph } from "./forward-remote.ts";

export interface GatewayOptions extends LinkOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** `schema/supergraph.graphql`. */
  readonly supergraphSdl: string;
  /** Each in this process, or by its URL; every subgraph of the supergraph must be there. */
  readonly subgraphs: readonly GivenSubgraph[];
  /** Issuers beside the local one. */
  readonly issuers?: readonly Issuer[];
  /** Introspection, the explorer, and suggestions in errors. */
  readonly development: boolean;
  readonly allowedOrigins?: readonly string[];
  readonly limits?: Partial<Limits>;
  readonly rateLimits?: Partial<RateLimits>;
  /** Shared with other gateways; of this process alone when absent. Closed by who opened it. */
  readonly rateLimiter?: RateLimiter;
  /** Addresses, or networks, of proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies?: readonly string[];
  readonly fanOut?: FanOutOptions;
  readonly sockets?: Pick<SocketOptions, "keepAliveMs" | "initTimeoutMs"> & Pick<SessionsOptions, "recheckMs">;
  /** Beside the subgraphs, what `/readyz` answers by. */
  readonly isReady?: () => Promise<boolean>;
}

export interface RunningGateway extends RunningServer {
  readonly graphqlUrl: string;
  readonly subscriptionsUrl: string;
  readonly sseUrl: string;
  /** Sockets and event streams open, and upstreams that they share. */
  readonly load: () => { readonly sockets: number; readonly eventStreams: number; readonly upstreams: number };
  /**
   * Serves another supergraph from now on: streams go on from their cursors, what is under way ends as it began. @throws when it is
   * not valid or names a subgraph that is not given; then everything stays as it was.
   */
  readonly reload: (supergraphSdl: string, subgraphs?: GatewayOptions["subgraphs"]) => Promise<void>;
}

/** As identity issues its tokens; the gateway may not import a domain, so the two say it once each and a test compares them. */
const LOCAL_ISSUER = { issuer: "sba-identity", audience: "sba" };
const IDENTITY = "identity";
const KEYS_PATH = "/.well-known/jwks.json";

/** Starts the gateway. Needs `useSecretKey` and `usePubSub` before. @throws when the supergraph names a subgraph that is not given. */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const graph = loadGraph(options.supergraphSdl, limits);
  requireSubgraphs(graph, options.subgraphs);
  const graphs = openGraphs(graph);
  const links = openLinks(options.subgraphs, options);
  const subgraphs = links.byName;
  const identity = identityOf(subgraphs);
  const grants = await openGrants(identity);
  const tolls = await tollsOf(options, limits);
  const quotas = { connections: openCounter(limits.connections), subscriptions: openCounter(limits.subscriptions) };
  const authenticator = createAuthenticator(
    [{ ...LOCAL_ISSUER, keys: () => fetchKeys(identity) }, ...(options.issuers ?? [])],
    grants,
  );
  const parts: Parts = {
    graphs,
    subgraphs,
    limits,
    quotas,
    tolls,
    authenticator,
    sessions: openSessions({ authenticator, quotas, tolls, recheckMs: options.sockets?.recheckMs }),
    operations: await startOperations({ graphs, subgraphs, limits, tolls, introspection: options.development }),
    documents: createDocuments(limits),
    fanOut: createFanOut(options.fanOut),
  };
  graphs.onReplaced(parts.sessions.replan);
  return serve(options, links, parts, grants.close);
}

interface Parts extends LiveServices {
  readonly limits: Limits;
  readonly authenticator: Authenticator;
  readonly sessions: Sessions;
}

async function serve(
  options: GatewayOptions,
  links: Links,
  parts: Parts,
  leave: () => Promise<void>,
): Promise<RunningGateway> {
  const { graphs, fanOut, sessions } = parts;
  const all = [...links.byName.values()];
  const app = await createHttp({
    ...parts,
    links: all,
    development: options.development,
    trustedProxies: options.trustedProxies ?? [],
    allowedOrigins: options.allowedOrigins ?? [],
    isReady: () =>
      allReady([...all.map((link) => () => link.isReady()), options.isReady ?? (() => Promise.resolve(true))]),
  });
  const streams = openEventStreams({ ...parts, heartbeatMs: options.sockets?.keepAliveMs });
  mountGraphqlStream(app, { ...parts, streams, maxMessageBytes: parts.limits.maxMessageBytes });
  mountRunEvents(app, { ...parts, streams });
  const sockets = serveSockets(app.server, { ...parts, ...options.sockets });
  await app.listen({ host: options.host, port: options.port });
  const url = addressOf(app);
  logger.info({ "gateway.url": url, "gateway.graph": graphs.current.id }, "gateway listens");
  return {
    url,
    graphqlUrl: `${url}${GRAPHQL_PATH}`,
    subscriptionsUrl: `${url.replace(/^http/, "ws")}${GRAPHQL_PATH}`,
    sseUrl: `${url}${STREAM_PATH}`,
    load: () => ({ sockets: sockets.size, eventStreams: streams.size, upstreams: fanOut.upstreams }),
    reload: (sdl, given = options.subgraphs) => reload(graphs, links, loadGraph(sdl, parts.limits), given),
    close: async () => {
      streams.close();
      await sockets.close(CLOSE_RESTARTING, "Restarting: reconnect elsewhere");
      sessions.close();
      await fanOut.settle();
      await app.close();
      await parts.operations.stop();
      await leave();
      await links.close();
    },
  };
}

async function reload(graphs: Graphs, links: Links, graph: Graph, given: readonly GivenSubgraph[]): Promise<void> {
  requireSubgraphs(graph, given);
  const closeReplaced = links.adopt(given);
  graphs.replace(graph);
  logger.info({ "gateway.graph": graph.id }, "supergraph replaced");
  await closeReplaced();
}

async function tollsOf(options: GatewayOptions, { maxCost }: Limits): Promise<Tolls> {
  const defaults = options.development ? DEVELOPMENT_RATE_LIMITS : DEFAULT_RATE_LIMITS;
  const limiter = options.rateLimiter ?? (await openRateLimiter({}));
  return openTolls({ limiter, limits: { ...defaults, ...options.rateLimits }, maxCost });
}

async function allReady(checks: readonly (() => Promise<boolean>)[]): Promise<boolean> {
  return (await Promise.all(checks.map((check) => check()))).every(Boolean);
}

function requireSubgraphs(graph: Graph, given: readonly GivenSubgraph[]): void {
  const names = new Set(given.map(({ name }) => name));
  const missing = [...graph.subgraphs.keys()].filter((name) => !names.has(name));
  if (missing.length > 0) throw new Error(`the supergraph has subgraphs that were not given: ${missing.join(", ")}`);
}

function identityOf(links: SubgraphLinks): SubgraphLink {
  const identity = links.get(IDENTITY);
  if (!identity) throw new Error(`the gateway needs the subgraph ${IDENTITY}: it knows who may do what`);
  return identity;
}

/** The local issuer's keys, from the route that also gives them to the world. */
async function fetchKeys(identity: SubgraphLink): Promise<JSONWebKeySet> {
  const route = identity.routes.find(({ path }) => path === KEYS_PATH);
  if (!route) throw new Error(`${identity.name} has no route ${KEYS_PATH}`);
  const request: RouteRequest = {
    url: KEYS_PATH,
    params: {},
    query: new URLSearchParams(),
    headers: {},
    body: Readable.from([]),
    caller: undefined,
    requestId: "keys",
    signal: AbortSignal.timeout(KEYS_TIMEOUT_MS),
  };
  const { status, body } = await route.handle(request);
  if (status !== 200) throw new Error(`${KEYS_PATH} answered ${status}`);
  return JSON.parse(
    body instanceof Readable ? Buffer.concat(await body.toArray()).toString() : Buffer.from(body ?? "").toString(),
  ) as JSONWebKeySet;
}

const KEYS_TIMEOUT_MS = 3_000;
