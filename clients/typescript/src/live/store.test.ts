import { parse } from "graphql";
import { eventually } from "@sba/testkit/eventually";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createClient, type Client } from "../client.ts";
import { startApi, type Api } from "../testing.ts";
import { defineLive, eventsModel } from "./definition.ts";
import type { LiveStore } from "./store.ts";

/** A snapshot and its stream, joined, before a scripted API whose story grows while it is read. */

interface Line {
  readonly __typename: string;
  readonly cursor: string;
  readonly seq: number;
}
const READ = parse("query Story($id: ID!) { story(id: $id) { cursor status } }") as never;
const FOLLOW = parse(
  "subscription Lines($id: ID!, $after: Cursor) { lines(id: $id, after: $after) { __typename cursor seq } }",
) as never;
interface State {
  readonly readAs: string;
  readonly past: readonly number[];
  readonly live: readonly number[];
}
const storyLive = (from: "after" | "replay") =>
  defineLive<{ lines: Line }, State, { id: string }, { story: { cursor: string; status: string } }>({
    snapshot: READ,
    cursorOf: ({ story }) => story.cursor,
    events: FOLLOW,
    variables: (variables) => variables,
    model: {
      from,
      begin: ({ story }) => ({ readAs: story.status, past: [], live: [] }),
      fold: (state, events) => ({
        ...state,
        past: [...state.past, ...events.filter(({ isPast }) => isPast).map(({ data }) => data.lines.seq)],
        live: [...state.live, ...events.filter(({ isPast }) => !isPast).map(({ data }) => data.lines.seq)],
      }),
      isGap: ({ lines }) => lines.__typename === "StreamGap",
    },
  });

let api: Api;
let client: Client;
/** How many lines the story has, and whether it has ended. */
let last: number;
let isOver: boolean;
let reads: number;
beforeEach(async () => {
  api = await startApi();
  client = createClient({ url: api.url, firstPauseMs: 5 });
  [last, isOver, reads] = [3, false, 0];
  api.answer = (_request, response) => {
    reads++;
    response.end(JSON.stringify({ data: { story: { cursor: `c${last}`, status: `read at ${last}` } } }));
  };
  api.stream = async function* ({ after }) {
    for (let seq = Number(typeof after === "string" ? after.slice(1) : 0) + 1; ; seq++) {
      await eventually(() => seq <= last || isOver);
      if (seq > last) return;
      yield { data: { lines: { __typename: "Line", cursor: `c${seq}`, seq } } };
    }
  };
});
afterEach(async () => {
  isOver = true;
  await client.close();
  await api.close();
});

/** Watches until told to stop. */
function watch<S>(store: LiveStore<S>): { stop(): void } {
  return { stop: store.subscribe(() => undefined) };
}

describe("an object and what happens to it", () => {
  test("are joined without a hole and without a repeat", async () => {
    const store = client.live(storyLive("after"), { id: "a" });
    const { stop } = watch(store);
    await eventually(() => store.get().connection.status === "connected");
    last = 5;
    await eventually(() => store.get().data?.live.length === 2);
    expect(store.get()).toMatchObject({
      isCaughtUp: true,
      isEnded: false,
      data: { readAs: "read at 3", past: [], live: [4, 5] },
    });
    stop();
  });

  test("are joined at the snapshot's cursor when the stream tells more than the snapshot", async () => {
    const store = client.live(storyLive("replay"), { id: "a" });
    const { stop } = watch(store);
    await eventually(() => store.get().isCaughtUp);
    last = 4;
    isOver = true;
    await eventually(() => store.get().isEnded);
    expect(store.get()).toMatchObject({ error: undefined, data: { past: [1, 2, 3], live: [4] } });
    stop();
  });

  test("are asked for together where every event is replayed: neither waits for the other", async () => {
    const { answer, stream } = api;
    const { promise: isListened, resolve: listened } = Promise.withResolvers<undefined>();
    api.stream = (variables) => {
      listened(undefined);
      return stream(variables);
    };
    api.answer = (request, response) => void isListened.then(() => answer(request, response));
    const store = client.live(storyLive("replay"), { id: "a" });
    const { stop } = watch(store);
    await eventually(() => store.get().isCaughtUp);
    expect(store.get()).toMatchObject({ connection: { status: "connected" }, data: { past: [1, 2, 3], live: [] } });
    stop();
  });

  test("go on after the last event when the connection is lost, and after a time without an audience", async () => {
    const store = client.live(storyLive("after"), { id: "a" });
    const first = watch(store);
    await eventually(() => store.get().connection.status === "connected");
    last = 4;
    await eventually(() => store.get().data?.live.length === 1);
    for (const socket of api.sockets) socket.terminate();
    last = 5;
    await eventually(() => store.get().data?.live.length === 2);
    first.stop();
    await eventually(() => client.connection.get().status === "idle");
    last = 6;
    const second = watch(store);
    await eventually(() => store.get().data?.live.length === 3);
    expect(store.get().data?.live).toEqual([4, 5, 6]);
    expect(api.subscribed.map(({ after }) => after)).toEqual(["c3", "c4", "c5"]);
    expect(reads).toBe(1);
    second.stop();
  });

  test("are read anew where events are no longer kept", async () => {
    api.stream = async function* ({ after }) {
      if (after === null) yield { data: { lines: { __typename: "StreamGap", cursor: "c2", seq: 2 } } };
      else if (after === "c2") yield { data: { lines: { __typename: "Line", cursor: "c3", seq: 3 } } };
      await Promise.resolve();
    };
    const store = client.live(storyLive("replay"), { id: "a" });
    const { stop } = watch(store);
    await eventually(() => store.get().isEnded);
    expect(store.get()).toMatchObject({ error: undefined, data: { past: [3], live: [] } });
    expect(reads).toBe(2);
    stop();
  });
});

