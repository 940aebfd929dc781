import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { newId } from "@sba/platform/ids";
import { logger } from "@sba/platform/log";
import { useSecretKey } from "@sba/platform/secrets";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase } from "@sba/testkit/services";
import { getIntrospectionQuery } from "graphql";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import fastify from "fastify";
import { limitArrival } from "./http.ts";
import { openTestSocket, post, serve, type Served } from "./testing.ts";
import { createWorld, type World } from "./world.testing.ts";

useDatabase();

let world: World;
let served: Served;
let token: string;
beforeAll(async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  world = await createWorld();
  served = await serve(world, "in process", {
    limits: {
      maxBodyBytes: 4_096,
      maxBodyBytesUnderWay: 6_000,
      maxAnonymousBodyBytes: 2_048,
      maxQueryBytes: 3_000,
      maxTokens: 500,
    },
  });
  token = await world.join(["run:read", "run:start"]).token();
});
afterAll(() => served.close());

const JSON_TYPE = { "content-type": "application/json" };
const send = (body: string, headers: Record<string, string> = JSON_TYPE, method = "POST") =>
  fetch(served.gateway.graphqlUrl, { method, headers, ...(method === "GET" ? {} : { body }) });
const reasonOf = async (response: Response): Promise<unknown> =>
  ((await response.json()) as { errors: [{ extensions: { reason: unknown } }] }).errors[0].extensions.reason;

describe("GraphQL over HTTP", () => {
  test("answers in the media type that the client accepts, and 406 when there is none", async () => {
    const query = JSON.stringify({ query: "{ __typename }" });
    const types = await Promise.all(
      ["application/graphql-response+json", "application/json", "*/*"].map(async (accept) =>
        (await send(query, { ...JSON_TYPE, accept })).headers.get("content-type"),
      ),
    );
    expect(types).toEqual([
      "application/graphql-response+json; charset=utf-8",
      "application/json; charset=utf-8",
      "application/json; charset=utf-8",
    ]);
    expect((await send(query, { ...JSON_TYPE, accept: "image/png" })).status).toBe(406);
  });

  test.each([
    ["a syntax error", JSON.stringify({ query: "{" }), 400, "GRAPHQL_PARSE_FAILED"],
    ["a document that is not valid", JSON.stringify({ query: "{ nothing }" }), 400, "GRAPHQL_VALIDATION_FAILED"],
    [
      "a missing variable",
      JSON.stringify({ query: "query($id: ID!) { story(id: $id) { id } }" }),
      401,
      "CREDENTIALS_MISSING",
    ],
    [
      "a variable of the wrong type",
      JSON.stringify({ query: "query($name: String!) { greeting(name: $name) }", variables: { name: 1 } }),
      400,
      "INPUT_INVALID",
    ],
    [
      "a name that the document has not",
      JSON.stringify({ query: "query A { __typename }", operationName: "B" }),
      400,
      "OPERATION_UNKNOWN",
    ],
    ["a subscription", JSON.stringify({ query: `subscription { ticks }` }), 400, "SUBSCRIPTION_NEEDS_SOCKET"],
    ["a body that is not JSON", "{", 400, "INPUT_INVALID"],
    ["a batch", JSON.stringify([{ query: "{ __typename }" }]), 400, "OPERATION_BATCH_TOO_LARGE"],
    ["a body without a query", JSON.stringify({ nothing: 1 }), 400, "BAD_REQUEST"],
  ])("answers %s with its status and reason, and the request's id", async (_what, body, status, reason) => {
    const response = await send(body);
    const { errors } = (await response.json()) as { errors: [{ extensions: Record<string, unknown> }] };
    expect([response.status, errors[0].extensions]).toEqual([
      status,
      expect.objectContaining({ reason, retryable: false, requestId: response.headers.get("x-request-id") }),
    ]);
  });

  test("refuses media types that a form could send", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded"]) {
      expect((await send(JSON.stringify({ query: "{ __typename }" }), { "content-type": type })).status).toBe(400);
    }
  });

  test("runs queries by GET when no form could have sent them, and never mutations", async () => {
    const get = (query: string, headers: Record<string, string>) =>
      fetch(`${served.gateway.graphqlUrl}?query=${encodeURIComponent(query)}`, { headers });
    expect((await get("{ __typename }", {})).status).toBe(400);
    expect((await get("{ __typename }", { "apollo-require-preflight": "1" })).status).toBe(200);
    expect(
      (await get(`mutation { tick(number: 1) }`, { "apollo-require-preflight": "1", authorization: `Bearer ${token}` }))
        .status,
    ).toBe(405);
  });

  test("makes an id for a request that has none, or one that logs cannot carry", async () => {
    const ids = [await send("{}"), await send("{}", { ...JSON_TYPE, "x-request-id": "a b\tc<script>" })].map(
      (response) => response.headers.get("x-request-id"),
    );
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) expect(id).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("answers unknown paths and methods as JSON", async () => {
    const response = await fetch(`${served.gateway.url}/nowhere`);
    expect([response.status, await reasonOf(response)]).toEqual([404, "ROUTE_NOT_FOUND"]);
    expect((await fetch(served.gateway.graphqlUrl, { method: "DELETE" })).status).toBe(404);
  });
});

