import { once } from "node:events";
import { connect } from "node:net";
import { aCaller } from "@sba/testkit/fixtures";
import { createClient } from "graphql-ws";
import { parse, type GraphQLError } from "graphql";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { defineErrors } from "./errors.ts";
import { executeInProcess, OperationFailed, subscribeInProcess } from "./execute.ts";
import { callerOf, createBuilder, defineLoader, toSubgraphSchema, type GraphContext } from "./graphql.ts";
import { internalExtensions, internalHeaders } from "./internal-token.ts";
import { setLogLevel } from "./log.ts";
import type { Permission } from "./permissions.ts";
import { useSecretKey } from "./secrets.ts";
import { startSubgraphServer, type RunningServer } from "./server.ts";

const errors = defineErrors("platform.server.test", {
  THING_GONE: { kind: "not_found", message: "The thing is gone." },
});

const contexts: GraphContext[] = [];
let aborted = false;
let batches: (readonly string[])[] = [];
const loadTwice = defineLoader(
  (_caller, keys: readonly string[]) => {
    batches.push(keys);
    return Promise.resolve(keys.map((key) => ({ key })));
  },
  ({ key }) => key,
);

const builder = createBuilder();
builder.queryField("caller", (t) =>
  t.id({ authScopes: { authenticated: true }, resolve: (_root, _args, context) => callerOf(context).principalId }),
);
builder.queryField("usage", (t) => t.boolean({ authScopes: { permission: "usage:read" }, resolve: () => true }));
builder.queryField("forTheGateway", (t) => t.boolean({ authScopes: { internal: true }, resolve: () => true }));
builder.queryField("gone", (t) =>
  t.boolean({
    nullable: true,
    resolve: () => {
      throw errors.THING_GONE({ details: { id: "x" } });
    },
  }),
);
builder.queryField("bug", (t) =>
  t.boolean({
    nullable: true,
    resolve: () => {
      throw new Error("a secret");
    },
  }),
);
builder.queryField("size", (t) =>
  t.int({
    args: {
      text: t.arg.string({ required: true, validate: { maxLength: 3 } }),
      big: t.arg({ type: "BigInt" }),
      at: t.arg({ type: "DateTime" }),
    },
    resolve: (_root, { text }) => text.length,
  }),
);
builder.queryField("loaded", (t) =>
  t.stringList({
    args: { keys: t.arg.stringList({ required: true }) },
    resolve: async (_root, { keys }, context) =>
      (await Promise.all(keys.map((key) => loadTwice(context).load(key)))).map((value) => value?.key ?? ""),
  }),
);
builder.subscriptionType({
  fields: (t) => ({
    count: t.int({
      authScopes: { permission: "run:read" },
      args: { to: t.arg.int({ required: true }) },
      async *subscribe(_root, { to }) {
        for (let number = 1; number <= to; number++) yield await Promise.resolve(number);
      },
      resolve: (number, _args, context) => {
        contexts.push(context);
        return number;
      },
    }),
    never: t.int({
      async *subscribe(_root, _args, { signal }) {
        yield 0;
        await new Promise<void>((resolve) => {
          signal.addEventListener("abort", () => {
            resolve();
          });
        });
        aborted = true;
      },
      resolve: (number) => number,
    }),
    failing: t.int({
      async *subscribe() {
        yield await Promise.resolve(1);
        throw errors.THING_GONE();
      },
      resolve: (number) => number,
    }),
  }),
});
const schema = toSubgraphSchema(builder);
beforeAll(() => {
  setLogLevel("silent");
});

const caller = (permissions: readonly Permission[] = []) => aCaller({ permissions });
const run = (query: string, who = caller(), variables = {}, internal = false) =>
  executeInProcess(
    schema,
    { document: parse(query), variables },
    { caller: internal ? undefined : who, requestId: "request-1", internal },
  );
const extensionsOf = (result: { readonly errors?: readonly GraphQLError[] }) =>
  result.errors?.map(({ extensions }) => extensions);

