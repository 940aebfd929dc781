import {
  AddDocumentsDocument,
  AgentsDocument,
  createClient,
  CreateCollectionDocument,
  IngestionEventsDocument,
  SignInDocument,
  type Client,
} from "@sba/client";
import { createApiKey, provisionTenant } from "@sba/identity/index";
import { useSecretKey } from "@sba/platform/secrets";
import { useDatabase, useRedis } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, inject, it } from "vitest";
import { startSplit, type SplitSystem } from "../split.ts";
import { eventually } from "../story.ts";
import { askTheHandbook } from "./main-job.ts";

const database = useDatabase();
const redis = useRedis();
const PASSWORD = "a long enough password";
let system: SplitSystem;
const clients: Client[] = [];

beforeAll(async () => {
  const { secretKey } = inject("postgres");
  useSecretKey(secretKey);
  const { app, system: systemUrl } = database().urls;
  system = await startSplit({
    DATABASE_URL: app,
    DATABASE_SYSTEM_URL: systemUrl,
    REDIS_URL: redis().url,
    SECRET_KEY: secretKey,
  });
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await system.stop();
});

function clientWith(token?: string): Client {
  const { graphqlUrl: url, subscriptionsUrl } = system;
  const client = createClient({ url, subscriptionsUrl, ...(token === undefined ? {} : { token }) });
  clients.push(client);
  return client;
}

/** A tenant with a handbook of two documents, made over the API but for what the API does not offer yet. */
async function aTenantWithAHandbook(): Promise<{ user: Client; partner: Client }> {
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
  return { user, partner: clientWith(key.key) };
}

describe("ask the handbook, one process a subgraph, on Redis", () => {
  it("is the same job: streamed, joined across processes, cited, written down and metered", async () => {
    const { user, partner } = await aTenantWithAHandbook();
    await askTheHandbook({ user, partner, question: "How many days of annual leave do employees receive?" });
  });
});