describe("a limit", () => {
  const selections = (count: number, make: (index: number) => string): string =>
    Array.from({ length: count }, (_, index) => make(index)).join(" ");

  test.each([
    ["levels", `{ ${"a { ".repeat(15)} b ${"}".repeat(15)} }`, "OPERATION_TOO_DEEP"],
    ["aliases", `{ story(id: "1") { ${selections(31, (index) => `a${index}: id`)} } }`, "OPERATION_TOO_MANY_ALIASES"],
    ["root fields", `{ ${selections(21, () => "__typename")} }`, "OPERATION_TOO_MANY_ROOT_FIELDS"],
    ["directives", `{ __typename ${selections(51, () => "@skip(if: false)")} }`, "OPERATION_TOO_MANY_DIRECTIVES"],
    ["tokens", `{ story(id: "1") { ${selections(500, () => "id")} } }`, "OPERATION_TOO_MANY_TOKENS"],
    [
      "fields, through fragments that spread fragments",
      `{ story(id: "1") { ...F0 } } ${selections(8, (index) => `fragment F${index} on Story { ${selections(4, () => `...F${index + 1}`)} }`)} fragment F8 on Story { id }`,
      "OPERATION_TOO_MANY_FIELDS",
    ],
    [
      "aliases, through fragments",
      `{ story(id: "1") { ${selections(16, () => "...F")} } } fragment F on Story { a: id b: id }`,
      "OPERATION_TOO_MANY_ALIASES",
    ],
  ])("on %s gives a typed error and runs nothing", async (_what, query, reason) => {
    const before = { ...world.asked };
    const { status, body } = await post(served, token, query);
    expect([status, body.errors?.[0]?.extensions]).toEqual([
      400,
      expect.objectContaining({
        code: "BAD_USER_INPUT",
        reason,
        retryable: false,
        details: { limit: expect.any(Number) },
      }),
    ]);
    expect(world.asked).toEqual(before);
  });

  test("on the text of an operation holds for comments too", async () => {
    const { status, body } = await post(served, token, `{ __typename } # ${"x".repeat(3_000)}`);
    expect([status, body.errors?.[0]?.extensions["reason"]]).toEqual([413, "OPERATION_TOO_LARGE"]);
  });

  test("on the body is larger for who has said who they are", async () => {
    const body = JSON.stringify({ query: "{ __typename }", variables: { padding: "x".repeat(2_500) } });
    const anonymous = await send(body);
    expect([anonymous.status, await reasonOf(anonymous)]).toEqual([413, "PAYLOAD_TOO_LARGE"]);
    expect((await send(body, { ...JSON_TYPE, authorization: `Bearer ${token}` })).status).toBe(200);
    expect(
      (
        await send(JSON.stringify({ query: "{ __typename }", variables: { padding: "x".repeat(5_000) } }), {
          ...JSON_TYPE,
          authorization: `Bearer ${token}`,
        })
      ).status,
    ).toBe(413);
  });

  test("on the bodies under way asks whoever comes too many to send it again", async () => {
    const body = JSON.stringify({ query: "{ __typename }", variables: { padding: "x".repeat(3_500) } });
    const headers = { ...JSON_TYPE, authorization: `Bearer ${token}` };
    const slow = request(served.gateway.graphqlUrl, { method: "POST", headers });
    const answered = new Promise<number | undefined>((resolve, reject) => {
      slow.on("response", (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      slow.on("error", reject);
    });
    slow.write(body.slice(0, -10));
    await eventually(async () => {
      const response = await send(body, headers);
      expect([response.status, await reasonOf(response)]).toEqual([503, "BODIES_UNDER_WAY"]);
      return true;
    });
    slow.end(body.slice(-10));
    expect(await answered).toBe(200);
    expect((await send(body, headers)).status).toBe(200);
  });

  test("on the bodies under way holds for a large one until its operation is answered", async () => {
    const large = await serve(world, "in process", { limits: { maxBodyBytesUnderWay: 150_000 } });
    const ask = (bytes: number) => post(large, token, "mutation { tick(number: 1) }", { padding: "x".repeat(bytes) });
    let goOn = (): void => undefined;
    const waits = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const underWay = new Promise<void>((resolve) => {
      world.beforeTick = () => {
        world.beforeTick = () => Promise.resolve();
        resolve();
        return waits;
      };
    });
    const first = ask(100_000);
    await underWay;
    const refused = await ask(100_000);
    expect([refused.status, refused.body.errors?.[0]?.extensions]).toEqual([
      503,
      expect.objectContaining({ reason: "BODIES_UNDER_WAY", retryable: true, retryAfterMs: expect.any(Number) }),
    ]);
    // Who asks with little waits for nobody.
    for (let count = 0; count < 3; count++) expect((await ask(60_000)).status).toBe(200);
    goOn();
    expect((await first).status).toBe(200);
    expect((await ask(100_000)).status).toBe(200);
    await large.close();
  });

  test("on the body holds for one that does not say its length", async () => {
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const chunked = request(served.gateway.graphqlUrl, { method: "POST", headers: JSON_TYPE }, (response) => {
        resolve(response.statusCode);
      });
      chunked.on("error", reject);
      chunked.write(`{"query":"{ __typename }","variables":{"padding":"`);
      for (let part = 0; part < 4; part++) chunked.write("x".repeat(1_000));
      chunked.end(`"}}`);
    });
    expect(status).toBe(413);
  });
});

