import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { useSecretKey } from "@sba/platform/secrets";
import { setLogLevel } from "@sba/platform/log";
import { readMetrics } from "@sba/platform/metrics";
import { eventually } from "@sba/testkit/eventually";
import { parse } from "graphql";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { linkInProcess, type SubgraphLink } from "./forward.ts";
import { answerWithin } from "./forward-guard.ts";
import { linkRemote } from "./forward-remote.ts";
import { createWorld } from "./world.testing.ts";

/** A subgraph that does not behave: a scripted server stands in for it. */

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

let server: Server | undefined;
let link: SubgraphLink | undefined;
let asked = 0;
afterEach(async () => {
  await link?.close();
  server?.closeAllConnections();
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
  [server, link, asked] = [undefined, undefined, 0];
});

beforeAll(() => {
  setLogLevel("silent");
  useSecretKey("a-secret-key-that-only-tests-know");
});

async function subgraphThat(answer: Answer, options: Parameters<typeof linkRemote>[1] = {}): Promise<SubgraphLink> {
  const listening = createServer((request, response) => {
    asked++;
    request.resume();
    answer(request, response);
  });
  server = listening;
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
  link = linkRemote({ name: "scripted", url, routes: [] }, options);
  return link;
}

const REQUEST = { caller: undefined, requestId: "a-request" };
const ask = (subgraph: SubgraphLink, query = "{ a: one b: two }") =>
  subgraph.execute({ query, variables: {} }, REQUEST);
const good: Answer = (_request, response) => {
  response.writeHead(200, { "content-type": "application/json" }).end(`{"data":{"a":1,"b":2}}`);
};
const cut: Answer = (request) => {
  request.socket.destroy();
};

test.each<[string, Answer, string]>([
  [
    "with 500",
    (_, response) => response.writeHead(500, { "content-type": "application/json" }).end("{}"),
    "SUBGRAPH_UNAVAILABLE",
  ],
  [
    "with HTML",
    (_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<h1>hello</h1>"),
    "SUBGRAPH_UNAVAILABLE",
  ],
  [
    "with HTML that calls itself JSON",
    (_, response) => response.writeHead(200, { "content-type": "application/json" }).end("<h1>"),
    "SUBGRAPH_UNAVAILABLE",
  ],
  [
    "with JSON that is no result",
    (_, response) => response.writeHead(200, { "content-type": "application/json" }).end("[]"),
    "SUBGRAPH_UNAVAILABLE",
  ],
  ["not at all", () => undefined, "SUBGRAPH_TIMED_OUT"],
  [
    "with half of it",
    (_, response) => response.writeHead(200, { "content-type": "application/json" }).write(`{"data":`),
    "SUBGRAPH_TIMED_OUT",
  ],
])("a subgraph that answers %s is one typed error for each path that it owes", async (_what, answer, reason) => {
  const { data, errors } = await ask(
    await subgraphThat(answer, { timeoutMs: reason === "SUBGRAPH_TIMED_OUT" ? 100 : undefined }),
  );
  expect(data).toBeUndefined();
  expect(errors?.map(({ path, extensions }) => ({ path, extensions }))).toEqual(
    ["a", "b"].map((key) => ({
      path: [key],
      extensions: expect.objectContaining({ code: "UNAVAILABLE", reason, retryable: true }),
    })),
  );
});

test("a subgraph in this process is waited for as long, too", async () => {
  const world = await createWorld();
  const stories = world.subgraphs.find(({ name }) => name === "stories")!;
  const never = linkInProcess(stories, (operation) => answerWithin(20, operation, new Promise(() => undefined)));
  expect((await ask(never)).errors?.map(({ extensions }) => extensions["reason"])).toEqual([
    "SUBGRAPH_TIMED_OUT",
    "SUBGRAPH_TIMED_OUT",
  ]);
});

function nested(levels: number): unknown {
  let value: unknown = "leaf";
  for (let level = 0; level < levels; level++) value = [value];
  return value;
}

test.each(["query", "mutation"])(
  "variables that nest too deeply to be written are their sender's mistake in a %s, and no failure of the subgraph",
  async (kind) => {
    const subgraph = await subgraphThat(good);
    const query = `${kind} ($deep: JSON) { a: one(of: $deep) b: two }`;
    for (let each = 0; each < 10; each++) {
      const { errors } = await subgraph.execute({ query, variables: { deep: nested(20_000) } }, REQUEST);
      expect(errors?.map(({ path, extensions }) => ({ path, extensions }))).toEqual(
        ["a", "b"].map((key) => ({
          path: [key],
          extensions: { code: "BAD_USER_INPUT", reason: "INPUT_INVALID", retryable: false },
        })),
      );
    }
    expect(asked).toBe(0);
    expect(await ask(subgraph)).toEqual({ data: { a: 1, b: 2 } });
  },
);

test("a stream of such variables is refused, too", async () => {
  const subgraph = await subgraphThat(good);
  const query = "subscription ($deep: JSON) { a(of: $deep) }";
  await expect(
    subgraph.subscribe({ query, variables: { deep: nested(20_000) } }, REQUEST).next(),
  ).rejects.toMatchObject({ errors: [{ extensions: { reason: "INPUT_INVALID" } }] });
  expect(asked).toBe(0);
});

describe("a connection that breaks", () => {
  test("is another try for a query", async () => {
    const subgraph = await subgraphThat((request, response) => {
      (asked === 1 ? cut : good)(request, response);
    });
    expect(await ask(subgraph)).toEqual({ data: { a: 1, b: 2 } });
    expect(asked).toBe(2);
  });

  test("is none for a mutation, which may have been done", async () => {
    const { errors } = await ask(await subgraphThat(cut), "mutation { a: one }");
    expect(errors?.[0]?.extensions).toMatchObject({
      reason: "SUBGRAPH_UNAVAILABLE",
      retryable: false,
      details: { outcome: "unknown" },
    });
    expect(asked).toBe(1);
  });
});

describe("a subgraph that fails again and again", () => {
  test("is left alone, and tried by one when its time is over", async () => {
    let answer: Answer = (_request, response) => response.writeHead(500).end();
    const subgraph = await subgraphThat((request, response) => answer(request, response), {
      failuresToOpen: 3,
      openForMs: 100,
    });
    for (let each = 0; each < 3; each++) await ask(subgraph);
    const { errors } = await ask(subgraph);
    expect(asked).toBe(3);
    expect(errors?.[0]?.extensions).toMatchObject({
      reason: "SUBGRAPH_UNAVAILABLE",
      retryable: true,
      retryAfterMs: expect.any(Number),
      details: { subgraph: "scripted", leftAlone: true },
    });
    expect((await readMetrics()).text).toContain('sba_breaker_state{of="subgraph",name="scripted"} 1');
    answer = good;
    await eventually(async () => (await ask(subgraph)).data !== undefined);
    expect(asked).toBe(4);
  });

  test("is not one whose clients go away", async () => {
    const subgraph = await subgraphThat(
      (request, response) => {
        if (asked > 5) good(request, response);
      },
      { failuresToOpen: 3 },
    );
    for (let each = 1; each <= 5; each++) {
      const gone = new AbortController();
      const asking = subgraph.execute(
        { query: "{ a: one b: two }", document: parse("{ a: one b: two }"), variables: {} },
        { ...REQUEST, signal: gone.signal },
      );
      await eventually(() => asked === each);
      gone.abort();
      await asking;
    }
    expect(await ask(subgraph)).toEqual({ data: { a: 1, b: 2 } });
  });
});
