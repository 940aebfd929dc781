import { logger } from "@sba/platform/log";
import {
  addressOf,
  CLOSE_RESTARTING,
  GRAPHQL_PATH,
  type RouteRequest,
  type RunningServer,
  type Subgraph,
} from "@sba/platform/server";
import type { JSONWebKeySet } from "jose";
import { Readable } from "node:stream";
import { startOperations } from "./apollo.ts";
import { createAuthenticator, type Issuer } from "./authenticate.ts";
import { createDocuments } from "./documents.ts";
import { createFanOut, type FanOut, type FanOutOptions } from "./fan-out.ts";
import { linkInProcess, type SubgraphLink, type SubgraphLinks } from "./forward.ts";
import { linkRemote, type RemoteSubgraph } from "./forward-remote.ts";
import { loadGraph, type Graph } from "./graph.ts";
import { openGrants } from "./grants.ts";
import { createHttp } from "./http.ts";
import { DEFAULT_LIMITS, type Limits } from "./limits.ts";
import { serveSockets, type SocketOptions } from "./sockets.ts";

export type { Issuer } from "./authenticate.ts";
export type { RemoteSubgraph } from "./forward-remote.ts";

export interface GatewayOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** `schema/supergraph.graphql`. */
  readonly supergraphSdl: string;
  /** Each in this process, or by its URL; every subgraph of the supergraph must be there. */
  readonly subgraphs: readonly (Subgraph | RemoteSubgraph)[];
  /** Issuers beside the local one. */
  readonly issuers?: readonly Issuer[];
  /** Introspection, the explorer, and suggestions in errors. */
  readonly development: boolean;
  readonly allowedOrigins?: readonly string[];
  readonly limits?: Partial<Limits>;
  readonly fanOut?: FanOutOptions;
  readonly sockets?: Pick<SocketOptions, "keepAliveMs" | "initTimeoutMs" | "recheckMs">;
  /** Beside the subgraphs, what `/readyz` answers by. */
  readonly isReady?: () => Promise<boolean>;
}

export interface RunningGateway extends RunningServer {
  readonly graphqlUrl: string;
  readonly subscriptionsUrl: string;
  /** Sockets open, and upstreams that they share. */
  readonly load: () => { readonly sockets: number; readonly upstreams: number };
}

/** As identity issues its tokens; the gateway may not import a domain, so the two say it once each and a test compares them. */
const LOCAL_ISSUER = { issuer: "sba-identity", audience: "sba" };
const IDENTITY = "identity";
const KEYS_PATH = "/.well-known/jwks.json";

/** Starts the gateway. Needs `useSecretKey` and `usePubSub` before. @throws when the supergraph names a subgraph that is not given. */
export async function startGateway(options: GatewayOptions): Promise<RunningGateway> {
  const graph = loadGraph(options.supergraphSdl);
  const links = options.subgraphs.map((subgraph) =>
    "schema" in subgraph ? linkInProcess(subgraph) : linkRemote(subgraph),
  );
  const subgraphs = connect(graph, links);
  const identity = identityOf(links);
  const grants = await openGrants(identity);
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const parts = {
    graph,
    subgraphs,
    limits,
    authenticator: createAuthenticator(
      [{ ...LOCAL_ISSUER, keys: () => fetchKeys(identity) }, ...(options.issuers ?? [])],
      grants,
    ),
    operations: await startOperations({ graph, subgraphs, limits, introspection: options.development }),
    documents: createDocuments(limits),
    fanOut: createFanOut(options.fanOut),
  };
  return serve(options, links, parts, grants.close);
}

async function serve(
  options: GatewayOptions,
  links: readonly SubgraphLink[],
  parts: SocketOptions & { readonly fanOut: FanOut },
  leave: () => Promise<void>,
): Promise<RunningGateway> {
  const app = await createHttp({
    ...parts,
    links,
    development: options.development,
    allowedOrigins: options.allowedOrigins ?? [],
    isReady: () =>
      allReady([...links.map((link) => () => link.isReady()), options.isReady ?? (() => Promise.resolve(true))]),
  });
  const sockets = serveSockets(app.server, { ...parts, ...options.sockets });
  await app.listen({ host: options.host, port: options.port });
  const url = addressOf(app);
  logger.info({ "gateway.url": url, "gateway.graph": parts.graph.id }, "gateway listens");
  return {
    url,
    graphqlUrl: `${url}${GRAPHQL_PATH}`,
    subscriptionsUrl: `${url.replace(/^http/, "ws")}${GRAPHQL_PATH}`,
    load: () => ({ sockets: sockets.size, upstreams: parts.fanOut.upstreams }),
    close: async () => {
      await sockets.close(CLOSE_RESTARTING, "Restarting");
      await parts.fanOut.settle();
      await app.close();
      await parts.operations.stop();
      await leave();
      await Promise.all(links.map((link) => link.close()));
    },
  };
}

async function allReady(checks: readonly (() => Promise<boolean>)[]): Promise<boolean> {
  return (await Promise.all(checks.map((check) => check()))).every(Boolean);
}

function connect(graph: Graph, links: readonly SubgraphLink[]): SubgraphLinks {
  const byName = new Map(links.map((link) => [link.name, link]));
  const missing = [...graph.subgraphs.keys()].filter((name) => !byName.has(name));
  if (missing.length > 0) throw new Error(`the supergraph has subgraphs that were not given: ${missing.join(", ")}`);
  return byName;
}

function identityOf(links: readonly SubgraphLink[]): SubgraphLink {
  const identity = links.find(({ name }) => name === IDENTITY);
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
