import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { newId } from "@sba/platform/ids";
import { useSecretKey } from "@sba/platform/secrets";
import { useDatabase } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import type { Member } from "./identity.testing.ts";
import { openTestSocket, serve, type Served } from "./testing.ts";
import { createWorld, tell, type World } from "./world.testing.ts";

/** graphql-transport-ws as its specification has it, and what our sockets add. */

useDatabase();

let world: World;
let served: Served;
let member: Member;
beforeAll(async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  world = await createWorld();
  served = await serve(world, "in process");
  member = world.join(["run:read"]);
});
afterAll(() => served.close());

const credentials = async () => ({ authorization: `Bearer ${await member.token()}` });
const openReady = async () => openTestSocket(served, await credentials());
const QUERY = { id: "q", type: "subscribe", payload: { query: "{ whoAmI }" } };

describe("connection_init", () => {
  test("is acknowledged with the time until which the credentials hold", async () => {
    const exp = Math.floor(Date.now() / 1000) + 300;
    const socket = await openTestSocket(served);
    socket.send({ type: "connection_init", payload: { authorization: `Bearer ${await member.token({ exp })}` } });
    expect(await socket.message("connection_ack")).toEqual({
      type: "connection_ack",
      payload: { authorization: { expiresAt: new Date(exp * 1000).toISOString() } },
    });
    await socket.close();
  });

  test("takes an API key, which has no end", async () => {
    const robot = world.join(["run:read"], { apiKey: true });
    const socket = await openTestSocket(served);
    socket.send({ type: "connection_init", payload: { authorization: `Bearer ${robot.apiKey}` } });
    expect(await socket.message("connection_ack")).toEqual({
      type: "connection_ack",
      payload: { authorization: { expiresAt: null } },
    });
    expect(await socket.subscribe("{ whoAmI }").next()).toEqual({ data: { whoAmI: robot.principalId } });
    await socket.close();
  });

  test.each([
    ["without credentials", {}],
    ["without a payload", undefined],
    ["with credentials of another form", { authorization: "Basic abc" }],
    ["with a token that nobody signed", { authorization: "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0." }],
    ["with an unknown API key", { authorization: "Bearer sba_unknown" }],
    ["with credentials that are no text", { authorization: { token: 1 } }],
  ])("%s closes with 4401, and what follows it is not run", async (_what, payload) => {
    const socket = await openTestSocket(served);
    socket.send({ type: "connection_init", ...(payload === undefined ? {} : { payload }) });
    socket.send(QUERY);
    expect(await socket.closed).toMatchObject({ code: 4401 });
  });

  test("sent twice closes with 4429, even while the first is under way", async () => {
    const socket = await openTestSocket(served);
    const init = { type: "connection_init", payload: await credentials() };
    socket.send(init);
    socket.send(init);
    expect(await socket.closed).toMatchObject({ code: 4429 });
  });

  test("that does not come closes with 4408", async () => {
    // A server of its own: on a slow machine good credentials may take longer to check than this server waits.
    const impatient = await serve(world, "in process", { sockets: { initTimeoutMs: 100 } });
    expect(await (await openTestSocket(impatient)).closed).toMatchObject({ code: 4408 });
    await impatient.close();
  });

  test("must come before an operation, or it closes with 4401", async () => {
    const socket = await openTestSocket(served);
    socket.send(QUERY);
    expect(await socket.closed).toMatchObject({ code: 4401 });
  });
});

const nested = (levels: number) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;

describe("a message", () => {
  test.each([
    ["that is not JSON", "{{{"],
    ["that is a list", "[]"],
    ["that is null", "null"],
    ["of an unknown type", { type: "nuke" }],
    ["without a type", { id: "1" }],
    ["subscribing without an id", { type: "subscribe", payload: { query: "{ whoAmI }" } }],
    ["subscribing with an empty id", { id: "", type: "subscribe", payload: { query: "{ whoAmI }" } }],
    ["subscribing without a query", { id: "1", type: "subscribe", payload: {} }],
    [
      "subscribing with variables that are no object",
      { id: "1", type: "subscribe", payload: { query: "{ whoAmI }", variables: "x" } },
    ],
    ["completing nothing", { type: "complete" }],
    ["pinging with what nests too deep to be sent back", `{"type":"ping","payload":${nested(20_000)}}`],
  ])("%s closes with 4400", async (_what, message) => {
    const socket = await openReady();
    socket.send(message);
    expect(await socket.closed).toMatchObject({ code: 4400 });
  });

  test("larger than the limit closes with 1009, and the gateway goes on", async () => {
    const socket = await openReady();
    socket.send("x".repeat(2 * 1024 * 1024 + 1));
    expect(await socket.closed).toMatchObject({ code: 1009 });
    await (await openReady()).close();
  });

  test("that is a ping is answered, before and after the connection is acknowledged, with its payload", async () => {
    const socket = await openTestSocket(served);
    socket.send({ type: "ping" });
    expect(await socket.message("pong")).toEqual({ type: "pong" });
    socket.send({ type: "connection_init", payload: await credentials() });
    await socket.message("connection_ack");
    socket.send({ type: "ping", payload: { come: "back" } });
    expect(await socket.message("pong")).toEqual({ type: "pong", payload: { come: "back" } });
    await socket.close();
  });
});

