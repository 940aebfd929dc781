import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TypedDocumentNode } from "@graphql-typed-document-node/core";
import { eventually } from "@sba/testkit/eventually";
import { GraphQLError, parse, type ExecutionArgs } from "graphql";
import { handleProtocols, makeServer } from "graphql-ws";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocketServer, type WebSocket } from "ws";
import { createClient, type Client } from "./client.ts";
import { ApiError } from "./errors.ts";

/** The client before a scripted API: what it sends, and what it makes of answers, closes and silence. */

interface Event {
  readonly story: { readonly cursor: string; readonly seq: number };
}
const document = <Data, V extends Record<string, unknown> = Record<string, never>>(source: string) =>
  parse(source) as TypedDocumentNode<Data, V>;
const QUERY = document<{ greeting: string }, { name: string }>("query Greet($name: String!) { greeting(name: $name) }");
const STORY = document<Event, { id: string; after?: string | null }>(
  "subscription Story($id: ID!, $after: Cursor) { story(id: $id, after: $after) { cursor seq } }",
);

interface Api {
  readonly url: string;
  answer: (
    request: { readonly headers: IncomingMessage["headers"]; readonly body: { query: string; variables: unknown } },
    response: ServerResponse,
  ) => void;
  /** The events of a subscription, by the variables that it came with. */
  stream: (variables: Record<string, unknown>) => AsyncGenerator<unknown>;
  connect: (params: Record<string, unknown> | undefined, socket: WebSocket) => Record<string, unknown> | boolean;
  readonly subscribed: Record<string, unknown>[];
  readonly sockets: Set<WebSocket>;
  readonly pings: unknown[];
  close(): Promise<void>;
}

const event = (seq: number) => ({ data: { story: { cursor: `c${seq}`, seq } } });