describe("introspection", () => {
  test("passes the default limits in development", async () => {
    const open = await serve(world, "in process");
    const { status, body } = await post(open, undefined, getIntrospectionQuery());
    expect([status, body.errors]).toEqual([200, undefined]);
    await open.close();
  });

  test("and the names in suggestions are not for strangers in production", async () => {
    const closed = await serve(world, "in process", { development: false });
    expect((await post(closed, undefined, "{ __schema { types { name } } }")).body.errors).toMatchObject([
      { message: expect.not.stringContaining("Apollo"), extensions: { reason: "SCHEMA_NOT_SHOWN" } },
    ]);
    const misspelt = await post(closed, undefined, `{ greetin(name: "x") }`);
    expect(misspelt.body.errors?.[0]?.message).not.toContain("greeting");
    const page = await fetch(closed.gateway.graphqlUrl, { headers: { accept: "text/html" } });
    expect(page.headers.get("content-type")).not.toContain("html");
    expect(page.headers.get("strict-transport-security")).toContain("max-age");
    await closed.close();
  });
});

describe("the console", () => {
  let folder: string;
  let console: Served;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "sba-console-"));
    await mkdir(join(folder, "assets"));
    const script = "export const answer = 42;".repeat(100);
    await Promise.all([
      writeFile(join(folder, "index.html"), `<html data-mode="SBA_MODE"><script nonce="SBA_NONCE"></script></html>`),
      writeFile(join(folder, "routes.json"), `["ask", "runs"]`),
      writeFile(join(folder, "favicon.svg"), "<svg/>"),
      writeFile(join(folder, "assets/index-abc.js"), script),
      writeFile(join(folder, "assets/index-abc.js.br"), brotliCompressSync(script)),
    ]);
    console = await serve(world, "in process", { consoleDirectory: folder });
  });
  afterAll(async () => {
    await console.close();
    await rm(folder, { recursive: true });
  });
  const get = (path: string, headers: Record<string, string> = {}) =>
    fetch(`${console.gateway.url}${path}`, { headers: { accept: "text/html,*/*", ...headers } });

  test("is the same page under each of its routes, with a nonce of each answer's own", async () => {
    expect(console.gateway.consoleUrl).toBe(`${console.gateway.url}/`);
    const nonces = new Set<string>();
    for (const path of ["/", "/ask", "/runs/run_1?tab=events"]) {
      const response = await get(path);
      const html = await response.text();
      const nonce = /nonce="([^"]+)"/.exec(html)?.[1] ?? "";
      expect([path, response.status, response.headers.get("cache-control")]).toEqual([path, 200, "no-cache"]);
      expect(html).toContain('data-mode="development"');
      const policy = response.headers.get("content-security-policy");
      expect(policy).toContain(`style-src 'self' 'nonce-${nonce}'`);
      expect(policy).toContain("script-src 'self';");
      nonces.add(nonce);
    }
    expect(nonces.size).toBe(3);
  });

  test("says itself to a person that there is nothing at an address", async () => {
    const nowhere = await get("/runsx");
    expect([nowhere.status, nowhere.headers.get("content-type")]).toEqual([404, "text/html; charset=utf-8"]);
    expect(nowhere.headers.get("content-security-policy")).toContain("'nonce-");
    expect(await nowhere.text()).toContain('data-mode="development"');
  });

  test("swallows nothing of the API", async () => {
    const nowhere = await get("/runsx", { accept: "application/json" });
    expect([nowhere.status, await reasonOf(nowhere)]).toEqual([404, "ROUTE_NOT_FOUND"]);
    const posted = await fetch(`${console.gateway.url}/runsx`, { method: "POST", headers: { accept: "text/html" } });
    expect([posted.status, await reasonOf(posted)]).toEqual([404, "ROUTE_NOT_FOUND"]);
    for (const path of ["/assets/index-abd.js", "/assets/..%2froutes.json", "/routes.json", "/assets/index-abc.js.br"])
      expect([path, (await get(path)).status]).toEqual([path, 404]);
    expect(await (await get("/graphql")).text()).toContain("EmbeddedSandbox");
    expect((await get("/graphiql")).status).toBe(200);
    const hosted = await get("/graphiql/hosted");
    expect([hosted.status, hosted.headers.get("x-frame-options")]).toEqual([200, "SAMEORIGIN"]);
    const policy = hosted.headers.get("content-security-policy");
    expect(policy).toContain("frame-ancestors 'self'");
    expect(policy).toMatch(/default-src 'none'(?!.*(connect-src|script-src[^;]*unsafe))/);
    expect(await (await get("/graphiql/hosted.js")).text()).toContain("GraphiQL");
    expect((await get("/livez")).status).toBe(200);
  });

  test("sends its files compressed where that is understood, and for good when their name says what is in them", async () => {
    const packed = await get("/assets/index-abc.js", { "accept-encoding": "gzip, br;q=1.0" });
    expect(Object.fromEntries(packed.headers)).toMatchObject({
      "content-encoding": "br",
      "content-type": "text/javascript; charset=utf-8",
      "cache-control": "public, max-age=31536000, immutable",
      "x-content-type-options": "nosniff",
    });
    expect(packed.headers.get("vary")).toContain("accept-encoding");
    expect(await packed.text()).toContain("answer = 42");
    const plain = await get("/assets/index-abc.js", { "accept-encoding": "identity" });
    expect([plain.headers.get("content-encoding"), plain.headers.get("etag")]).not.toContain(
      packed.headers.get("etag"),
    );
    const icon = await get("/favicon.svg");
    expect([icon.headers.get("content-type"), icon.headers.get("cache-control")]).toEqual([
      "image/svg+xml",
      "no-cache",
    ]);
    const again = await get("/favicon.svg", { "if-none-match": icon.headers.get("etag") ?? "" });
    expect([again.status, await again.text()]).toEqual([304, ""]);
  });
});

