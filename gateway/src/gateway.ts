import { openClosing } from "@sba/platform/closing";
import { logger } from "@sba/platform/log";
import { openRateLimiter, type RateLimiter } from "@sba/platform/rate-limit";
import { addressOf, CLOSE_RESTARTING, GRAPHQL_PATH, type RunningServer } from "@sba/platform/server";
import { openAccess, openToAnybody } from "./access.ts";
import type { Authenticator, Issuer } from "./authenticate.ts";
import { openConsole } from "./console.ts";
import { createDocuments } from "./documents.ts";
import { openEventStreams } from "./event-stream.ts";
import { createFanOut, type FanOutOptions } from "./fan-out.ts";
import { loadGraph, type Graph, type GraphOptions } from "./graph.ts";
import { openGraphs, type Graphs } from "./graphs.ts";
import { mountGraphqlStream, STREAM_PATH } from "./graphql-stream.ts";
import type { GrantsOptions } from "./grants.ts";
import { createHttp } from "./http.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { openLinks, type GivenSubgraph, type LinkOptions, type Links } from "./links.ts";
import type { LiveServices } from "./live.ts";
import { countRequests } from "./metrics.ts";
import type { Origins } from "./origins.ts";
import { withPolicies, type PolicyEvaluator } from "./policies.ts";
import { openCounter } from "./quotas.ts";
import { mountRunEvents } from "./run-events.ts";
import type { Introspection } from "./operation.ts";
import { startOperations } from "./operations.ts";
import { openSessions, type Sessions, type SessionsOptions } from "./sessions.ts";
import { serveSockets, type SocketOptions } from "./sockets.ts";
import { DEFAULT_RATE_LIMITS, DEVELOPMENT_RATE_LIMITS, openTolls, type RateLimits, type Tolls } from "./tolls.ts";
import { openTrustedDocuments, type TrustedDocumentsOptions } from "./trusted-documents.ts";

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
  /** Says which @policy of the supergraph hold for whom; none when absent. */
  readonly policies?: PolicyEvaluator;
  /** Nobody is asked who he is, and nothing is demanded: for a gateway alone before somebody else's subgraphs. */
  readonly anybody?: boolean;
  /** Who may read the schema; in development everyone, else nobody, unless it is said. */
  readonly introspection?: Introspection | undefined;
  /** The explorer, and limits that are in nobody's way. */
  readonly development: boolean;
  readonly allowedOrigins?: readonly string[];
  readonly limits?: Partial<Limits>;
  readonly rateLimits?: Partial<RateLimits>;
  /** Shared with other gateways; of this process alone when absent. Closed by who opened it. */
  readonly rateLimiter?: RateLimiter;
  /** What clients were released with; any other document is answered, too, unless `only` says otherwise. */
  readonly trustedDocuments?: TrustedDocumentsOptions;
  /** Addresses, or networks, of proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies?: readonly string[];
  readonly fanOut?: FanOutOptions;
  readonly sockets?: Pick<SocketOptions, "keepAliveMs" | "initTimeoutMs">;
  /** For how long rights hold when a revocation is not heard: of requests, and after that of what is open. */
  readonly unheard?: GrantsOptions & Pick<SessionsOptions, "recheckMs">;
  /** Where the console was built; nothing is served of it while it was not. */
  readonly consoleDirectory?: string | undefined;
  /** Beside the subgraphs, what `/readyz` answers by. */
  readonly isReady?: () => Promise<boolean>;
}

export interface RunningGateway extends RunningServer {
  readonly graphqlUrl: string;
  readonly subscriptionsUrl: string;
  readonly sseUrl: string;
  /** Undefined where there is no console. */
  readonly consoleUrl: string | undefined;
  readonly metricsUrl: string;
  /** Sockets and event streams open, and upstreams that they share. */
  readonly load: () => { readonly sockets: number; readonly eventStreams: number; readonly upstreams: number };
  /**
   * Serves another supergraph from now on: streams go on from their cursors, what is under way ends as it began. @throws when it is
   * not valid or names a subgraph that is not given; then everything stays as it was.
   */
  readonly reload: (supergraphSdl: string, subgraphs?: GatewayOptions["subgraphs"]) => Promise<void>;
}

