import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { agentSubgraph } from "@sba/agent/server";
import { billingSubgraph } from "@sba/billing/server";
import { AgentsDocument, ToolsDocument } from "@sba/client";
import { createDocuments } from "@sba/gateway/documents";
import { linkInProcess } from "@sba/gateway/forward";
import { startGateway } from "@sba/gateway/gateway";
import { loadGraph } from "@sba/gateway/graph";
import { openGraphs, type Graphs } from "@sba/gateway/graphs";
import { DEFAULT_LIMITS } from "@sba/gateway/limits";
import { startOperations, type Operations } from "@sba/gateway/operations";
import { DEVELOPMENT_RATE_LIMITS, openTolls } from "@sba/gateway/tolls";
import { openTrustedDocuments } from "@sba/gateway/trusted-documents";
import { issueAccessToken } from "@sba/identity/index";
import { identitySubgraph } from "@sba/identity/server";
import { integrationsSubgraph } from "@sba/integrations/server";
import { knowledgeSubgraph } from "@sba/knowledge/server";
import type { Caller } from "@sba/platform/caller";
import { executeInProcess } from "@sba/platform/execute";
import { internalHeaders } from "@sba/platform/internal-token";
import { openRateLimiter } from "@sba/platform/rate-limit";
import { startSubgraphServer, type Subgraph } from "@sba/platform/server";
import { workflowSubgraph } from "@sba/workflow/server";
import { parse, print, type DocumentNode, type ExecutionResult } from "graphql";
import { withDatabase } from "./database.ts";
import type { LoadJob, LoadResult } from "./http-load.ts";
import { repeat, timed } from "./load.ts";
import { fact, percentile, ratioTo, type Measurement } from "./measurement.ts";

/**
 * What the gateway adds to an operation of one subgraph: the same document on the subgraph's schema and through the
 * gateway, both in this process; and over HTTP, the subgraph's own server against the gateway's. Processor time is of
 * this thread only: the HTTP client has another.
 */

const SUPERGRAPH = join(import.meta.dirname, "../schema/supergraph.graphql");
const SUBGRAPHS = [
  identitySubgraph,
  billingSubgraph,
  integrationsSubgraph,
  knowledgeSubgraph,
  agentSubgraph,
  workflowSubgraph,
];
const REQUESTS = 400;
const ROUNDS = 3;

/** Operations of one subgraph each: one that asks the database nothing, and one that reads. */
const OPERATIONS: readonly { readonly name: string; readonly subgraph: Subgraph; readonly document: DocumentNode }[] = [
  { name: "Tools", subgraph: agentSubgraph, document: ToolsDocument },
  { name: "Agents", subgraph: agentSubgraph, document: AgentsDocument },
];

export function benchGateway(): Promise<Measurement[]> {
  return withDatabase(undefined, async ({ caller }) => {
    const supergraphSdl = readFileSync(SUPERGRAPH, "utf8");
    const graphs = openGraphs(loadGraph(supergraphSdl));
    const operations = await openOperations(graphs);
    const gateway = await startGateway({
      host: "127.0.0.1",
      port: 0,
      supergraphSdl,
      subgraphs: SUBGRAPHS,
      development: true,
    });
    try {
      const token = await issueAccessToken(caller);
      const headers = { authorization: `Bearer ${token.accessToken}` };
      const measurements: Measurement[] = [];
      for (const operation of OPERATIONS) {
        measurements.push(...(await measureInProcess({ graphs, operations }, caller, operation)));
        measurements.push(...(await measureHttp({ url: gateway.graphqlUrl, headers }, caller, operation)));
      }
      return measurements;
    } finally {
      await gateway.close();
      await operations.stop();
    }
  });
}

async function openOperations(graphs: Graphs): Promise<Operations> {
  const subgraphs = new Map(SUBGRAPHS.map((subgraph) => [subgraph.name, linkInProcess(subgraph)]));
  const limits = DEFAULT_LIMITS;
  const limiter = await openRateLimiter({});
  const tolls = openTolls({ limiter, limits: DEVELOPMENT_RATE_LIMITS, maxCost: limits.maxCost });
  const trusted = openTrustedDocuments({ manifests: [], only: false });
  const documents = createDocuments(limits);
  return startOperations({ graphs, documents, subgraphs, limits, tolls, trusted, introspection: "everyone" });
}