async function collect<T, U = T>(
  items: AsyncIterable<T>,
  map: (item: T) => U = (item) => item as unknown as U,
): Promise<U[]> {
  const collected: U[] = [];
  for await (const item of items) collected.push(map(item));
  return collected;
}

describe("an operation in process", () => {
  test("shows our errors with their extensions and masks the rest", async () => {
    const result = await run("{ gone bug }");
    expect(result.data).toEqual({ gone: null, bug: null });
    expect(result.errors?.map(({ message }) => message)).toEqual([
      "The thing is gone.",
      "Something went wrong on our side.",
    ]);
    expect(extensionsOf(result)).toEqual([
      { code: "NOT_FOUND", reason: "THING_GONE", retryable: false, requestId: "request-1", details: { id: "x" } },
      { code: "INTERNAL_SERVER_ERROR", reason: "INTERNAL", retryable: true, requestId: "request-1" },
    ]);
  });

  test("checks scopes, and keeps the gateway's own fields from every caller", async () => {
    expect(extensionsOf(await run("{ usage }"))).toMatchObject([{ code: "FORBIDDEN", reason: "PERMISSION_MISSING" }]);
    expect((await run("{ usage }", caller(["usage:read"]))).data).toEqual({ usage: true });
    expect(extensionsOf(await run("{ forTheGateway }"))).toMatchObject([{ code: "FORBIDDEN" }]);
    expect((await run("{ forTheGateway }", caller(), {}, true)).data).toEqual({ forTheGateway: true });
    expect(extensionsOf(await run("{ caller }", caller(), {}, true))).toMatchObject([
      { code: "UNAUTHENTICATED", reason: "CREDENTIALS_MISSING" },
    ]);
  });

  test.each([
    ["an argument out of its range", `{ size(text: "long") }`, {}],
    ["a number that is none", `query($big: BigInt) { size(text: "", big: $big) }`, { big: "1e9" }],
    [
      "a number of more than 64 bits",
      `query($big: BigInt) { size(text: "", big: $big) }`,
      { big: "9223372036854775808" },
    ],
    ["a day that no calendar has", `query($at: DateTime) { size(text: "", at: $at) }`, { at: "2026-02-30T19:00:00Z" }],
    ["the year 0", `query($at: DateTime) { size(text: "", at: $at) }`, { at: "0000-01-01T00:00:00Z" }],
    [
      "what is the year 0 in UTC",
      `query($at: DateTime) { size(text: "", at: $at) }`,
      { at: "0001-01-01T00:00:00+01:00" },
    ],
    [
      "what is the year 10000 in UTC",
      `query($at: DateTime) { size(text: "", at: $at) }`,
      { at: "9999-12-31T23:59:59-01:00" },
    ],
    ["a time without a zone", `query($at: DateTime) { size(text: "", at: $at) }`, { at: "2026-11-20T19:00:00" }],
    ["a variable that is missing", `query($text: String!) { size(text: $text) }`, {}],
  ])("refuses %s as bad input", async (_what, query, variables) => {
    expect(extensionsOf(await run(query, caller(), variables))).toMatchObject([
      { code: "BAD_USER_INPUT", reason: "INPUT_INVALID", retryable: false, requestId: "request-1" },
    ]);
  });

  test("batches look-ups within a request, and shares none between requests", async () => {
    batches = [];
    await run(`{ a: loaded(keys: ["1", "2"]) b: loaded(keys: ["2", "3"]) }`);
    await run(`{ loaded(keys: ["1"]) }`);
    expect(batches).toEqual([["1", "2", "3"], ["1"]]);
  });
});