describe("pages", () => {
  test("the explorer opens Sandbox, and says how to ask by hand where it cannot be loaded", async () => {
    const response = await fetch(served.gateway.graphqlUrl, { headers: { accept: "text/html,*/*" } });
    const html = await response.text();
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(html).toContain("EmbeddedSandbox");
    expect(html).toContain("curl ORIGIN/graphql");
    expect(response.headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
  });

  test("GraphiQL is served with all that it is made of, and nothing from elsewhere", async () => {
    const page = await fetch(`${served.gateway.url}/graphiql`);
    const html = await page.text();
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
    const parts = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path = ""]) => path);
    expect(parts).toEqual(
      ["graphiql.css", "react.js", "react-dom.js", "graphiql.js"].map((name) => `/graphiql/${name}`),
    );
    for (const path of parts) {
      const part = await fetch(`${served.gateway.url}${path}`);
      expect([path, part.status, (await part.text()).length > 5_000]).toEqual([path, 200, true]);
    }
    expect((await fetch(`${served.gateway.url}/graphiql/package.json`)).status).toBe(404);
  });

  test("everything is served with the headers that keep browsers from guessing", async () => {
    for (const path of ["/", "/livez", "/graphql", "/nowhere"]) {
      const { headers } = await fetch(`${served.gateway.url}${path}`);
      expect([
        path,
        headers.get("x-content-type-options"),
        headers.get("x-frame-options"),
        headers.get("referrer-policy"),
      ]).toEqual([path, "nosniff", "DENY", "no-referrer"]);
      expect(headers.get("content-security-policy")).toContain("default-src 'none'");
      expect(headers.get("x-request-id")).toBeTruthy();
    }
  });

  test("other origins may not call from a browser unless they are allowed", async () => {
    const allowing = await serve(world, "in process", { allowedOrigins: ["https://app.example"] });
    const preflight = (origin: string) =>
      fetch(allowing.gateway.graphqlUrl, {
        method: "OPTIONS",
        headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization" },
      });
    expect((await preflight("https://app.example")).headers.get("access-control-allow-origin")).toBe(
      "https://app.example",
    );
    expect((await preflight(`https://${newId()}.example`)).headers.get("access-control-allow-origin")).toBeNull();
    await allowing.close();
  });
});

