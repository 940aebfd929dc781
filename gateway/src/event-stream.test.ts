import { newId } from "@sba/platform/ids";
import { useSecretKey } from "@sba/platform/secrets";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase } from "@sba/testkit/services";
import { createClient } from "graphql-sse";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Member } from "./identity.testing.ts";
import { heapMiB, serve, type Served } from "./testing.ts";
import { createWorld, tell, type World } from "./world.testing.ts";

/** `/graphql/stream`, by graphql-sse's own client, and as a reader who knows nothing but the format sees it. */

useDatabase();

let world: World;
let served: Served;
let member: Member;
beforeAll(async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  world = await createWorld();
  served = await serve(world, "in process", { fanOut: { windowMs: 0 } });
  member = world.join(["run:read", "run:start"]);
});
afterAll(() => served.close());
afterEach(() => eventually(() => expect(served.gateway.load()).toMatchObject({ eventStreams: 0, upstreams: 0 })));

const STORY = `subscription($id: ID!, $after: Cursor) { storyEvents(storyId: $id, after: $after) { seq ... on StoryTold { text } } }`;

interface Frame {
  readonly event: string | undefined;
  readonly id: string | undefined;
  readonly data: string | undefined;
}

/** Reads an answer as the format's specification says; comments come as frames without anything. */
class Reader {
  readonly response: Response;
  readonly #leaving: AbortController;
  #chunks: AsyncIterator<Uint8Array> | undefined;
  #text = "";

  constructor(response: Response, leaving: AbortController) {
    this.response = response;
    this.#leaving = leaving;
  }

  /** The next frame, or undefined at the end. */
  async frame(): Promise<Frame | undefined> {
    this.#chunks ??= (this.response.body as unknown as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end >= 0) {
        const lines = this.#text.slice(0, end).split("\n");
        this.#text = this.#text.slice(end + 2);
        const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        return { event: field("event"), id: field("id"), data: field("data") };
      }
      const { done, value } = await this.#chunks.next();
      if (done) return undefined;
      this.#text += Buffer.from(value).toString();
    }
  }

  /** The next frame that is no comment. */
  async event(): Promise<Frame | undefined> {
    for (;;) {
      const frame = await this.frame();
      if (!frame || frame.event !== undefined) return frame;
    }
  }

  leave(): void {
    this.#leaving.abort();
  }
}

interface Asking {
  readonly of?: Served;
  readonly method?: string;
  readonly token?: string | undefined;
  readonly headers?: Record<string, string>;
  readonly search?: Record<string, string>;
}