describe("a subscription in process", () => {
  const subscribe = (query: string, who = caller(["run:read"])) =>
    subscribeInProcess(schema, { document: parse(query) }, { caller: who, requestId: "request-1" });

  test("gives each event a context of its own", async () => {
    contexts.length = 0;
    expect(await collect(subscribe("subscription { count(to: 3) }"), ({ data }) => data?.["count"])).toEqual([1, 2, 3]);
    expect(new Set(contexts).size).toBe(3);
    // Nor the loaders of another one.
    expect(contexts.map(({ loaders }) => loaders)).toEqual([undefined, undefined, undefined]);
  });

  test("throws its errors where it cannot start", async () => {
    const failure = await subscribe("subscription { count(to: 1) }", caller([]))
      .next()
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(OperationFailed);
    expect(extensionsOf(failure as OperationFailed)).toMatchObject([{ code: "FORBIDDEN", requestId: "request-1" }]);
  });

  test("throws its errors where its source fails, after what came before", async () => {
    const events = subscribe("subscription { failing }");
    expect((await events.next()).value?.data).toEqual({ failing: 1 });
    await expect(events.next()).rejects.toMatchObject({
      errors: [{ message: "The thing is gone.", extensions: { reason: "THING_GONE" } }],
    });
  });

  test("ends at once when it is left, while it waits", async () => {
    aborted = false;
    const events = subscribe("subscription { never }");
    await events.next();
    const waiting = events.next();
    // By then the source waits: all that comes before it is done at once.
    await new Promise((resolve) => setImmediate(resolve));
    await events.return?.();
    expect([aborted, await waiting]).toEqual([true, { done: true, value: undefined }]);
  });
});