type Operation = (typeof OPERATIONS)[number];

interface Cost {
  readonly latencyMs: number;
  readonly cpuMs: number;
}

async function measureInProcess(
  { graphs, operations }: { readonly graphs: Graphs; readonly operations: Operations },
  caller: Caller,
  { name, subgraph, document }: Operation,
): Promise<Measurement[]> {
  const parsed = parse(print(document));
  const signal = new AbortController().signal;
  const bare = (): Promise<ExecutionResult> =>
    executeInProcess(subgraph.schema, { document: parsed }, { caller, requestId: "bench" });
  const asked = { graph: graphs.current, document: parsed, operationName: undefined, variables: {} };
  const through = (): Promise<ExecutionResult> => operations.execute(asked, { caller, requestId: "bench", signal });
  const load = (work: () => Promise<ExecutionResult>) => (): Promise<readonly number[]> =>
    repeat(REQUESTS, 1, () =>
      timed(async () => {
        expectData(await work());
      }),
    );
  const [bareCost, gatewayCost] = await compare(load(bare), load(through));
  return compareLines(`${name} in process`, bareCost, gatewayCost, "on the subgraph's schema");
}

interface Endpoint {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

async function measureHttp(
  gateway: Endpoint,
  caller: Caller,
  { name, subgraph, document }: Operation,
): Promise<Measurement[]> {
  const server = await startSubgraphServer(subgraph, { host: "127.0.0.1", port: 0 });
  const client = openLoadThread();
  try {
    const body = JSON.stringify({ query: print(document) });
    const headers = internalHeaders({ caller, internal: false, requestId: "bench" });
    const bare = { url: `${server.url}/graphql`, headers };
    const load = (endpoint: Endpoint) => () => client.run({ ...endpoint, body, requests: REQUESTS });
    const [bareCost, gatewayCost] = await compare(load(bare), load(gateway));
    return compareLines(`${name} over HTTP`, bareCost, gatewayCost, "from the subgraph's own server");
  } finally {
    await client.close();
    await server.close();
  }
}

function expectData({ data, errors }: ExecutionResult): void {
  if (errors?.length || !data) throw new Error(`the operation failed: ${errors?.map(String).join("; ") ?? "no data"}`);
}

type Load = () => Promise<readonly number[]>;

/** In turns, so that both have the same minutes. */
async function compare(bare: Load, through: Load): Promise<[Cost, Cost]> {
  for (const load of [bare, through, bare, through]) await load();
  const costs: [Cost[], Cost[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    costs[0].push(await costOf(bare));
    costs[1].push(await costOf(through));
  }
  return [leastOf(costs[0]), leastOf(costs[1])];
}

async function costOf(load: Load): Promise<Cost> {
  const began = process.threadCpuUsage();
  const samples = await load();
  const { user, system } = process.threadCpuUsage(began);
  return { latencyMs: percentile(samples, 0.5), cpuMs: (user + system) / 1000 / samples.length };
}

/** Of what is the same each time, the least is the least disturbed. */
function leastOf(costs: readonly Cost[]): Cost {
  return {
    latencyMs: Math.min(...costs.map(({ latencyMs }) => latencyMs)),
    cpuMs: Math.min(...costs.map(({ cpuMs }) => cpuMs)),
  };
}

function compareLines(name: string, bare: Cost, through: Cost, what: string): Measurement[] {
  return [
    fact(`${name} through the gateway p50`, through.latencyMs, "ms", ratioTo(through.latencyMs, bare.latencyMs, what)),
    fact(`  CPU a request`, through.cpuMs, "ms", ratioTo(through.cpuMs, bare.cpuMs, what)),
  ];
}

interface LoadThread {
  run(job: LoadJob): Promise<readonly number[]>;
  close(): Promise<unknown>;
}

function openLoadThread(): LoadThread {
  const worker = new Worker(new URL("http-load.ts", import.meta.url));
  return {
    run: (job) =>
      new Promise((resolve, reject) => {
        worker.once("error", reject);
        worker.once("message", (result: LoadResult) => {
          worker.off("error", reject);
          resolve(result.latenciesMs);
        });
        worker.postMessage(job);
      }),
    close: () => worker.terminate(),
  };
}