describe("an operation", () => {
  test("with the id of one that is active closes with 4409", async () => {
    const socket = await openReady();
    const subscribe = {
      id: "same",
      type: "subscribe",
      payload: { query: `subscription { storyEvents(storyId: "${newId()}") { seq } }` },
    };
    socket.send(subscribe);
    socket.send(subscribe);
    expect(await socket.closed).toMatchObject({ code: 4409 });
  });

  test("may take the id of one that was completed", async () => {
    const socket = await openReady();
    socket.send({
      id: "again",
      type: "subscribe",
      payload: { query: `subscription { storyEvents(storyId: "${newId()}") { seq } }` },
    });
    socket.send({ id: "again", type: "complete" });
    socket.send({ ...QUERY, id: "again" });
    expect(await socket.message("next")).toMatchObject({
      id: "again",
      payload: { data: { whoAmI: member.principalId } },
    });
    await socket.close();
  });

  test("that is unknown may be completed", async () => {
    const socket = await openReady();
    socket.send({ id: "unknown", type: "complete" });
    expect(await socket.subscribe("{ whoAmI }").next()).toEqual({ data: { whoAmI: member.principalId } });
    await socket.close();
  });
});

test("a socket without our sub-protocol is closed with 4406", async () => {
  const socket = new WebSocket(served.gateway.subscriptionsUrl);
  expect(await once(socket, "close").then(([code]) => Number(code))).toBe(4406);
});

test.each([
  ["on another path", "/elsewhere", {}, 404, "ROUTE_NOT_FOUND"],
  ["from a page of somebody else's", "/graphql", { origin: "https://evil.example" }, 403, "ORIGIN_NOT_ALLOWED"],
])("an upgrade %s is refused as any request is, under its id", async (_what, path, headers, status, reason) => {
  const url = new URL(path, served.gateway.url.replace("http", "ws"));
  const socket = new WebSocket(url, "graphql-transport-ws", { headers: { ...headers, "x-request-id": "upgrade-1" } });
  const [, response] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
  expect([response.statusCode, response.headers["x-request-id"]]).toEqual([status, "upgrade-1"]);
  expect(JSON.parse(Buffer.concat(await response.toArray()).toString())).toMatchObject({
    errors: [{ extensions: { reason, requestId: "upgrade-1" } }],
  });
});

test("a draining gateway closes its sockets with 1012 and ends its streams", async () => {
  const ownWorld = await createWorld();
  const draining = await serve(ownWorld, "in process");
  const socket = await openTestSocket(draining, {
    authorization: `Bearer ${await ownWorld.join(["run:read"]).token()}`,
  });
  socket.subscribe(`subscription { storyEvents(storyId: "${newId()}") { seq } }`);
  await socket.subscribe("{ whoAmI }").next();
  await draining.close();
  expect(await socket.closed).toMatchObject({ code: 1012 });
  expect(ownWorld.sources).toEqual({ open: 0, opened: 1 });
});

test("a peer that does not answer pings is let go", async () => {
  const impatient = await serve(world, "in process", { sockets: { keepAliveMs: 50 } });
  const socket = await openTestSocket(impatient, await credentials());
  // A peer that is gone without a word: it reads nothing any more.
  socket.socket.pause();
  await expect.poll(() => impatient.gateway.load().sockets).toBe(0);
  socket.socket.terminate();
  await impatient.close();
});