async function startApi(): Promise<Api> {
  const http: Server = createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
      api.answer(
        {
          headers: request.headers,
          body: JSON.parse(Buffer.concat(chunks).toString()) as { query: string; variables: unknown },
        },
        response,
      );
    })();
  });
  const sockets = new WebSocketServer({ server: http, handleProtocols });
  const protocol = makeServer<Record<string, unknown>, { socket: WebSocket }>({
    onConnect: ({ connectionParams, extra }) => api.connect(connectionParams, extra.socket),
    onSubscribe: (_context, _id, { query, variables }) => {
      api.subscribed.push(variables ?? {});
      return { document: parse(query), contextValue: variables ?? {} } as unknown as ExecutionArgs;
    },
    subscribe: ({ contextValue }) => api.stream(contextValue as Record<string, unknown>) as AsyncGenerator<never>,
    onError: (_context, _id, _payload, errors) =>
      errors.map((error) => (error.originalError instanceof GraphQLError ? error.originalError : error).toJSON()),
  });
  sockets.on("connection", (socket) => {
    api.sockets.add(socket);
    const closed = protocol.opened(
      {
        protocol: socket.protocol,
        send: (data) => {
          socket.send(data);
        },
        close: (code, reason) => {
          socket.close(code, reason);
        },
        onMessage: (handle) => {
          socket.on("message", (data: Buffer) => void handle(data.toString()));
        },
        onPing: (payload) => {
          api.pings.push(payload);
          socket.send(
            JSON.stringify({
              type: "pong",
              payload: { authorization: { expiresAt: new Date(Date.now() + 60_000).toISOString() } },
            }),
          );
        },
      },
      { socket },
    );
    socket.once("close", (code, reason) => {
      api.sockets.delete(socket);
      void closed(code, String(reason));
    });
  });
  await once(http.listen(0, "127.0.0.1"), "listening");
  const api: Api = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/graphql`,
    answer: (_request, response) => {
      response.end(JSON.stringify({ data: {} }));
    },
    async *stream() {
      yield await Promise.resolve(event(1));
    },
    connect: () => true,
    subscribed: [],
    sockets: new Set(),
    pings: [],
    close: async () => {
      for (const socket of api.sockets) socket.terminate();
      sockets.close();
      http.closeAllConnections();
      await new Promise((resolve) => {
        http.close(resolve);
      });
    },
  };
  return api;
}

let api: Api;
let client: Client;
beforeEach(async () => {
  api = await startApi();
  client = createClient({ url: api.url, token: "a-token" });
});
afterEach(async () => {
  await client.close();
  await api.close();
});

async function collect<T>(events: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const each of events) collected.push(each);
  return collected;
}
const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe("a request", () => {
  test("sends the document, its variables and the credentials, and gives the data", async () => {
    let sent: unknown;
    api.answer = ({ headers, body }, response) => {
      sent = { authorization: headers.authorization, variables: body.variables, query: body.query };
      response.end(JSON.stringify({ data: { greeting: "hello" } }));
    };
    expect(await client.query(QUERY, { name: "you" })).toEqual({ greeting: "hello" });
    expect(sent).toEqual({
      authorization: "Bearer a-token",
      variables: { name: "you" },
      query: expect.stringContaining("query Greet"),
    });
  });

  test("asks for a token each time when it is told how", async () => {
    const seen: unknown[] = [];
    let count = 0;
    api.answer = ({ headers }, response) => {
      seen.push(headers.authorization);
      response.end(JSON.stringify({ data: { greeting: "" } }));
    };
    const asking = createClient({ url: api.url, token: () => (count++ === 0 ? undefined : `token-${count}`) });
    await asking.query(QUERY, { name: "" });
    await asking.query(QUERY, { name: "" });
    expect(seen).toEqual([undefined, "Bearer token-2"]);
  });

  test("throws what the API says of a failure, with the rest of the result", async () => {
    const extensions = {
      code: "QUOTA_EXCEEDED",
      reason: "BILLING_BUDGET_EXHAUSTED",
      retryable: true,
      retryAfterMs: 500,
      requestId: "r-1",
    };
    api.answer = (_request, response) => {
      response.writeHead(200).end(
        JSON.stringify({
          data: { greeting: null },
          errors: [{ message: "No budget.", path: ["greeting"], extensions }],
        }),
      );
    };
    const failure = await failureOf(client.mutate(QUERY, { name: "x" }));
    expect(failure).toBeInstanceOf(ApiError);
    expect(failure).toMatchObject({
      message: "No budget.",
      ...extensions,
      data: { greeting: null },
      errors: [{ path: ["greeting"] }],
    });
  });

  test.each([
    [
      "HTML",
      (response: ServerResponse) => {
        response.writeHead(502, { "content-type": "text/html" }).end("<h1>Bad gateway</h1>");
      },
    ],
    [
      "JSON that is no result",
      (response: ServerResponse) => {
        response.end("[]");
      },
    ],
    [
      "nothing",
      (response: ServerResponse) => {
        response.destroy();
      },
    ],
  ])("throws a retryable network error for an answer that is %s", async (_what, answer) => {
    api.answer = (_request, response) => {
      answer(response);
    };
    expect(await failureOf(client.query(QUERY, { name: "x" }))).toMatchObject({
      name: "ApiError",
      code: "UNAVAILABLE",
      reason: "NETWORK_FAILED",
      retryable: true,
    });
  });

  test("is given up by its signal", async () => {
    const leaving = new AbortController();
    api.answer = () => {
      leaving.abort();
    };
    expect(await failureOf(client.query(QUERY, { name: "x" }, { signal: leaving.signal }))).toMatchObject({
      name: "AbortError",
    });
  });
});

describe("a subscription", () => {
  test("gives the events until the stream completes", async () => {
    api.stream = async function* () {
      yield* [event(1), event(2)];
      await Promise.resolve();
    };
    expect(await collect(client.subscribe(STORY, { id: "a" }))).toEqual([event(1).data, event(2).data]);
    expect(api.subscribed).toEqual([{ id: "a" }]);
  });

  test("goes on after the last event's cursor when the socket is lost", async () => {
    api.stream = async function* ({ after }) {
      const from = Number(typeof after === "string" ? after.slice(1) : 0);
      for (let seq = from + 1; seq <= 6; seq++) {
        yield event(seq);
        if (seq % 2 === 0 && seq < 6) {
          for (const socket of api.sockets) socket.terminate();
          await new Promise(() => undefined);
        }
      }
    };
    expect((await collect(client.subscribe(STORY, { id: "a" }))).map(({ story }) => story.seq)).toEqual([
      1, 2, 3, 4, 5, 6,
    ]);
    expect(api.subscribed).toEqual([{ id: "a" }, { id: "a", after: "c2" }, { id: "a", after: "c4" }]);
  });

  test("goes on when the gateway restarts, and not when told not to", async () => {
    api.stream = async function* ({ after }) {
      yield event(after === undefined ? 1 : 2);
      if (after === undefined) {
        for (const socket of api.sockets) socket.close(1012, "Restarting");
        await new Promise(() => undefined);
      }
    };
    expect((await collect(client.subscribe(STORY, { id: "a" }))).map(({ story }) => story.seq)).toEqual([1, 2]);
    expect(await failureOf(collect(client.subscribe(STORY, { id: "a" }, { resume: false })))).toMatchObject({
      code: "UNAVAILABLE",
      retryable: true,
    });
  });

  test("throws the API's own errors, and does not ask again", async () => {
    api.stream = async function* () {
      yield await Promise.resolve(event(1));
      throw new GraphQLError("Not yours.", {
        extensions: { code: "FORBIDDEN", reason: "PERMISSION_MISSING", retryable: false },
      });
    };
    expect(await failureOf(collect(client.subscribe(STORY, { id: "a" })))).toMatchObject({
      message: "Not yours.",
      code: "FORBIDDEN",
      reason: "PERMISSION_MISSING",
    });
    expect(api.subscribed).toHaveLength(1);
  });

  test("throws when its credentials are refused", async () => {
    api.connect = (_params, socket) => {
      socket.close(4401, "Unauthorized");
      return false;
    };
    expect(await failureOf(collect(client.subscribe(STORY, { id: "a" })))).toMatchObject({
      code: "UNAUTHENTICATED",
      retryable: false,
    });
  });

  test("waits as long as a busy gateway says", async () => {
    let refused = 0;
    api.connect = (_params, socket) => {
      if (refused++ > 0) return true;
      socket.close(1013, "RATE_LIMITED retryAfterMs=120");
      return false;
    };
    const startedAt = performance.now();
    expect(await collect(client.subscribe(STORY, { id: "a" }))).toHaveLength(1);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(115);
  });

  test("ends at once by its signal, by leaving the loop, and with the client, and tells the API", async () => {
    let ended = 0;
    api.stream = async function* () {
      try {
        for (let seq = 1; ; seq++) {
          yield event(seq);
          await new Promise((resolve) => {
            setImmediate(resolve);
          });
        }
      } finally {
        ended++;
      }
    };
    const leaving = new AbortController();
    for await (const { story } of client.subscribe(STORY, { id: "a" }, { signal: leaving.signal }))
      if (story.seq === 2) leaving.abort();
    for await (const { story } of client.subscribe(STORY, { id: "a" })) if (story.seq === 2) break;
    await eventually(() => ended === 2);
  });

  test("renews its credentials over the open socket before they end", async () => {
    const tokens = ["first", "second"];
    const renewing = createClient({ url: api.url, token: () => tokens.shift() });
    api.connect = () => ({ authorization: { expiresAt: new Date(Date.now() + 100).toISOString() } });
    api.stream = async function* () {
      yield event(1);
      await eventually(() => api.pings.length > 0);
      yield event(2);
    };
    expect(await collect(renewing.subscribe(STORY, { id: "a" }))).toHaveLength(2);
    expect(api.pings).toEqual([{ authorization: "Bearer second" }]);
    await renewing.close();
  });
});
