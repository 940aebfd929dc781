import { eventually } from "@sba/testkit/eventually";
import { GraphQLError } from "graphql";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createClient, type Client, type ClientOptions } from "./client.ts";
import type { ConnectionState } from "./connection.ts";
import { RunEventsDocument } from "./generated/graphql.ts";
import { collect, event, failureOf, startApi, STORY, type Api } from "./testing.ts";
import type { Surroundings } from "./wake.ts";

/** Streams that survive their connections, on networks of every kind. */

let api: Api;
const clients: Client[] = [];
beforeEach(async () => {
  api = await startApi();
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  await api.close();
});

function open(options: Partial<ClientOptions> = {}): Client {
  const client = createClient({ url: api.url, token: "a-token", pollEveryMs: 5, firstPauseMs: 5, ...options });
  clients.push(client);
  return client;
}
const seqs = (events: readonly { readonly story: { readonly seq: number } }[]) => events.map(({ story }) => story.seq);
const never = () => new Promise<never>(() => undefined);
const from = (after: unknown) => Number(typeof after === "string" ? after.slice(1) : 0) + 1;

/** A machine that wakes and goes offline when the test says so. */
function machine() {
  const listeners = new Set<() => void>();
  let isOnline = true;
  const surroundings: Surroundings = {
    isOnline: () => isOnline,
    onWake: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  return {
    surroundings,
    goOffline: () => {
      isOnline = false;
    },
    wake: () => {
      isOnline = true;
      for (const listener of listeners) listener();
    },
  };
}

/** Keeps what the connection was in, from now on. */
function watch(client: Client): ConnectionState[] {
  const states: ConnectionState[] = [];
  client.connection.subscribe(() => states.push(client.connection.get()));
  return states;
}

describe("where no WebSocket gets through", () => {
  test("server-sent events are listened to, and resumed after the last cursor", async () => {
    api.letsSocketsThrough = false;
    api.stream = async function* ({ after }) {
      for (let seq = from(after); seq <= 4; seq++) {
        yield event(seq);
        if (seq === 2) {
          await new Promise(setImmediate);
          for (const response of api.responses) response.destroy();
          await never();
        }
      }
    };
    const client = open();
    const states = watch(client);
    expect(seqs(await collect(client.subscribe(STORY, { id: "a" })))).toEqual([1, 2, 3, 4]);
    expect(api.listened).toMatchObject([
      { variables: { id: "a" }, lastEventId: undefined },
      { variables: { id: "a", after: "c2" }, lastEventId: "c2" },
    ]);
    expect(states.some(({ status, transport }) => status === "connected" && transport === "sse")).toBe(true);
  });

  test("a stream moves back to the WebSocket when it is let through again, and loses nothing", async () => {
    api.letsSocketsThrough = false;
    const sent = Promise.withResolvers<void>();
    api.stream = async function* ({ after }) {
      for (let seq = from(after); seq <= 3; seq++) {
        yield event(seq);
        if (seq === 2 && api.subscribed.length === 0) {
          sent.resolve();
          await never();
        }
      }
    };
    const client = open({ climbAfterMs: 5 });
    const states = watch(client);
    const events = collect(client.subscribe(STORY, { id: "a" }));
    await sent.promise;
    api.letsSocketsThrough = true;
    expect(seqs(await events)).toEqual([1, 2, 3]);
    expect(api.subscribed).toEqual([{ id: "a", after: "c2" }]);
    expect(states.at(-2)).toMatchObject({ status: "connected", transport: "websocket" });
  });

  test("nor server-sent events, a run's events are asked for again and again, each once, until its last", async () => {
    api.letsSocketsThrough = false;
    api.sendsEvents = false;
    const asked: unknown[] = [];
    api.answer = ({ body }, response) => {
      asked.push(body.variables);
      expect(body.query).toContain("log: runEventLog(runId: $runId, after: $after)");
      const start = from((body.variables as { after?: string }).after);
      const edges = [start, start + 1].map((seq) => ({
        node: { __typename: seq === 4 ? "RunFinished" : "TokenDelta", cursor: `c${seq}`, seq },
      }));
      const pageInfo = { endCursor: `c${start + 1}`, hasNextPage: start === 1 };
      response.end(JSON.stringify({ data: { log: { edges, pageInfo } } }));
    };
    const events = await collect(open().subscribe(RunEventsDocument, { runId: "r" }));
    expect(events.map(({ runEvents }) => runEvents.seq)).toEqual([1, 2, 3, 4]);
    expect(asked).toEqual([
      { runId: "r", after: null },
      { runId: "r", after: "c2" },
    ]);
  });

  test("a stream that nothing lists is not polled", async () => {
    api.letsSocketsThrough = false;
    api.sendsEvents = false;
    let asked = 0;
    api.answer = (_request, response) => {
      asked++;
      response.end("{}");
    };
    const failure = await failureOf(collect(open().subscribe(STORY, { id: "a" }, { maxAttempts: 5 })));
    expect(failure).toMatchObject({ name: "NetworkError" });
    expect(asked).toBe(0);
  });
});

describe("an event", () => {
  test("is given once, though the API repeats it", async () => {
    api.stream = async function* () {
      yield* [event(1), event(2), event(2), event(1), event(3)];
      await Promise.resolve();
    };
    expect(seqs(await collect(open().subscribe(STORY, { id: "a" })))).toEqual([1, 2, 3]);
  });

  test("of which a part failed is given with what is left, and the stream goes on", async () => {
    api.stream = async function* () {
      const extensions = { code: "UNAVAILABLE" };
      const errors = [new GraphQLError("Billing is away.", { path: ["story", "cost"], extensions })];
      yield { ...event(1), errors };
      yield await Promise.resolve(event(2));
    };
    const partial: string[] = [];
    const events = open().subscribe(STORY, { id: "a" }, { onPartialEvent: ({ message }) => partial.push(message) });
    expect(seqs(await collect(events))).toEqual([1, 2]);
    expect(partial).toEqual(["Billing is away."]);
  });
});

describe("a peer that is gone without a word", () => {
  test("is found out by the heartbeat, and the stream goes on after its cursor", async () => {
    api.answersPings = false;
    api.stream = async function* ({ after }) {
      yield event(from(after));
      if (after !== undefined) return;
      await eventually(() => api.pings.length > 0);
      await never();
    };
    const client = open({ heartbeat: { everyMs: 20, answerWithinMs: 20 } });
    expect(seqs(await collect(client.subscribe(STORY, { id: "a" })))).toEqual([1, 2]);
  });

  test("is found out when the tab is shown again, long before the heartbeat would", async () => {
    const { surroundings, wake } = machine();
    api.answersPings = false;
    const hasBegun = Promise.withResolvers<void>();
    api.stream = async function* ({ after }) {
      yield event(from(after));
      if (after !== undefined) return;
      hasBegun.resolve();
      await never();
    };
    const client = open({ surroundings, heartbeat: { everyMs: 3_600_000, answerWithinMs: 20 } });
    const events = collect(client.subscribe(STORY, { id: "a" }));
    await hasBegun.promise;
    wake();
    expect(seqs(await events)).toEqual([1, 2]);
    expect(api.subscribed).toEqual([{ id: "a" }, { id: "a", after: "c1" }]);
  });

  test("on a stream of server-sent events is found out by its silence", async () => {
    api.stream = async function* ({ after }) {
      yield event(from(after));
      if (after === undefined) await never();
    };
    const client = open({ transports: ["sse"], heartbeat: { everyMs: 30, answerWithinMs: 20 } });
    expect(seqs(await collect(client.subscribe(STORY, { id: "a" })))).toEqual([1, 2]);
  });
});

describe("the connection's state", () => {
  test("says that the machine is offline, when it tries again, and that it is back", async () => {
    const { surroundings, goOffline, wake } = machine();
    api.stream = async function* ({ after }) {
      yield event(from(after));
      if (after !== undefined) return;
      goOffline();
      for (const socket of api.sockets) socket.terminate();
      await never();
    };
    const client = open({ surroundings });
    expect(client.connection.get().status).toBe("idle");
    const states = watch(client);
    const events = collect(client.subscribe(STORY, { id: "a" }));
    const offline = await eventually(() => states.find(({ status }) => status === "offline"));
    expect(offline).toMatchObject({ attempt: 1, retryAt: expect.any(Date), error: { name: "NetworkError" } });
    expect(api.subscribed).toHaveLength(1);
    wake();
    expect(seqs(await events)).toEqual([1, 2]);
    expect(states.map(({ status }) => status)).toEqual(["connecting", "connected", "offline", "connected", "idle"]);
  });
});

test("a subscription that the API refuses is not tried on another transport", async () => {
  api.letsSocketsThrough = false;
  const client = open();
  api.stream = async function* () {
    yield await Promise.resolve({ data: null, errors: [{ message: "No.", extensions: { code: "FORBIDDEN" } }] });
  };
  expect(await failureOf(collect(client.subscribe(STORY, { id: "a" })))).toMatchObject({ name: "ForbiddenError" });
  expect(api.listened).toHaveLength(1);
});
