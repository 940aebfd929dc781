import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { AgentsDocument, createClient, SignInDocument, StartRunDocument, type Client } from "@sba/client";
import { provisionTenant } from "@sba/identity/index";
import { useSecretKey } from "@sba/platform/secrets";
import { useDatabase, useRedis } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { startSplit, type SplitSystem } from "../split.ts";
import { collectEvents, eventually } from "../story.ts";

/** From the mutation over gateway, subgraph, outbox, queue and worker to the event: one trace, told to a collector. */

interface Span {
  readonly service: string;
  readonly name: string;
  readonly traceId: string;
}

interface OtlpRequest {
  readonly resourceSpans: readonly {
    readonly resource: {
      readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue?: string } }[];
    };
    readonly scopeSpans: readonly { readonly spans: readonly { readonly name: string; readonly traceId: string }[] }[];
  }[];
}

const database = useDatabase();
const redis = useRedis();
const EMAIL = "owner@trace.example";
const PASSWORD = "a long enough password";
const PROMPT = "hush-hush: what is the leave policy?";
const bodies: string[] = [];
const clients: Client[] = [];
let collector: Server;
let system: SplitSystem;

async function startCollector(): Promise<string> {
  collector = createServer((request, response) => {
    void request.toArray().then((chunks: Buffer[]) => {
      bodies.push(Buffer.concat(chunks).toString());
      response.setHeader("content-type", "application/json").end("{}");
    });
  });
  collector.listen(0, "127.0.0.1");
  await once(collector, "listening");
  return `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
}

function collectedSpans(): Span[] {
  return bodies
    .flatMap((body) => (JSON.parse(body) as OtlpRequest).resourceSpans)
    .flatMap(({ resource, scopeSpans }) => {
      const service = resource.attributes.find(({ key }) => key === "service.name")?.value.stringValue ?? "";
      return scopeSpans.flatMap(({ spans }) => spans.map(({ name, traceId }) => ({ service, name, traceId })));
    });
}

beforeAll(async () => {
  const { secretKey } = inject("postgres");
  useSecretKey(secretKey);
  const { app, system: systemUrl } = database().urls;
  system = await startSplit({
    DATABASE_URL: app,
    DATABASE_SYSTEM_URL: systemUrl,
    REDIS_URL: redis().url,
    SECRET_KEY: secretKey,
    OTEL_EXPORTER_OTLP_ENDPOINT: await startCollector(),
  });
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await system.stop();
  collector.close();
});

function clientWith(token?: string): Client {
  const { graphqlUrl: url, subscriptionsUrl } = system;
  const client = createClient({ url, subscriptionsUrl, ...(token === undefined ? {} : { token }) });
  clients.push(client);
  return client;
}

async function signedIn(): Promise<Client> {
  await provisionTenant({ name: "Trace", owner: { email: EMAIL, displayName: "Tracy Trace", password: PASSWORD } });
  const { signIn } = await clientWith().mutate(SignInDocument, { email: EMAIL, password: PASSWORD });
  const user = clientWith(signIn.accessToken);
  await eventually(async () => (await user.query(AgentsDocument)).agents.edges.length > 0, { timeoutMs: 20_000 });
  return user;
}

describe("one trace", () => {
  it("leads from the mutation through the queue to the events, over three processes", async () => {
    const user = await signedIn();
    const { startRun } = await user.mutate(StartRunDocument, { agentKey: "handbook", prompt: PROMPT });
    const events = await collectEvents(user, startRun.id);

    const traceIds = new Set(events.map(({ traceId }) => traceId));
    expect(events.length).toBeGreaterThan(3);
    expect([...traceIds]).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)]);
    const [traceId] = traceIds;
    const expected = [
      { service: "sba-gateway", name: "graphql.request", traceId },
      { service: "sba-agent", name: "mutation StartRun__agent__0", traceId },
      { service: "sba-agent", name: "graphql.resolve startRun", traceId },
      { service: "sba-worker", name: "agent.run.advance", traceId },
    ];
    await eventually(
      () => {
        expect(collectedSpans()).toEqual(expect.arrayContaining(expected));
        return true;
      },
      { timeoutMs: 10_000 },
    );
  });

  it("tells the collector nothing of what was asked", () => {
    expect(bodies.join()).toContain("agent.run.advance");
    expect(bodies.join()).not.toContain("hush-hush");
    expect(bodies.join()).not.toContain(PASSWORD);
  });
});
