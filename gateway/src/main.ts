// First: what is traced must not be loaded before the tracing is.
import "@sba/platform/telemetry";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { loadConfig, type Config } from "@sba/platform/config";
import { startProcess } from "@sba/platform/lifecycle";
import { setLogLevel } from "@sba/platform/log";
import { openPubSub, usePubSub } from "@sba/platform/pubsub";
import { useSecretKey } from "@sba/platform/secrets";
import { databaseUrlsOf, secretKeyOf } from "@sba/platform/services";
import { startTelemetry } from "@sba/platform/telemetry";
import { z } from "zod";
import { gatewayOptionsOf, hasDatabase, openSharedRateLimiter, readTrustedDocuments } from "./configure.ts";
import type { RemoteSubgraph, RouteDeclaration } from "./forward-remote.ts";
import { startGateway, type RunningGateway } from "./gateway.ts";
import { subgraphUrlsIn } from "./graph.ts";
import { followSupergraph } from "./supergraph-file.ts";

/** The gateway as a process of its own, before subgraphs that run elsewhere. It needs pub/sub, and of the database only what limits rates. */

const SCHEMA = new URL("../../schema/", import.meta.url);
const SUPERGRAPH = fileURLToPath(new URL("supergraph.graphql", SCHEMA));

const routesSchema = z.record(
  z.string(),
  z.array(
    z.object({
      method: z.enum(["GET", "POST", "PUT", "DELETE"]),
      path: z.string().startsWith("/"),
      authenticated: z.boolean().default(false),
    }),
  ),
);

const config = loadConfig();
let gateway: RunningGateway | undefined;

/** Alone, and with nobody to be asked who somebody is, it signs for subgraphs that do not look. */
const isAlone = config.AUTH === "off" && config.REDIS_URL === undefined && !hasDatabase(config);

async function openWakeUps(): Promise<() => Promise<void>> {
  setLogLevel(config.LOG_LEVEL);
  useSecretKey(isAlone ? (config.SECRET_KEY ?? randomBytes(32).toString("base64url")) : secretKeyOf(config));
  const stopTelemetry = startTelemetry({
    serviceName: config.OTEL_SERVICE_NAME ?? "sba-gateway",
    otlpEndpoint: config.OTEL_EXPORTER_OTLP_ENDPOINT,
  });
  if (isAlone) return stopTelemetry;
  // With Redis the database is not asked for anything.
  const databaseUrl = config.REDIS_URL === undefined ? (await databaseUrlsOf(config)).app : "";
  const pubsub = await openPubSub({ databaseUrl, redisUrl: config.REDIS_URL });
  usePubSub(pubsub);
  return async () => {
    usePubSub(undefined);
    await pubsub.close();
    await stopTelemetry();
  };
}

async function openGateway(): Promise<() => Promise<void>> {
  const path = config.SUPERGRAPH ?? SUPERGRAPH;
  const supergraphSdl = await readFile(path, "utf8");
  const routes = routesSchema.parse(JSON.parse(await readFile(new URL("routes.json", SCHEMA), "utf8")));
  const rateLimiter = await openSharedRateLimiter(config);
  const running = await startGateway({
    ...gatewayOptionsOf(config),
    rateLimiter,
    trustedDocuments: await readTrustedDocuments(config),
    supergraphSdl,
    subgraphs: locate(supergraphSdl, routes, config),
  });
  gateway = running;
  const stopFollowing = followSupergraph(path, (sdl) => running.reload(sdl, locate(sdl, routes, config)));
  return async () => {
    stopFollowing();
    await running.close();
    await rateLimiter.close();
  };
}

function locate(
  supergraphSdl: string,
  routes: Readonly<Record<string, readonly RouteDeclaration[]>>,
  { SUBGRAPH_URLS, AUTH }: Config,
): RemoteSubgraph[] {
  return [...subgraphUrlsIn(supergraphSdl)].map(([name, given]) => {
    const url = new URL(SUBGRAPH_URLS.get(name) ?? given);
    if (AUTH === "off") return { name, url: url.origin, routes: [], foreignPath: `${url.pathname}${url.search}` };
    return { name, url: url.origin, routes: routes[name] ?? [] };
  });
}

await startProcess(
  "gateway",
  [
    { name: "wake-ups", start: openWakeUps },
    { name: "gateway", start: openGateway },
  ],
  () => ({
    graphqlUrl: gateway?.graphqlUrl,
    subscriptionsUrl: gateway?.subscriptionsUrl,
    sseUrl: gateway?.sseUrl,
    consoleUrl: gateway?.consoleUrl,
  }),
);
