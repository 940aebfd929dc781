// First: what is traced must not be loaded before the tracing is.
import "@sba/platform/telemetry";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { configureAgent } from "@sba/agent/index";
import { agentSubgraph } from "@sba/agent/server";
import { billingSubgraph } from "@sba/billing/server";
import { gatewayOptionsOf, openSharedRateLimiter, readTrustedDocuments } from "@sba/gateway/configure";
import { startGateway, type RunningGateway } from "@sba/gateway/gateway";
import { followSupergraph } from "@sba/gateway/supergraph-file";
import { identitySubgraph } from "@sba/identity/server";
import { integrationsSubgraph } from "@sba/integrations/server";
import { configureKnowledge } from "@sba/knowledge/index";
import { knowledgeSubgraph } from "@sba/knowledge/server";
import { loadConfig } from "@sba/platform/config";
import { isDatabaseReady } from "@sba/platform/db";
import { startProcess } from "@sba/platform/lifecycle";
import { usePublicUrl } from "@sba/platform/public-url";
import { openServices } from "@sba/platform/services";
import { workflowSubgraph } from "@sba/workflow/server";
import type { ServerAddresses } from "./messages.ts";

/** The server process of the all-in-one deployment: the gateway, with the six subgraphs in the same process. */

const SUPERGRAPH = join(import.meta.dirname, "../../../schema/supergraph.graphql");
const SUBGRAPHS = [
  identitySubgraph,
  billingSubgraph,
  integrationsSubgraph,
  knowledgeSubgraph,
  agentSubgraph,
  workflowSubgraph,
];

const config = loadConfig();
let gateway: RunningGateway | undefined;

async function openGateway(): Promise<() => Promise<void>> {
  const path = config.SUPERGRAPH ?? SUPERGRAPH;
  const rateLimiter = await openSharedRateLimiter(config);
  const running = await startGateway({
    ...gatewayOptionsOf(config),
    rateLimiter,
    trustedDocuments: await readTrustedDocuments(config),
    supergraphSdl: readFileSync(path, "utf8"),
    subgraphs: SUBGRAPHS,
    isReady: isDatabaseReady,
  });
  gateway = running;
  // Links lead back to where this process listens, unless it is known by another address.
  usePublicUrl(config.PUBLIC_URL ?? running.url);
  const stopFollowing = followSupergraph(path, running.reload);
  return async () => {
    stopFollowing();
    await running.close();
    await rateLimiter.close();
  };
}

function addresses(): ServerAddresses {
  if (!gateway) throw new Error("the gateway is not open");
  const { graphqlUrl, subscriptionsUrl, sseUrl, consoleUrl = null, metricsUrl } = gateway;
  return { graphqlUrl, subscriptionsUrl, sseUrl, consoleUrl, metricsUrl };
}

async function openServerServices(): Promise<() => Promise<void>> {
  const services = await openServices({ name: "sba-server", config });
  return () => services.close();
}

async function configureDomains(): Promise<undefined> {
  await configureKnowledge(config);
  await configureAgent(config);
}

await startProcess(
  "server",
  [
    { name: "services", start: openServerServices },
    { name: "domains", start: configureDomains },
    { name: "gateway", start: openGateway },
  ],
  () => ({ ...addresses() }),
);