async function ask(query: string, variables: object = {}, options: Asking = {}): Promise<Reader> {
  const { of = served, method = "POST", headers = {}, search } = options;
  const token = "token" in options ? options.token : await member.token();
  const leaving = new AbortController();
  const url = new URL(of.gateway.sseUrl);
  for (const [name, value] of Object.entries(search ?? {})) url.searchParams.set(name, value);
  const response = await fetch(url, {
    method,
    signal: leaving.signal,
    headers: {
      accept: "text/event-stream",
      ...(method === "POST" ? { "content-type": "application/json" } : {}),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(method === "POST" ? { body: JSON.stringify({ query, variables }) } : {}),
  });
  return new Reader(response, leaving);
}

const dataOf = (frame: Frame | undefined): unknown => JSON.parse(frame?.data ?? "null");
const errorsOf = (frame: Frame | undefined) => (dataOf(frame) as { errors: { extensions: object }[] } | null)?.errors;

describe("graphql-sse's client", () => {
  const client = async () =>
    createClient({
      url: served.gateway.sseUrl,
      headers: { authorization: `Bearer ${await member.token()}` },
      retryAttempts: 0,
    });

  test("is given the events of a subscription until it completes", async () => {
    const storyId = newId();
    const events = (await client()).iterate({ query: STORY, variables: { id: storyId } });
    const first = events.next();
    await tell(member, storyId, ["once"], "the end");
    expect((await first).value).toEqual({ data: { storyEvents: { seq: 1, text: "once" } } });
    expect((await events.next()).value).toEqual({ data: { storyEvents: { seq: 2 } } });
    expect((await events.next()).done).toBe(true);
  });

  test("is given the result of a query and of a mutation", async () => {
    const storyId = newId();
    const results: unknown[] = [];
    for (const query of [`{ whoAmI }`, `mutation { tellStory(id: "${storyId}", lines: ["x"]) }`])
      for await (const result of (await client()).iterate({ query })) results.push(result);
    expect(results).toMatchObject([{ data: { whoAmI: member.principalId } }, { data: { tellStory: true } }]);
  });

  test.each([
    ["a syntax error", "subscription {", "GRAPHQL_PARSE_FAILED"],
    ["a document that is not valid", "subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"],
    ["a missing permission", `subscription { storyEvents(storyId: "a") { ... on StoryEnded { moral } } }`, "FORBIDDEN"],
    ["what is not there", `subscription { storyEvents(storyId: "absent") { seq } }`, "NOT_FOUND"],
    ["a variable that is missing", `subscription($id: ID!) { storyEvents(storyId: $id) { seq } }`, "BAD_USER_INPUT"],
  ])("is told of %s in the stream", async (_what, query, code) => {
    const results: unknown[] = [];
    for await (const result of (await client()).iterate({ query })) results.push(result);
    expect(results).toMatchObject([{ errors: [{ extensions: { code, requestId: expect.any(String) } }] }]);
  });
});

describe("an event stream", () => {
  test("carries each event's cursor as its id, and goes on after a Last-Event-ID", async () => {
    const storyId = newId();
    await tell(member, storyId, ["one", "two", "three"], "the end");
    const first = await ask(STORY, { id: storyId });
    expect(first.response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    await first.event();
    const second = await first.event();
    expect(second).toMatchObject({ event: "next", id: expect.stringMatching(/^[\w-]+$/) });
    first.leave();
    const resumed = await ask(STORY, { id: storyId, after: null }, { headers: { "last-event-id": second?.id ?? "" } });
    const rest = [await resumed.event(), await resumed.event(), await resumed.event(), await resumed.event()];
    expect(rest.map((frame) => frame?.event)).toEqual(["next", "next", "complete", undefined]);
    expect(rest.slice(0, 2).map(dataOf)).toMatchObject([
      { data: { storyEvents: { seq: 3, text: "three" } } },
      { data: { storyEvents: { seq: 4 } } },
    ]);
  });

  test("may be asked for by GET, which changes nothing", async () => {
    const storyId = newId();
    await tell(member, storyId, ["one"], "the end");
    const search = { query: STORY, variables: JSON.stringify({ id: storyId }) };
    const stream = await ask("", {}, { method: "GET", search });
    expect(dataOf(await stream.event())).toMatchObject({ data: { storyEvents: { seq: 1 } } });
    stream.leave();
    const mutation = `mutation { tellStory(id: "${storyId}", lines: ["x"]) }`;
    const refused = await ask("", {}, { method: "GET", search: { query: mutation } });
    const requestId = refused.response.headers.get("x-request-id");
    expect(errorsOf(await refused.event())).toMatchObject([{ extensions: { code: "BAD_USER_INPUT", requestId } }]);
    expect(await refused.event()).toMatchObject({ event: "complete" });
  });

  test("shares its source with sockets' subscriptions of the same words", async () => {
    const storyId = newId();
    const streams = [await ask(STORY, { id: storyId }), await ask(STORY, { id: storyId })];
    await eventually(() => expect(served.gateway.load()).toMatchObject({ eventStreams: 2, upstreams: 1 }));
    await tell(member, storyId, ["to all"]);
    for (const stream of streams)
      expect(dataOf(await stream.event())).toMatchObject({ data: { storyEvents: { seq: 1 } } });
    for (const stream of streams) stream.leave();
  });

  test("sends comments while nothing happens", async () => {
    const beating = await serve(world, "in process", { sockets: { keepAliveMs: 20 } });
    const stream = await ask(STORY, { id: newId() }, { of: beating });
    const frames = [await stream.frame(), await stream.frame(), await stream.frame()];
    expect(frames).toEqual(frames.map(() => ({ event: undefined, id: undefined, data: undefined })));
    stream.leave();
    await beating.close();
  });

  test("ends with an error when its token does, and when its owner is removed or loses what it shows", async () => {
    const storyId = newId();
    const [leaving, losing] = [world.join(["run:read"]), world.join(["run:read", "audit:read"])];
    const exp = Math.floor(Date.now() / 1000) + 2;
    const expiring = await ask(STORY, { id: storyId }, { token: await member.token({ exp }) });
    const removed = await ask(STORY, { id: storyId }, { token: await leaving.token() });
    const moral = `subscription { storyEvents(storyId: "${storyId}") { ... on StoryEnded { moral } } }`;
    const forbidden = await ask(moral, {}, { token: await losing.token() });
    await eventually(() => expect(served.gateway.load().eventStreams).toBe(3));
    world.setPermissions(leaving, undefined);
    world.setPermissions(losing, ["audit:read"]);
    for (const [stream, reason] of [
      [removed, "CREDENTIALS_INVALID"],
      [forbidden, "PERMISSION_MISSING"],
      [expiring, "CREDENTIALS_EXPIRED"],
    ] as const) {
      expect(errorsOf(await stream.event())).toMatchObject([{ extensions: { reason, requestId: expect.any(String) } }]);
      expect(await stream.event()).toMatchObject({ event: "complete" });
      expect(await stream.event()).toBeUndefined();
    }
  });

  test("of a gateway that drains ends without `complete`: there is more, elsewhere", async () => {
    const draining = await serve(world, "in process");
    const stream = await ask(STORY, { id: newId() }, { of: draining });
    await stream.frame();
    const closed = draining.close();
    expect(await stream.event()).toBeUndefined();
    await closed;
  });

  test.each([
    ["no credentials", { token: undefined }, 401],
    ["credentials that are not good", { token: "nobody" }, 401],
    ["an Accept of something else", { headers: { accept: "application/json" } }, 406],
    ["a body that a form could send", { headers: { "content-type": "text/plain" } }, 415],
    ["a body that is no JSON", { headers: { "content-type": "application/xml" } }, 415],
    ["an id that is no cursor", { headers: { "last-event-id": "no cursor!" } }, 400],
    ["too large a body", { headers: {}, large: true }, 413],
  ])("is refused for %s with a status and a typed error", async (_what, options, status) => {
    const large = "large" in options ? { x: "x".repeat(3 * 1024 * 1024) } : {};
    const { response } = await ask(STORY, { id: newId(), ...large }, options);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({
      errors: [{ message: expect.any(String), extensions: { code: expect.any(String) } }],
    });
  });

  test("says of a body what is wrong with it", async () => {
    const response = await fetch(served.gateway.sseUrl, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${await member.token()}` },
      body: "[1]",
    });
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { errors: [{ message: expect.stringMatching(/^The body: /) }] },
    ]);
  });

  test("takes no place when its reader has left before it began", async () => {
    const connections = { perTenant: 10, perPrincipal: 1, perAddress: 10 };
    const small = await serve(world, "in process", { limits: { connections } });
    const token = await world.join(["run:read"]).token();
    const [asked, known] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    world.beforeGrants = () => {
      asked.resolve();
      return known.promise;
    };
    const leaving = new AbortController();
    const headers = { accept: "text/event-stream", authorization: `Bearer ${token}` };
    const url = `${small.gateway.sseUrl}?query=${encodeURIComponent("subscription { ticks }")}`;
    const left = fetch(url, { headers, signal: leaving.signal }).catch(() => "left");
    await asked.promise;
    leaving.abort();
    expect(await left).toBe("left");
    // What comes after its end on the wire is answered when its end was seen.
    await fetch(`${small.gateway.url}/livez`);
    known.resolve();
    world.beforeGrants = () => Promise.resolve();
    const stream = await ask(STORY, { id: newId() }, { of: small, token });
    expect(stream.response.status).toBe(200);
    stream.leave();
    await small.close();
  });

  test("beyond what one principal may have is refused with 429 and when to come back", async () => {
    const connections = { perTenant: 10, perPrincipal: 1, perAddress: 10 };
    const small = await serve(world, "in process", { limits: { connections } });
    const first = await ask(STORY, { id: newId() }, { of: small });
    await first.frame();
    const { response } = await ask(STORY, { id: newId() }, { of: small });
    expect(response.status).toBe(429);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await response.json()).toMatchObject({ errors: [{ extensions: { reason: "CONNECTIONS_TOO_MANY" } }] });
    first.leave();
    await eventually(() => expect(small.gateway.load().eventStreams).toBe(0));
    const again = await ask(STORY, { id: newId() }, { of: small });
    expect(again.response.status).toBe(200);
    again.leave();
    await small.close();
  });
});

test("a stream keeps nothing of a variable that its document does not declare", async () => {
  const storyId = newId();
  await tell(member, storyId, ["one"]);
  // One for all: the client's fetch keeps what it sends.
  const body = JSON.stringify({ query: STORY, variables: { id: storyId, pad: "x".repeat(2 ** 20) } });
  const headers = { "content-type": "application/json", authorization: `Bearer ${await member.token()}` };
  const readers: Reader[] = [];
  const open = async (): Promise<void> => {
    const leaving = new AbortController();
    const response = await fetch(served.gateway.sseUrl, { method: "POST", headers, body, signal: leaving.signal });
    const reader = new Reader(response, leaving);
    readers.push(reader);
    expect(dataOf(await reader.event())).toMatchObject({ data: { storyEvents: { seq: 1 } } });
  };
  await open();
  const before = heapMiB();
  for (let count = 0; count < 12; count++) await open();
  const grown = heapMiB() - before;
  for (const reader of readers) reader.leave();
  expect(grown).toBeLessThan(8);
}, 60_000);