describe("a view that was prepared", () => {
  test("begins with what was said of its object, listens before anybody looks, and is the one that is asked for", async () => {
    const definition = storyLive("replay");
    client.prepare(definition, { id: "a" }, { story: { cursor: "c2", status: "just made" } });
    const store = client.live(definition, { id: "a" });
    expect(store.get()).toMatchObject({ isCaughtUp: false, data: { readAs: "just made", past: [], live: [] } });
    await eventually(() => store.get().data?.live.length === 1);
    expect(client.live(definition, { id: "a" })).toBe(store);
    expect(client.live(definition, { id: "b" })).not.toBe(store);
    isOver = true;
    const { stop } = watch(store);
    await eventually(() => store.get().isEnded);
    expect(store.get().data).toEqual({ readAs: "just made", past: [1, 2], live: [3] });
    expect(reads).toBe(0);
    stop();
  });

  test("is read when it is loaded again", async () => {
    const definition = storyLive("after");
    client.prepare(definition, { id: "a" }, { story: { cursor: "c3", status: "just made" } });
    const store = client.live(definition, { id: "a" });
    const { stop } = watch(store);
    // The connection is that of the client, and may be there before anybody asks through it.
    await eventually(() => expect(api.subscribed).toEqual([{ id: "a", after: "c3" }]));
    store.reload();
    await eventually(() => store.get().data?.readAs === "read at 3");
    expect(reads).toBe(1);
    stop();
  });
});

describe("a view", () => {
  test("waits for an API that is away, and says so", async () => {
    const answer = api.answer;
    api.answer = (_request, response) => {
      response.destroy();
    };
    const store = client.live(storyLive("after"), { id: "a" });
    const { stop } = watch(store);
    await eventually(() => store.get().connection.status === "reconnecting");
    expect(store.get().connection.error?.name).toBe("NetworkError");
    api.answer = answer;
    await eventually(() => store.get().connection.status === "connected");
    stop();
  });

  test("ends with what the API says against it, and begins again when it is asked to", async () => {
    const answer = api.answer;
    api.answer = (_request, response) => {
      response.end(JSON.stringify({ data: null, errors: [{ message: "No.", extensions: { code: "NOT_FOUND" } }] }));
    };
    const store = client.live(storyLive("after"), { id: "a" });
    const { stop } = watch(store);
    const { error } = await eventually(() => store.get().isEnded && store.get());
    expect(error?.name).toBe("NotFoundError");
    api.answer = answer;
    store.reload();
    await eventually(() => store.get().data !== undefined);
    expect(store.get()).toMatchObject({ error: undefined, isEnded: false });
    stop();
  });

  test("of a subscription without a model is the list of its events", async () => {
    const lines = defineLive({
      events: FOLLOW,
      variables: (variables: { id: string }) => variables,
      model: eventsModel<{ lines: Line }>(),
    });
    isOver = true;
    const store = client.live(lines, { id: "a" });
    const { stop } = watch(store);
    await eventually(() => store.get().isEnded);
    expect(store.get().data?.map(({ lines: line }) => line.seq)).toEqual([1, 2, 3]);
    stop();
  });
});
