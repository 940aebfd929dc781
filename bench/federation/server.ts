// First, as in every process that serves: what is traced must not be loaded before the tracing is.
import { startTelemetry } from "@sba/platform/telemetry";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { ApolloGateway, RemoteGraphQLDataSource } from "@apollo/gateway";
import { ApolloServer, type ApolloServerOptions, type BaseContext } from "@apollo/server";
import { ApolloServerPluginInlineTraceDisabled } from "@apollo/server/plugin/disabled";
import { fastifyApolloHandler } from "@as-integrations/fastify";
import type { RemoteSubgraph } from "@sba/gateway/forward-remote";
import { startGateway } from "@sba/gateway/gateway";
import { DEVELOPMENT_RATE_LIMITS } from "@sba/gateway/tolls";
import { createWorld } from "@sba/gateway/world.testing";
import { internalHeaders } from "@sba/platform/internal-token";
import { setLogLevel } from "@sba/platform/log";
import { openPubSub, usePubSub } from "@sba/platform/pubsub";
import { openRateLimiter } from "@sba/platform/rate-limit";
import { useSecretKey } from "@sba/platform/secrets";
import { addressOf, GRAPHQL_PATH, startSubgraphServer, type Subgraph } from "@sba/platform/server";
import fastify from "fastify";
import { Pool } from "undici";
import { serveParent } from "../durable/child.ts";
import { composeWith, schemaOf, type HalfName, type Urls } from "./graph.ts";

/** One server of the comparison, in a process of its own. */

export type ServerKind =
  /** By Apollo Server alone. */
  | HalfName
  | "both"
  /** As this project's subgraphs are served: to its gateway. */
  | `our ${HalfName}`
  /** In front of `library`: hands bodies on, reads none. */
  | "proxy"
  | "apollo gateway"
  | "gateway in process"
  | "gateway over HTTP";

export interface ServerOptions {
  readonly kind: ServerKind;
  /** Of gateways before other processes. */
  readonly urls?: Urls;
  /** Those are Apollo Servers alone. */
  readonly areForeign?: boolean;
  /** Of our gateways: where they count and hear of revocations. */
  readonly databaseUrl?: string;
}

/** Answered to `where`. */
export interface Where {
  /** With its path. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

const WHERE_SUBGRAPHS_ARE = ["library", "reviews"] as const satisfies readonly HalfName[];
const HOST = "127.0.0.1";
const JSON_TYPE = "application/json";
const NOBODY = { caller: undefined, internal: false, requestId: "benchmark" };

async function start({ kind, urls, areForeign = false, databaseUrl = "" }: ServerOptions): Promise<Where> {
  if (kind === "library" || kind === "reviews" || kind === "both") return serveApollo({ schema: schemaOf(kind) });
  if (kind === "proxy") return serveProxy(urls?.library ?? "");
  useSecretKey("the-secret-key-of-a-benchmark-only");
  if (kind === "our library" || kind === "our reviews")
    return serveOurs(kind === "our library" ? "library" : "reviews");
  const world = await startOurs(databaseUrl);
  if (kind === "apollo gateway") return serveApollo({ gateway: apolloGateway(composeWith(world.identity, urls)) });
  const path = areForeign ? { foreignPath: GRAPHQL_PATH } : {};
  const subgraphs = WHERE_SUBGRAPHS_ARE.map((name): Subgraph | RemoteSubgraph =>
    urls ? { name, url: new URL(urls[name]).origin, routes: [], ...path } : inProcess(name),
  );
  const gateway = await startGateway({
    host: HOST,
    port: 0,
    supergraphSdl: composeWith(world.identity, urls),
    subgraphs: [world.identity, ...subgraphs],
    development: false,
    rateLimits: DEVELOPMENT_RATE_LIMITS,
    rateLimiter: await openRateLimiter({ databaseUrl }),
  });
  return { url: gateway.graphqlUrl, headers: { authorization: `Bearer ${await world.token()}` } };
}

/** Who may do what, and what the gateway needs of its process. */
async function startOurs(databaseUrl: string) {
  startTelemetry({ serviceName: "bench" });
  usePubSub(await openPubSub({ databaseUrl }));
  const world = await createWorld();
  const identity = world.subgraphs.find(({ name }) => name === "identity");
  if (!identity) throw new Error("the world has no identity");
  const member = world.join(["run:read"]);
  return { identity, token: () => member.token({ exp: Math.floor(Date.now() / 1000) + 3_600 }) };
}

function inProcess(name: HalfName): Subgraph {
  return { name, schema: schemaOf(name), routes: [] };
}

async function serveOurs(name: HalfName): Promise<Where> {
  const { url } = await startSubgraphServer(inProcess(name), { host: HOST, port: 0 });
  return { url: `${url}${GRAPHQL_PATH}`, headers: {} };
}

/** With the fetcher that it brings, and a token, for subgraphs that ask for one. It refuses directives that are said to be for security, whoever enforces them. */
function apolloGateway(supergraphSdl: string): ApolloGateway {
  return new ApolloGateway({
    supergraphSdl: supergraphSdl.replaceAll(", for: SECURITY", ""),
    buildService: ({ url = "" }) =>
      new RemoteGraphQLDataSource({
        url,
        willSendRequest: ({ request }) => {
          for (const [name, value] of Object.entries(internalHeaders(NOBODY))) request.http?.headers.set(name, value);
        },
      }),
  });
}

/** Longer than the turn of another: no client is to find its connection closed. */
const KEEP_CONNECTION_MS = 75_000;

/** On the HTTP server that ours stands on as well, so that what differs is what is above it. */
async function serveApollo(options: ApolloServerOptions<BaseContext>): Promise<Where> {
  const apollo = new ApolloServer({ ...options, plugins: [ApolloServerPluginInlineTraceDisabled()] });
  await apollo.start();
  const app = fastify({ keepAliveTimeout: KEEP_CONNECTION_MS });
  app.post(GRAPHQL_PATH, fastifyApolloHandler(apollo));
  await app.listen({ host: HOST, port: 0 });
  return { url: `${addressOf(app)}${GRAPHQL_PATH}`, headers: {} };
}

/** The least that stands between a client and a subgraph: Node's HTTP server and the client that our gateway uses. */
async function serveProxy(to: string): Promise<Where> {
  const { origin, pathname: path } = new URL(to);
  const pool = new Pool(origin);
  const server = createServer((request, response) => {
    text(request)
      .then((body) => pool.request({ path, method: "POST", headers: { "content-type": JSON_TYPE }, body }))
      .then(async ({ statusCode, body }) => {
        const answer = await body.text();
        response.writeHead(statusCode, { "content-type": JSON_TYPE, "content-length": Buffer.byteLength(answer) });
        response.end(answer);
      })
      .catch((error: unknown) => response.destroy(error as Error));
  });
  server.keepAliveTimeout = KEEP_CONNECTION_MS;
  server.listen({ host: HOST, port: 0 });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { url: `http://${HOST}:${port}${path}`, headers: {} };
}

setLogLevel("error");
const where = await start(JSON.parse(process.env["BENCH_SERVER"] ?? "") as ServerOptions);
serveParent({ where: () => where });
