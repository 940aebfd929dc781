import { randomUUID } from "node:crypto";
import { copyFile, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AddDocumentsDocument,
  AgentsDocument,
  createClient,
  CreateCollectionDocument,
  IngestionEventsDocument,
  SignInDocument,
  StartRunDocument,
  type Client,
} from "@sba/client";
import { createApiKey, provisionTenant } from "@sba/identity/index";
import { useSecretKey } from "@sba/platform/secrets";
import { useDatabase, useRedis } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { startSplit, type SplitSystem } from "../split.ts";
import { collectEvents, eventually, type RunEvent } from "../story.ts";
import { askTheHandbook } from "./main-job.ts";

const database = useDatabase();
const redis = useRedis();
const PASSWORD = "a long enough password";
const SUPERGRAPH = new URL("../../schema/supergraph.graphql", import.meta.url);
let system: SplitSystem;
let folder: string;
const clients: Client[] = [];

beforeAll(async () => {
  const { secretKey } = inject("postgres");
  useSecretKey(secretKey);
  const { app, system: systemUrl } = database().urls;
  folder = await mkdtemp(join(tmpdir(), "sba-split-"));
  await copyFile(SUPERGRAPH, join(folder, "supergraph.graphql"));
  system = await startSplit({
    DATABASE_URL: app,
    DATABASE_SYSTEM_URL: systemUrl,
    REDIS_URL: redis().url,
    SECRET_KEY: secretKey,
    SUPERGRAPH: join(folder, "supergraph.graphql"),
  });
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await system.stop();
  await rm(folder, { recursive: true });
});

function clientWith(token?: string): Client {
  const { graphqlUrl: url, subscriptionsUrl } = system;
  const client = createClient({ url, subscriptionsUrl, ...(token === undefined ? {} : { token }) });
  clients.push(client);
  return client;
}

/** A tenant with a handbook of two documents, made over the API but for what the API does not offer yet. */
async function aTenantWithAHandbook(): Promise<{ user: Client; partner: Client; token: string }> {
  const email = "owner@split.example";
  const { caller } = await provisionTenant({
    name: "Split",
    owner: { email, displayName: "Sam Split", password: PASSWORD },
  });
  const key = await createApiKey(caller, { name: "Partner", permissions: ["usage:read"] });
  const { signIn } = await clientWith().mutate(SignInDocument, { email, password: PASSWORD });
  const user = clientWith(signIn.accessToken);
  const { createCollection } = await user.mutate(CreateCollectionDocument, { name: "Handbook" });
  const { addDocuments } = await user.mutate(AddDocumentsDocument, {
    collectionId: createCollection.id,
    documents: [
      { title: "Leave", text: "Employees receive twenty five days of annual leave. Leave is requested in the portal." },
      { title: "Expenses", text: "Expenses are refunded within ten days of their approval." },
    ],
  });
  for await (const event of user.subscribe(IngestionEventsDocument, { ingestionId: addDocuments.ingestion.id })) {
    if (event.ingestionEvents.ingestion.documentsReady === 2) break;
  }
  await eventually(async () => (await user.query(AgentsDocument)).agents.edges.length > 0, { timeoutMs: 20_000 });
  return { user, partner: clientWith(key.key), token: signIn.accessToken };
}

/** Another version of the API, put in the place of the one before as a deployment does it. */
async function deploy(version: number): Promise<void> {
  const sdl = await readFile(SUPERGRAPH, "utf8");
  const field = `\n  ofVersion${version}: Int @join__field(graph: AGENT)\n}`;
  const next = sdl.replace(/(\ntype Run\b[^{]*\{[^}]*)\n\}/, (_all, start: string) => `${start}${field}`);
  await writeFile(join(folder, "next"), next);
  await rename(join(folder, "next"), join(folder, "supergraph.graphql"));
}

async function serves(version: number, token: string): Promise<boolean> {
  const response = await fetch(system.graphqlUrl, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify({ query: `{ __type(name: "Run") { fields { name } } }` }),
  });
  return (await response.text()).includes(`"ofVersion${version}"`);
}

/** Starts a run, again with the same key when a part of the system is just being replaced, and reads it to its end. */
async function runAndRead(user: Client): Promise<RunEvent[]> {
  const idempotencyKey = randomUUID();
  let runId = "";
  await eventually(
    async () => {
      const variables = { agentKey: "handbook", prompt: "How many days of annual leave are there?", idempotencyKey };
      runId = (await user.mutate(StartRunDocument, variables)).startRun.id;
      return true;
    },
    { timeoutMs: 60_000 },
  );
  return collectEvents(user, runId);
}

let people: Awaited<ReturnType<typeof aTenantWithAHandbook>>;

describe("ask the handbook, one process a subgraph, on Redis", () => {
  it("is the same job: streamed, joined across processes, cited, written down and metered", async () => {
    people = await aTenantWithAHandbook();
    const { user, partner } = people;
    await askTheHandbook({ user, partner, question: "How many days of annual leave do employees receive?" });
  });

  it("tells of every process whether it lives, is ready, and what it counts", async () => {
    const urls = [new URL(system.graphqlUrl).origin, ...system.subgraphUrls];
    for (const url of urls)
      for (const path of ["livez", "readyz", "metrics"]) {
        const response = await fetch(`${url}/${path}`);
        expect([url, path, response.status]).toEqual([url, path, 200]);
        if (path === "metrics") expect(await response.text()).toMatch(/^nodejs_eventloop_lag_p99_seconds /m);
      }
  });

  it("is deployed anew under load, twenty versions of the API and three of its processes, and no reader misses or repeats an event", async () => {
    const { token } = people;
    let deploying = true;
    const readers = Array.from({ length: 2 }, async () => {
      const runs: RunEvent[][] = [];
      const user = clientWith(token);
      while (deploying) runs.push(await runAndRead(user));
      return runs;
    });
    const replaced: Readonly<Record<number, () => Promise<void>>> = {
      5: () => system.restart("agent"),
      10: () => system.restart("worker"),
      15: () => system.killGateway(),
    };
    for (let version = 1; version <= 20; version++) {
      await deploy(version);
      await replaced[version]?.();
      await eventually(() => serves(version, token), { timeoutMs: 20_000 });
    }
    deploying = false;
    const runs = (await Promise.all(readers)).flat();
    expect(runs.length).toBeGreaterThanOrEqual(2);
    for (const events of runs) {
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
      expect(events.at(-1)?.__typename).toBe("RunFinished");
    }
  });
});
