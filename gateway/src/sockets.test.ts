import { useSecretKey } from "@sba/platform/secrets";
import { newId } from "@sba/platform/ids";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "./limits.ts";
import { heapMiB, openTestSocket, serve, type Deployment, type Served } from "./testing.ts";
import { createWorld, tell, tick, type World } from "./world.testing.ts";

useDatabase();

const STORY = `subscription($id: ID!, $after: Cursor) {
  storyEvents(storyId: $id, after: $after) { __typename seq cursor ... on StoryTold { text } ... on StoryEnded { story { id price tenant { name } } } }
}`;

describe.each<Deployment>(["in process", "over HTTP"])("a gateway's sockets, with its subgraphs %s", (deployment) => {
  let world: World;
  let served: Served;
  beforeAll(async () => {
    useSecretKey("a-secret-key-that-only-tests-know");
    world = await createWorld();
    served = await serve(world, deployment);
  });
  afterAll(() => served.close());
  const open = async (authorization: string) => openTestSocket(served, { authorization });

  test("streams events, joined with what other subgraphs know, and completes after the last", async () => {
    const member = world.join(["run:read"]);
    const [storyId, socket] = [newId(), await open(`Bearer ${await member.token()}`)];
    await tell(member, storyId, ["once"]);
    const events = socket.subscribe(STORY, { id: storyId });
    expect(await events.next()).toMatchObject({
      data: { storyEvents: { __typename: "StoryTold", seq: 1, text: "once" } },
    });
    await tell(member, storyId, ["upon"], "the end");
    expect(await events.next()).toMatchObject({ data: { storyEvents: { seq: 2, text: "upon" } } });
    expect(await events.next()).toMatchObject({
      data: {
        storyEvents: {
          __typename: "StoryEnded",
          seq: 3,
          story: { id: storyId, price: storyId.length, tenant: { name: `tenant ${member.tenantId}` } },
        },
      },
    });
    expect(await events.next()).toBe("complete");
    await socket.close();
  });

  test("goes on after a cursor, without a gap or a repeat", async () => {
    const member = world.join(["run:read"]);
    const [storyId, socket] = [newId(), await open(`Bearer ${await member.token()}`)];
    await tell(member, storyId, ["one", "two", "three"]);
    const first = socket.subscribe(STORY, { id: storyId });
    await first.next();
    const { data } = (await first.next()) as { data: { storyEvents: { cursor: string } } };
    first.complete();
    const second = socket.subscribe(STORY, { id: storyId, after: data.storyEvents.cursor });
    expect(await second.next()).toMatchObject({ data: { storyEvents: { seq: 3, text: "three" } } });
    await socket.close();
  });

  test("shows nothing of the cursor to who did not ask for it", async () => {
    const member = world.join(["run:read"]);
    const [storyId, socket] = [newId(), await open(`Bearer ${await member.token()}`)];
    await tell(member, storyId, ["one"]);
    const events = socket.subscribe(
      `subscription { renamed: storyEvents(storyId: "${storyId}", after: null) { seq } }`,
    );
    expect(await events.next()).toEqual({ data: { renamed: { seq: 1 } } });
    await socket.close();
  });

  test("opens one source for identical subscriptions of one principal, and closes it with the last of them", async () => {
    const member = world.join(["run:read"]);
    const storyId = newId();
    const authorization = `Bearer ${await member.token()}`;
    const sockets = await Promise.all(Array.from({ length: 5 }, () => open(authorization)));
    const { opened } = world.sources;
    const streams = sockets.map((socket) => socket.subscribe(STORY, { id: storyId }));
    await eventually(() => world.sources.opened > opened);
    await tell(member, storyId, ["to all"]);
    for (const events of streams)
      expect(await events.next()).toMatchObject({ data: { storyEvents: { text: "to all" } } });
    expect(world.sources.opened - opened).toBe(1);
    const openBefore = world.sources.open;
    for (const events of streams.slice(1)) events.complete();
    await tell(member, storyId, ["to one"]);
    expect(await streams[0]!.next()).toMatchObject({ data: { storyEvents: { text: "to one" } } });
    expect(world.sources.open).toBe(openBefore);
    await Promise.all(sockets.map((socket) => socket.close()));
    await eventually(() => world.sources.open === openBefore - 1);
  });

  test("refuses more operations at once than a socket may have, and takes the next when one is over", async () => {
    const member = world.join(["run:read"]);
    const [storyId, socket] = [newId(), await open(`Bearer ${await member.token()}`)];
    await tell(member, storyId, ["one"]);
    const streams = Array.from({ length: DEFAULT_LIMITS.maxSocketOperations }, () =>
      socket.subscribe(STORY, { id: storyId }),
    );
    for (const stream of streams) expect(await stream.next()).toMatchObject({ data: { storyEvents: { seq: 1 } } });
    expect(await socket.subscribe(STORY, { id: storyId }).next()).toMatchObject({
      errors: [
        {
          extensions: {
            code: "RATE_LIMITED",
            reason: "SOCKET_TOO_MANY_OPERATIONS",
            retryable: true,
            retryAfterMs: expect.any(Number),
          },
        },
      ],
    });
    streams[0]!.complete();
    await eventually(async () => {
      const step = await socket.subscribe(STORY, { id: storyId }).next();
      return typeof step === "object" && "data" in step;
    });
    await socket.close();
  });

  test("does not share between principals", async () => {
    const one = world.join(["run:read"]);
    const other = world.join(["run:read"], { tenantId: one.tenantId });
    const storyId = newId();
    const { opened } = world.sources;
    const sockets = [await open(`Bearer ${await one.token()}`), await open(`Bearer ${await other.token()}`)];
    await tell(one, storyId, ["to both"]);
    for (const socket of sockets)
      expect(await socket.subscribe(STORY, { id: storyId }).next()).toMatchObject({
        data: { storyEvents: { text: "to both" } },
      });
    expect(world.sources.opened - opened).toBe(2);
    await Promise.all(sockets.map((socket) => socket.close()));
  });

  test("carries queries and mutations as HTTP would", async () => {
    const member = world.join(["run:read", "run:start"]);
    const [storyId, socket] = [newId(), await open(`Bearer ${await member.token()}`)];
    const query = socket.subscribe(`{ story(id: "priceless") { id price } }`);
    expect(await query.next()).toMatchObject({
      data: { story: { id: "priceless", price: null } },
      errors: [{ path: ["story", "price"], extensions: { reason: "PRICE_UNKNOWN", requestId: expect.any(String) } }],
    });
    expect(await query.next()).toBe("complete");
    const mutation = socket.subscribe(`mutation { tellStory(id: "${storyId}", lines: ["x"]) }`);
    expect(await mutation.next()).toEqual({ data: { tellStory: true } });
    await socket.close();
  });

  test.each([
    ["a syntax error", `subscription {`, { code: "GRAPHQL_PARSE_FAILED" }],
    ["a document that is not valid", `subscription { nothing }`, { code: "GRAPHQL_VALIDATION_FAILED" }],
    [
      "a variable of the wrong type",
      `subscription($id: ID!) { storyEvents(storyId: $id) { seq } }`,
      { code: "BAD_USER_INPUT", reason: "INPUT_INVALID" },
    ],
    [
      "input that the subgraph refuses",
      `subscription { storyEvents(storyId: "${"x".repeat(65)}") { seq } }`,
      { code: "BAD_USER_INPUT", reason: "INPUT_INVALID" },
    ],
    [
      "a cursor of another stream",
      `subscription { storyEvents(storyId: "a", after: "bm90IGEgY3Vyc29y") { seq } }`,
      { code: "BAD_USER_INPUT", reason: "CURSOR_INVALID" },
    ],
    [
      "something that is not there",
      `subscription { storyEvents(storyId: "absent") { seq } }`,
      { code: "NOT_FOUND", reason: "STORY_NOT_FOUND" },
    ],
    [
      "a missing permission",
      `subscription { storyEvents(storyId: "a") { ... on StoryEnded { moral } } }`,
      { code: "FORBIDDEN", reason: "PERMISSION_MISSING" },
    ],
    [
      "too many levels",
      `{ a: story(id: "1") ${"{ tenant ".repeat(20)} { id } ${"}".repeat(20)} }`,
      { code: "BAD_USER_INPUT", reason: "OPERATION_TOO_DEEP" },
    ],
    [
      "a name that the document has not",
      `query A { whoAmI } query B { whoAmI }`,
      { code: "BAD_USER_INPUT", reason: "OPERATION_UNKNOWN" },
    ],
  ])("answers %s with an error message, and its other operations go on", async (_what, query, expected) => {
    const member = world.join(["run:read"]);
    const [storyId, socket] = [newId(), await open(`Bearer ${await member.token()}`)];
    const other = socket.subscribe(STORY, { id: storyId });
    await tell(member, storyId, ["before"]);
    await other.next();
    const refused = await socket.subscribe(query).next();
    expect(refused).toMatchObject({
      errors: [{ extensions: { retryable: false, requestId: expect.any(String), ...expected } }],
      final: true,
    });
    await tell(member, storyId, ["after"]);
    expect(await other.next()).toMatchObject({ data: { storyEvents: { text: "after" } } });
    await socket.close();
  });

  test("masks what goes wrong while an event is joined, and goes on with the next", async () => {
    const member = world.join(["run:read"]);
    const [storyId, socket] = [newId(), await open(`Bearer ${await member.token()}`)];
    world.broken = true;
    await tell(member, storyId, [], "the end");
    const events = socket.subscribe(STORY, { id: storyId });
    const event = await events.next();
    world.broken = false;
    expect(event).toMatchObject({
      data: { storyEvents: { __typename: "StoryEnded", story: { id: storyId, price: null } } },
      errors: [
        {
          message: "Something went wrong on our side.",
          path: ["storyEvents", "story", "price"],
          extensions: { code: "INTERNAL_SERVER_ERROR" },
        },
      ],
    });
    expect(await events.next()).toBe("complete");
    await socket.close();
  });

  test("ends a stream whose permission is taken away, and no other", async () => {
    const member = world.join(["run:read", "audit:read"]);
    const [storyId, socket] = [newId(), await open(`Bearer ${await member.token()}`)];
    await tell(member, storyId, ["one"]);
    const forbidden = socket.subscribe(STORY, { id: storyId });
    const allowed = socket.subscribe(`query { whoAmI }`);
    await Promise.all([allowed.next(), forbidden.next()]);
    world.setPermissions(member, ["audit:read"]);
    expect(await forbidden.next()).toMatchObject({
      final: true,
      errors: [{ message: "The permission run:read is missing.", extensions: { code: "FORBIDDEN" } }],
    });
    expect(await socket.subscribe(`query { whoAmI }`).next()).toEqual({ data: { whoAmI: member.principalId } });
    await socket.close();
  });

  test("closes the socket of who is removed with 4401", async () => {
    const member = world.join(["run:read"]);
    const socket = await open(`Bearer ${await member.token()}`);
    world.setPermissions(member, undefined);
    expect(await socket.closed).toMatchObject({ code: 4401 });
  });

  test("closes with 4401 when the token ends, in the middle of a stream", async () => {
    const member = world.join(["run:read"]);
    const storyId = newId();
    const before = world.sources.open;
    const socket = await open(`Bearer ${await member.token({ exp: Math.floor(Date.now() / 1000) + 2 })}`);
    await tell(member, storyId, ["one"]);
    await socket.subscribe(STORY, { id: storyId }).next();
    expect(await socket.closed).toEqual({ code: 4401, reason: "Credentials expired" });
    await eventually(() => world.sources.open === before);
  });

  test("takes new credentials in a ping, and says until when they hold", async () => {
    const member = world.join(["run:read"]);
    const soon = Math.floor(Date.now() / 1000) + 3;
    const socket = await open(`Bearer ${await member.token({ exp: soon })}`);
    const later = soon + 600;
    socket.send({ type: "ping", payload: { authorization: `Bearer ${await member.token({ exp: later })}` } });
    expect(await socket.message("pong")).toEqual({
      type: "pong",
      payload: { authorization: { expiresAt: new Date(later * 1000).toISOString() } },
    });
    await eventually(() => Date.now() > soon * 1000 + 100);
    expect(await socket.subscribe(`{ whoAmI }`).next()).toEqual({ data: { whoAmI: member.principalId } });
    await socket.close();
  });

  test("closes with 4401 when a ping brings someone else's credentials", async () => {
    const [member, other] = [world.join(["run:read"]), world.join(["run:read"])];
    const socket = await open(`Bearer ${await member.token()}`);
    socket.send({ type: "ping", payload: { authorization: `Bearer ${await other.token()}` } });
    expect(await socket.closed).toMatchObject({ code: 4401 });
  });

  test("tells a stream without cursors to each who listens now, and ends its source with them", async () => {
    const member = world.join(["run:read"]);
    const socket = await open(`Bearer ${await member.token()}`);
    const before = world.sources.open;
    const events = socket.subscribe(`subscription { ticks }`);
    await eventually(() => world.sources.open === before + 1);
    const heard = events.next();
    await eventually(async () => {
      tick(7);
      return Promise.race([
        heard.then(() => true),
        new Promise((resolve) => {
          setImmediate(resolve, false);
        }),
      ]);
    });
    expect(await heard).toEqual({ data: { ticks: 7 } });
    events.complete();
    await eventually(() => world.sources.open === before);
    await socket.close();
  });

  test("keeps of a stream's variables those that it declares", async () => {
    const member = world.join(["run:read"]);
    const [storyId, socket] = [newId(), await open(`Bearer ${await member.token()}`)];
    await tell(member, storyId, ["one"]);
    const pad = "x".repeat(2 ** 20);
    const before = heapMiB();
    const streams = Array.from({ length: 12 }, () => socket.subscribe(STORY, { id: storyId, pad }));
    for (const stream of streams) expect(await stream.next()).toMatchObject({ data: { storyEvents: { text: "one" } } });
    expect(heapMiB() - before).toBeLessThan(8);
    await socket.close();
  }, 60_000);
});