test("a client who leaves before all of its body is there is no failure of ours", async () => {
  const failed = vi.spyOn(logger, "error");
  const { hostname, port } = new URL(served.gateway.url);
  const body = JSON.stringify({ query: "{ __typename }", variables: { text: "x".repeat(3_900) } });
  const ask = async () => (await send(body, { ...JSON_TYPE, authorization: `Bearer ${token}` })).status;
  const socket = connect(Number(port), hostname);
  socket.write(
    `POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer ${token}\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(1)}`,
  );
  // Beside it there is no room for another as long: by that we see it being read, and let go.
  await eventually(async () => (await ask()) === 503);
  socket.destroy();
  await eventually(async () => (await ask()) === 200);
  expect(failed).not.toHaveBeenCalled();
  failed.mockRestore();
});

describe("a body that is long in coming", () => {
  test("is cut off, unless it is a file", async () => {
    const app = fastify();
    app.addHook("onRequest", (request, _reply, done) => {
      limitArrival(request, 20);
      done();
    });
    app.addContentTypeParser("*", (_request, _payload, parsed) => {
      parsed(null);
    });
    app.route({
      method: ["POST", "PUT"],
      url: "/",
      handler: async (request) => (await request.raw.toArray()).length,
    });
    const url = await app.listen({ port: 0, host: "127.0.0.1" });
    const begin = (method: string) => {
      const sent = request(url, { method, headers: { "content-type": "text/plain", "content-length": 2 } });
      sent.write("a");
      const answered = new Promise<number | string>((resolve) => {
        sent.on("response", (response) => resolve(response.resume().statusCode ?? 0));
        sent.on("error", (error) => resolve(error.message));
      });
      return { sent, answered };
    };
    const [post, file] = [begin("POST"), begin("PUT")];
    expect(await post.answered).toBe("socket hang up");
    file.sent.end("b");
    expect(await file.answered).toBe(200);
    await app.close();
  });
});