describe("a subgraph's server", () => {
  let server: RunningServer;
  let ready = true;
  beforeAll(async () => {
    useSecretKey("a-secret-key-that-only-tests-know");
    server = await startSubgraphServer(
      {
        name: "things",
        schema,
        routes: [
          {
            method: "PUT",
            path: "/things/:name",
            handle: async ({ params, body, query }) => ({
              status: 201,
              headers: { "x-thing": params["name"] ?? "" },
              body: `${query.get("q") ?? ""}:${(await body.toArray()).join("")}`,
            }),
          },
          { method: "GET", path: "/gone", handle: () => Promise.reject(errors.THING_GONE()) },
        ],
      },
      { host: "127.0.0.1", port: 0, isReady: () => Promise.resolve(ready) },
    );
  });
  afterAll(() => server.close());

  const requestOf = (who = caller(["run:read"])) => ({ caller: who, internal: false, requestId: "request-2" });
  const headersOf = (who?: ReturnType<typeof caller>) => internalHeaders(requestOf(who));
  const post = async (query: string, headers: Record<string, string>) => {
    const response = await fetch(`${server.url}/graphql`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ query }),
    });
    return {
      status: response.status,
      body: (await response.json()) as { data?: unknown; errors?: { extensions: Record<string, unknown> }[] },
    };
  };

  test("answers its gateway as in process", async () => {
    const who = caller();
    expect(await post("{ caller }", headersOf(who))).toEqual({
      status: 200,
      body: { data: { caller: who.principalId } },
    });
    expect((await post("{ gone }", headersOf())).body.errors?.[0]?.extensions).toMatchObject({
      reason: "THING_GONE",
      requestId: "request-2",
    });
  });

  test.each([
    ["without a token", () => ({})],
    ["with a token of nobody", () => ({ ...headersOf(), "x-internal-token": "nonsense" })],
    ["without an id of its own", () => ({ ...headersOf(), "x-request-id": "" })],
  ])("refuses a request %s", async (_what, toHeaders) => {
    const { status, body } = await post("{ __typename }", toHeaders());
    expect([status, body.errors?.[0]?.extensions["code"]]).toEqual([401, "UNAUTHENTICATED"]);
    expect((await fetch(`${server.url}/gone`)).status).toBe(401);
  });

  test.each([
    ["is no GraphQL", "{", "GRAPHQL_PARSE_FAILED"],
    ["asks for what is not there", "{ nothing }", "GRAPHQL_VALIDATION_FAILED"],
    ["has no operation", "fragment Nobody on Query { __typename }", "GRAPHQL_VALIDATION_FAILED"],
  ])("refuses a document that %s", async (_what, query, code) => {
    for (const _time of ["when it is new", "when it is known"]) {
      const { status, body } = await post(query, headersOf());
      expect([status, body.errors?.[0]?.extensions["code"]]).toEqual([400, code]);
    }
  });

  test("refuses a body that is no JSON", async () => {
    const headers = { "content-type": "application/json", ...headersOf() };
    const response = await fetch(`${server.url}/graphql`, { method: "POST", headers, body: "{" });
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { errors: [{ message: "The body is not valid JSON.", extensions: { reason: "INPUT_INVALID" } }] },
    ]);
  });

  test("closes though a connection is open on which nothing was asked", async () => {
    const other = await startSubgraphServer({ name: "things", schema, routes: [] }, { host: "127.0.0.1", port: 0 });
    const silent = connect(Number(new URL(other.url).port), "127.0.0.1");
    await once(silent, "connect");
    const left = once(silent, "close");
    await other.close();
    await left;
  });

  test("says that subscriptions need a socket", async () => {
    expect((await post("subscription { count(to: 1) }", headersOf())).status).toBe(400);
  });

  test("streams over its socket, and refuses streams and sockets without a token", async () => {
    const ours = internalExtensions(requestOf());
    const open = (connectionParams: Record<string, unknown>) =>
      createClient({
        url: `${server.url.replace("http", "ws")}/graphql`,
        webSocketImpl: WebSocket,
        retryAttempts: 0,
        connectionParams,
      });
    const client = open(ours);
    const stream = (query: string, extensions: Record<string, unknown>) =>
      collect(client.iterate<Record<string, unknown>>({ query, extensions }), ({ data }) => data);
    expect(await stream("subscription { count(to: 2) }", ours)).toEqual([{ count: 1 }, { count: 2 }]);
    await expect(stream("subscription { count(to: 2) }", {})).rejects.toMatchObject([
      { extensions: { code: "UNAUTHENTICATED" } },
    ]);
    await expect(stream("subscription {", ours)).rejects.toMatchObject([
      { message: expect.stringContaining("Syntax Error") },
    ]);
    await expect(stream("subscription { nothing }", ours)).rejects.toMatchObject([
      { message: expect.stringContaining("Cannot query field") },
    ]);
    await expect(collect(open({}).iterate({ query: "subscription { count(to: 1) }" }))).rejects.toMatchObject({
      code: 4401,
    });
    await client.dispose();
  });

  test("serves its routes, bodies streamed, and their errors by their kind", async () => {
    const headers = headersOf();
    const put = await fetch(`${server.url}/things/a%20name?q=1`, { method: "PUT", headers, body: "bytes" });
    expect([put.status, put.headers.get("x-thing"), await put.text()]).toEqual([201, "a name", "1:bytes"]);
    const gone = await fetch(`${server.url}/gone`, { headers });
    expect([gone.status, await gone.json()]).toMatchObject([
      404,
      { errors: [{ extensions: { reason: "THING_GONE" } }] },
    ]);
    expect((await fetch(`${server.url}/nowhere`, { headers })).status).toBe(404);
  });

  test("shows what it counts to those who are near", async () => {
    await post("{ caller }", headersOf());
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    for (const shown of [
      /^sba_subgraph_request_seconds_count\{status="200"\} [1-9]/m,
      /^sba_subgraph_sockets \d+$/m,
      /^nodejs_eventloop_lag_p99_seconds /m,
    ])
      expect(metrics).toMatch(shown);
    const proxied = await fetch(`${server.url}/metrics`, { headers: { "x-forwarded-for": "203.0.113.9" } });
    expect(proxied.status).toBe(404);
  });

  test("says whether it is ready", async () => {
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
    ready = false;
    expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
    expect((await fetch(`${server.url}/livez`)).status).toBe(200);
  });
});