describe("beyond what may be held", () => {
  const plenty = { perTenant: 100, perPrincipal: 100, perAddress: 100 };
  const closedTooMany = { code: 1013, reason: expect.stringMatching(/^RATE_LIMITED retryAfterMs=[1-9]\d{3}$/) };
  const openAs = async (on: Served, one: Member) => {
    const socket = await openTestSocket(on);
    socket.send({ type: "connection_init", payload: { authorization: `Bearer ${await one.token()}` } });
    return socket;
  };

  test.each([
    ["an address", { ...plenty, perAddress: 1 }, false, false],
    ["a principal", { ...plenty, perPrincipal: 1 }, true, true],
    ["a tenant", { ...plenty, perTenant: 1 }, true, false],
  ])("of %s, a socket is closed with 1013 and when to come back, and let in when there is room", async (...given) => {
    const [_of, connections, sameTenant, samePrincipal] = given;
    const small = await serve(world, "in process", { limits: { connections } });
    const second = samePrincipal ? member : world.join(["run:read"], sameTenant ? { tenantId: member.tenantId } : {});
    const first = await openAs(small, member);
    await first.message("connection_ack");
    expect(await (await openAs(small, second)).closed).toMatchObject(closedTooMany);
    await first.close();
    await expect.poll(() => small.gateway.load().sockets).toBe(0);
    const again = await openAs(small, second);
    expect(await again.message("connection_ack")).toMatchObject({ type: "connection_ack" });
    await again.close();
    await small.close();
  });

  test("of an address, those count who stand behind a trusted proxy, and of any other the proxy", async () => {
    const limits = { connections: { ...plenty, perAddress: 1 } };
    const trusting = await serve(world, "in process", { limits, trustedProxies: ["127.0.0.1"] });
    const doubting = await serve(world, "in process", { limits });
    const from = async (on: Served, address: string) =>
      openTestSocket(on, await credentials(), { "x-forwarded-for": address });
    const first = await from(trusting, "203.0.113.1");
    const other = await from(trusting, "203.0.113.2");
    await expect(from(trusting, "203.0.113.1")).rejects.toThrow("closed with 1013");
    const doubted = await from(doubting, "203.0.113.1");
    await expect(from(doubting, "203.0.113.2")).rejects.toThrow("closed with 1013");
    await Promise.all([first.close(), other.close(), doubted.close()]);
    await Promise.all([trusting.close(), doubting.close()]);
  });

  test("a subscription ends with a typed error, and there is room again when another has completed", async () => {
    const small = await serve(world, "in process", { limits: { subscriptions: { ...plenty, perPrincipal: 1 } } });
    const socket = await openTestSocket(small, await credentials());
    const query = `subscription { storyEvents(storyId: "${newId()}") { seq } }`;
    const first = socket.subscribe(query);
    expect(await socket.subscribe(query).next()).toMatchObject({
      final: true,
      errors: [
        { extensions: { code: "RATE_LIMITED", reason: "SUBSCRIPTIONS_TOO_MANY", retryAfterMs: expect.any(Number) } },
      ],
    });
    first.complete();
    const storyId = newId();
    await tell(member, storyId, ["one"]);
    const again = socket.subscribe(`subscription { storyEvents(storyId: "${storyId}") { seq } }`);
    expect(await again.next()).toEqual({ data: { storyEvents: { seq: 1 } } });
    await socket.close();
    await small.close();
  });
});

test("a client that takes permessage-deflate is given large events compressed, and reads them as any other", async () => {
  const socket = new WebSocket(served.gateway.subscriptionsUrl, "graphql-transport-ws", { perMessageDeflate: true });
  await once(socket, "open");
  expect(socket.extensions).toContain("permessage-deflate");
  const [storyId, text] = [newId(), "a long line ".repeat(2_000)];
  await tell(member, storyId, [text, "short"], "the end");
  const messages: unknown[] = [];
  socket.on("message", (data: Buffer) => messages.push(JSON.parse(data.toString())));
  socket.send(JSON.stringify({ type: "connection_init", payload: await credentials() }));
  await expect.poll(() => messages.length).toBe(1);
  const query = `subscription { storyEvents(storyId: "${storyId}") { ... on StoryTold { text } } }`;
  socket.send(JSON.stringify({ id: "a", type: "subscribe", payload: { query } }));
  await expect.poll(() => messages.length).toBe(5);
  expect(messages.slice(1)).toEqual([
    { id: "a", type: "next", payload: { data: { storyEvents: { text } } } },
    { id: "a", type: "next", payload: { data: { storyEvents: { text: "short" } } } },
    { id: "a", type: "next", payload: { data: { storyEvents: {} } } },
    { id: "a", type: "complete" },
  ]);
  const transport = (socket as unknown as { _socket: { bytesRead: number } })._socket;
  expect(transport.bytesRead).toBeLessThan(text.length / 4);
  socket.terminate();
});
