import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { useSecretKey } from "@sba/platform/secrets";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { openTestSocket, serve, type Served } from "./testing.ts";
import { createWorld, type World } from "./world.testing.ts";

/** What scanners of GraphQL servers look for (graphql-cop and its kind), as strangers find it in production. */

useDatabase();

let world: World;
let served: Served;
beforeAll(async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  world = await createWorld();
  served = await serve(world, "in process", { development: false, allowedOrigins: ["https://app.example"] });
});
afterAll(() => served.close());

const times = (count: number, make: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => make(index)).join(" ");

async function send(body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(served.gateway.graphqlUrl, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

describe("a stranger is refused", () => {
  test.each([
    ["overloading with aliases", { query: `{ ${times(101, (each) => `a${each}: __typename`)} }` }],
    ["overloading with directives", { query: `{ __typename ${times(51, () => "@aa")} }` }],
    ["overloading with fields", { query: `{ ${times(500, () => "__typename")} }` }],
    ["a batch", Array.from({ length: 10 }, () => ({ query: "{ __typename }" }))],
    [
      "introspection that goes in a circle",
      {
        query: `{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }`,
      },
    ],
    ["introspection at all", { query: "{ __schema { queryType { name } } }" }],
    ["introspection of one type", { query: `{ __type(name: "Story") { name } }` }],
    ["a trace", { query: "{ __typename }", extensions: {}, operationName: "__ApolloGetServiceDefinition__" }],
  ])("%s", async (_what, body) => {
    const { status, text } = await send(body);
    expect(status).toBe(400);
    expect(JSON.parse(text)).not.toHaveProperty("data");
  });
});

test("in development, too, introspection that goes in a circle is refused", async () => {
  const open = await serve(world, "in process");
  const circle =
    "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }";
  const response = await fetch(open.gateway.graphqlUrl, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query: circle }),
  });
  expect(response.status).toBe(400);
  await open.close();
});

test("the schema may be for members only", async () => {
  const members = await serve(world, "in process", { introspection: "members" });
  const read = async (token?: string) =>
    fetch(members.gateway.graphqlUrl, {
      method: "POST",
      headers: { "content-type": "application/json", ...(token ? { authorization: `Bearer ${token}` } : {}) },
      body: JSON.stringify({ query: "query { ...F } fragment F on Query { __schema { queryType { name } } }" }),
    });
  expect((await read()).status).toBe(401);
  expect(await (await read(await world.join([]).token())).json()).toMatchObject({
    data: { __schema: { queryType: { name: "Query" } } },
  });
  await members.close();
});

test("no form can send anything, and nothing is changed by a link", async () => {
  const bare = (query: string) => fetch(`${served.gateway.graphqlUrl}?query=${encodeURIComponent(query)}`);
  expect((await bare("{ __typename }")).status).toBe(400);
  for (const type of ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"])
    expect((await send({ query: "{ __typename }" }, { "content-type": type })).status).toBeGreaterThanOrEqual(400);
  const byLink = await fetch(
    `${served.gateway.graphqlUrl}?query=${encodeURIComponent("mutation { tick(number: 1) }")}`,
    {
      headers: { "apollo-require-preflight": "1", authorization: `Bearer ${await world.join(["run:start"]).token()}` },
    },
  );
  expect(byLink.status).toBe(405);
});

test("no name is suggested, over whichever transport, and no stack or inner message is shown", async () => {
  const authorization = `Bearer ${await world.join(["run:read"]).token()}`;
  const socket = await openTestSocket(served, { authorization });
  const wrong = `query($kind: TaleKind) { taleOf(kind: $kind) }`;
  for (const [query, variables] of [
    ["{ greetin }", {}],
    ["subscription { ticsk }", {}],
    [wrong, { kind: "TALL_TALEE" }],
    [`subscription($kind: TaleKind!) { tales(kind: $kind) }`, { kind: "TALL_TALEE" }],
  ] as const) {
    const stream = await fetch(served.gateway.sseUrl, {
      method: "POST",
      headers: { accept: "text/event-stream", "content-type": "application/json", authorization },
      body: JSON.stringify({ query, variables }),
    });
    const answers = [
      (await send({ query, variables }, { authorization })).text,
      JSON.stringify(await socket.subscribe(query, variables).next()),
      await stream.text(),
    ];
    for (const answer of answers) {
      expect(answer).toContain(`"errors"`);
      expect(answer).not.toMatch(/greeting|ticks|TALL_TALE\b|Did you mean/);
    }
  }
  await socket.close();
  const { text } = await send({ query: "{ crash }" });
  expect(text).not.toMatch(/hunter2|stacktrace|\.ts:|node_modules/);
});

test("a page of somebody else's cannot connect, and one of the list can", async () => {
  const open = (origin: string) =>
    new Promise<number>((resolve) => {
      const socket = new WebSocket(served.gateway.subscriptionsUrl, "graphql-transport-ws", { origin });
      socket.on("open", () => {
        socket.close();
        resolve(101);
      });
      socket.on("unexpected-response", (_request, response) => {
        resolve(response.statusCode ?? 0);
      });
      socket.on("error", () => undefined);
    });
  expect(await open("https://evil.example")).toBe(403);
  expect(await open("https://app.example")).toBe(101);
  expect(await open(served.gateway.url)).toBe(101);
});

test("metrics are for those who are near, and count by client", async () => {
  const token = await world.join([]).token();
  await send(
    { query: "{ whoAmI }" },
    {
      authorization: `Bearer ${token}`,
      "apollographql-client-name": "counted",
      "apollographql-client-version": "1.2.3",
    },
  );
  const socket = await openTestSocket(served, {
    authorization: `Bearer ${await world.join(["run:read"]).token()}`,
    "apollographql-client-name": "counted",
    "apollographql-client-version": "2",
  });
  expect(await socket.subscribe("{ whoAmI }").next()).toHaveProperty("data");
  socket.subscribe("subscription { ticks }");
  await eventually(() => expect(world.sources.open).toBe(1));
  await socket.close();
  const metrics = await (await fetch(served.gateway.metricsUrl)).text();
  for (const kind of ["query", "subscription"])
    expect(metrics).toContain(
      `sba_graphql_operations_total{client="counted",version="2",kind="${kind}",outcome="ok"} 1`,
    );
  expect(metrics).toMatch(
    /sba_graphql_operations_total\{client="counted",version="1.2.3",kind="query",outcome="ok"\} 1/,
  );
  expect(metrics).toContain("sba_gateway_sockets ");
  const proxied = await fetch(served.gateway.metricsUrl, { headers: { "x-forwarded-for": "203.0.113.9" } });
  expect(proxied.status).toBe(404);
});

test("whoever offers HTTP/2 on the way, as Java's client does, is answered in HTTP/1.1", async () => {
  const [response] = (await once(
    request(served.gateway.graphqlUrl, {
      method: "POST",
      headers: {
        connection: "Upgrade, HTTP2-Settings",
        upgrade: "h2c",
        "http2-settings": "AAEAAEAAAAIAAAAB",
        "content-type": "application/json",
      },
    }).end(JSON.stringify({ query: "{ __typename }" })),
    "response",
  )) as [IncomingMessage];
  response.resume();
  expect(response.statusCode).toBe(200);
});

test("every answer says which schema it is of", async () => {
  const versions = await Promise.all(
    [served.gateway.graphqlUrl, `${served.gateway.url}/livez`].map(async (url) =>
      (await fetch(url)).headers.get("x-api-version"),
    ),
  );
  expect(versions[0]).toMatch(/^[\w-]{16}$/);
  expect(new Set(versions).size).toBe(1);
});