describe("a tenant's pages", () => {
  const page = (): string => `https://${newId()}.example`;
  const preflight = async (origin: string) => {
    const { headers } = await fetch(served.gateway.graphqlUrl, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization" },
    });
    return headers.get("access-control-allow-origin");
  };

  test("are let on by the preflight when any tenant allows them, and answered for that tenant alone", async () => {
    const [mine, theirs, origin] = [world.join(["run:read"]), world.join(["run:read"]), page()];
    expect(await preflight(origin)).toBeNull();
    world.setAllowedOrigins(mine, [origin]);
    await eventually(async () => expect(await preflight(origin)).toBe(origin));
    const answer = await post(served, await mine.token(), "{ whoAmI }", {}, { origin });
    expect(answer.body).toEqual({ data: { whoAmI: mine.principalId } });
    expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
    expect(answer.headers.get("vary")).toContain("Origin");
    const before = { ...world.asked };
    const refused = await post(served, await theirs.token(), `{ story(id: "x") { id } }`, {}, { origin });
    expect(refused.status).toBe(403);
    expect(JSON.stringify(refused.body)).toContain("ORIGIN_NOT_ALLOWED");
    expect(world.asked.stories).toBe(before.stories);
    // Nobody's tenant is known before signing in.
    expect((await post(served, undefined, `{ greeting(name: "you") }`, {}, { origin })).status).toBe(200);
    const route = await fetch(`${served.gateway.url}/mine`, {
      headers: { origin, authorization: `Bearer ${await theirs.token()}` },
    });
    expect(route.status).toBe(403);
  });

  test("open sockets for their tenant alone, which end when it does not allow them any more", async () => {
    const [mine, theirs, origin] = [world.join(["run:read"]), world.join(["run:read"]), page()];
    await expect(openTestSocket(served, undefined, { origin })).rejects.toThrow("403");
    world.setAllowedOrigins(mine, [origin]);
    await eventually(async () => expect(await preflight(origin)).toBe(origin));
    const stranger = await openTestSocket(served, undefined, { origin });
    stranger.send({ type: "connection_init", payload: { authorization: `Bearer ${await theirs.token()}` } });
    expect(await stranger.closed).toEqual({ code: 4401, reason: "Origin not allowed" });
    const authorization = `Bearer ${await mine.token()}`;
    const [socket, noBrowser] = [
      await openTestSocket(served, { authorization }, { origin }),
      await openTestSocket(served, { authorization }),
    ];
    const stream = socket.subscribe("subscription { ticks }");
    expect(await socket.subscribe("{ whoAmI }").next()).toEqual({ data: { whoAmI: mine.principalId } });
    world.setAllowedOrigins(mine, []);
    expect(await stream.next()).toMatchObject({
      errors: [{ extensions: { code: "FORBIDDEN", reason: "ORIGIN_NOT_ALLOWED" } }],
      final: true,
    });
    expect(await socket.closed).toEqual({ code: 4401, reason: "Origin not allowed" });
    expect(await noBrowser.subscribe("{ whoAmI }").next()).toEqual({ data: { whoAmI: mine.principalId } });
    await noBrowser.close();
  });

  test("are asked about once in a while", async () => {
    const [mine, origin] = [world.join(["run:read"]), page()];
    world.setAllowedOrigins(mine, [origin]);
    await eventually(async () => expect(await preflight(origin)).toBe(origin));
    const ask = async () => post(served, await mine.token(), `{ greeting(name: "you") }`, {}, { origin });
    // Whatever is heard of the change until then makes it ask once more.
    await eventually(async () => {
      await ask();
      const before = world.asked.identity;
      for (let i = 0; i < 3; i++) await ask();
      return world.asked.identity === before;
    });
  });
});

describe("what is no request", () => {
  const sent = async (text: string): Promise<{ readonly status: number; readonly body: unknown }> => {
    const { hostname, port } = new URL(served.gateway.url);
    const socket = connect(Number(port), hostname);
    socket.write(text);
    const answer = (await socket.toArray()).join("");
    const [head = "", body = ""] = answer.split("\r\n\r\n");
    expect(head.toLowerCase()).toContain("x-request-id: ");
    return { status: Number(head.split(" ")[1]), body: JSON.parse(body) };
  };
  const shown = { code: "BAD_USER_INPUT", reason: "INPUT_INVALID", retryable: false, requestId: expect.any(String) };
  const POST = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";

  test.each([
    ["a line that is not HTTP", "HELLO\r\n\r\n", 400],
    ["headers without an end", `GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${"a".repeat(20_000)}\r\n\r\n`, 431],
    ["chunks of no length", `${POST}Transfer-Encoding: chunked\r\n\r\nZZ\r\n`, 400],
    ["two lengths of one body", `${POST}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
    ["a path that cannot be read", "GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 400],
  ])("such as %s is refused as all else is, and the connection ends", async (_what, text, status) => {
    expect(await sent(text)).toEqual({
      status,
      body: { errors: [{ message: expect.any(String), extensions: shown }] },
    });
  });

  test("is not answered into an answer that has begun", async () => {
    const { hostname, port } = new URL(served.gateway.url);
    const socket = connect(Number(port), hostname);
    const query = encodeURIComponent("subscription { ticks }");
    socket.write(
      `GET /graphql/stream?query=${query} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    );
    const [begun] = (await once(socket, "data")) as [Buffer];
    expect(begun.toString()).toContain("HTTP/1.1 200 OK");
    socket.write("HELLO\r\n\r\n");
    expect((await socket.toArray()).join("")).not.toContain("HTTP/1.1");
  });
});

test("a gateway that closes does not wait for who has connected and says nothing", async () => {
  const closing = await serve(world, "in process");
  const { hostname, port } = new URL(closing.gateway.url);
  const silent = connect(Number(port), hostname);
  await once(silent, "connect");
  await fetch(`${closing.gateway.url}/livez`);
  const gone = once(silent, "close");
  silent.resume();
  await closing.close();
  await gone;
});
