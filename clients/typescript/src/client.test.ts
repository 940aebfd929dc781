import type { ServerResponse } from "node:http";
import { eventually } from "@sba/testkit/eventually";
import { GraphQLError } from "graphql";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createClient, type Client } from "./client.ts";
import { API_VERSION, CLIENT } from "./generated/version.ts";
import { ApiError, QuotaExceededError } from "./errors.ts";
import { collect, event, failureOf, QUERY, startApi, STORY, type Api } from "./testing.ts";

/** The client before a scripted API: what it sends, and what it makes of answers, closes and silence. */

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

  test.each([
    ["the package", undefined, { name: "@sba/client", version: CLIENT.version }],
    ["the program that it is part of", { name: "console", version: "1.2" }, { name: "console", version: "1.2" }],
  ])("names %s as the client, on every transport", async (_what, named, expected) => {
    const said: unknown[] = [];
    const hear = (of: Readonly<Record<string, unknown>> | undefined) =>
      said.push({ name: of?.["apollographql-client-name"], version: of?.["apollographql-client-version"] });
    api.answer = ({ headers }, response) => {
      hear(headers);
      response.end(JSON.stringify({ data: { greeting: "" } }));
    };
    api.connect = (params) => {
      hear(params);
      return {};
    };
    const options = { url: api.url, ...(named ? { client: named } : {}) };
    const [byAll, bySse] = [createClient(options), createClient({ ...options, transports: ["sse"] })];
    await byAll.query(QUERY, { name: "" });
    for await (const _ of byAll.subscribe(STORY, { id: "1" })) break;
    for await (const _ of bySse.subscribe(STORY, { id: "1" })) break;
    for (const { client: heard } of api.listened) said.push(heard);
    expect(said).toEqual([expected, expected, expected]);
    await Promise.all([byAll.close(), bySse.close()]);
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
    expect(failure).toBeInstanceOf(QuotaExceededError);
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
      name: "NetworkError",
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

describe("an API of another version", () => {
  test("is warned of once, and answers all the same", async () => {
    api.answer = (_request, response) => {
      response.setHeader("x-api-version", "another").end(JSON.stringify({ data: { greeting: "hello" } }));
    };
    const warnings: string[] = [];
    const warned = createClient({ url: api.url, onWarning: (message) => warnings.push(message) });
    expect(await warned.query(QUERY, { name: "you" })).toEqual({ greeting: "hello" });
    await warned.query(QUERY, { name: "you" });
    expect(warnings).toEqual([expect.stringContaining("another")]);
    await warned.close();
  });

  test("is not seen where the API does not say its version, or says the client's", async () => {
    const warnings: string[] = [];
    const warned = createClient({ url: api.url, onWarning: (message) => warnings.push(message) });
    for (const version of [undefined, API_VERSION]) {
      api.answer = (_request, response) => {
        if (version !== undefined) response.setHeader("x-api-version", version);
        response.end(JSON.stringify({ data: { greeting: "hello" } }));
      };
      await warned.query(QUERY, { name: "you" });
    }
    expect(warnings).toEqual([]);
    await warned.close();
  });
});

test("a request that was too much makes the next one wait as long as the API says", async () => {
  const sentAt: number[] = [];
  api.answer = (_request, response) => {
    sentAt.push(performance.now());
    const extensions = { code: "RATE_LIMITED", retryable: true, retryAfterMs: 80 };
    response.end(
      JSON.stringify(
        sentAt.length === 1 ? { data: null, errors: [{ message: "Slow.", extensions }] } : { data: { greeting: "" } },
      ),
    );
  };
  expect(await failureOf(client.query(QUERY, { name: "x" }))).toMatchObject({
    advice: { action: "retry", afterMs: 80 },
  });
  await client.query(QUERY, { name: "x" });
  expect((sentAt[1] ?? 0) - (sentAt[0] ?? 0)).toBeGreaterThanOrEqual(75);
});