/** Starts the gateway. Needs `useSecretKey` and `usePubSub` before. @throws when the supergraph names a subgraph that is not given. */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const introspection = introspectionOf(options);
  const graphOptions: GraphOptions = {
    assumedListSize: limits.assumedListSize,
    enforced: !options.anybody,
    hidesNames: introspection !== "everyone",
  };
  const graph = loadGraph(options.supergraphSdl, graphOptions);
  requireSubgraphs(graph, options.subgraphs);
  const graphs = openGraphs(graph);
  const links = openLinks(options.subgraphs, options);
  const subgraphs = links.byName;
  const access = options.anybody
    ? openToAnybody(options)
    : await openAccess(subgraphs, options.issuers ?? [], { ...options, ...options.unheard });
  const { origins } = access;
  const authenticator = withPolicies(
    access.authenticator,
    options.policies ?? (() => []),
    () => graphs.current.requirements.policies,
  );
  const tolls = await tollsOf(options, limits);
  const trusted = openTrustedDocuments({ manifests: [], only: false, ...options.trustedDocuments });
  const documents = createDocuments(limits);
  const quotas = { connections: openCounter(limits.connections), subscriptions: openCounter(limits.subscriptions) };
  const parts: Parts = {
    graphs,
    graphOptions,
    subgraphs,
    limits,
    quotas,
    tolls,
    trusted,
    authenticator,
    origins,
    sessions: openSessions({ authenticator, origins, quotas, tolls, recheckMs: options.unheard?.recheckMs }),
    operations: await startOperations({
      graphs,
      documents,
      subgraphs,
      limits,
      tolls,
      trusted,
      introspection,
    }),
    documents,
    fanOut: createFanOut(options.fanOut),
  };
  graphs.onReplaced(() => {
    parts.sessions.replan({ judged: graphs.current.requirements.policies.size === 0 });
  });
  return serve(options, links, parts, access.close);
}

interface Parts extends LiveServices {
  readonly graphOptions: GraphOptions;
  readonly limits: Limits;
  readonly authenticator: Authenticator;
  readonly origins: Origins;
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
  const { consoleDirectory, trustedProxies = [] } = options;
  const console = consoleDirectory === undefined ? undefined : await openConsole(consoleDirectory, options);
  const app = await createHttp({
    ...parts,
    links: all,
    console,
    development: options.development,
    trustedProxies,
    apiVersion: () => graphs.current.id,
    isReady: () =>
      allReady([...all.map((link) => () => link.isReady()), options.isReady ?? (() => Promise.resolve(true))]),
  });
  const streams = openEventStreams({ ...parts, heartbeatMs: options.sockets?.keepAliveMs });
  mountGraphqlStream(app, { ...parts, streams, maxMessageBytes: parts.limits.maxMessageBytes });
  mountRunEvents(app, { ...parts, streams });
  const sockets = serveSockets(app.server, { ...parts, ...options.sockets, trustedProxies });
  const load = () => ({ sockets: sockets.size, eventStreams: streams.size, upstreams: fanOut.upstreams });
  countRequests(app, load);
  const closeHttp = openClosing(app);
  await app.listen({ host: options.host, port: options.port });
  const url = addressOf(app);
  logger.info({ "gateway.url": url, "gateway.graph": graphs.current.id }, "gateway listens");
  return {
    url,
    graphqlUrl: `${url}${GRAPHQL_PATH}`,
    subscriptionsUrl: `${url.replace(/^http/, "ws")}${GRAPHQL_PATH}`,
    sseUrl: `${url}${STREAM_PATH}`,
    consoleUrl: console && `${url}/`,
    metricsUrl: `${url}/metrics`,
    load,
    reload: async (sdl, given = options.subgraphs) => reload(graphs, links, loadGraph(sdl, parts.graphOptions), given),
    close: async () => {
      streams.close();
      await sockets.close(CLOSE_RESTARTING, "Restarting: reconnect elsewhere");
      sessions.close();
      await fanOut.settle();
      await closeHttp();
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

function introspectionOf({ introspection, development }: GatewayOptions): Introspection {
  return introspection ?? (development ? "everyone" : "nobody");
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
