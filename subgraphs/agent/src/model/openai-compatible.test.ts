import { openEgress } from "@sba/platform/egress";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { openAiCompatibleProvider } from "./openai-compatible.ts";
import {
  afterSearch,
  aRequest,
  collectTurn,
  HITS,
  modelContract,
  openChunks,
  SEARCH_TOOL,
  startScriptedServer,
  type Answer,
  type ScriptedServer,
} from "./testing.ts";

let server: ScriptedServer;
let closeEgress: () => Promise<void>;

beforeAll(async () => {
  server = await startScriptedServer(cooperate);
  closeEgress = openEgress({ allowedHosts: [], trustedUrls: [server.url] });
});
afterEach(() => {
  server.answer = cooperate;
  server.received.length = 0;
});
afterAll(async () => {
  await closeEgress();
  await server.close();
});

const MODEL = "gpt-test";
const SECRET = "sk-test-secret";
const open = (silenceTimeoutMs = 10_000) =>
  openAiCompatibleProvider({ apiKey: SECRET, baseUrl: server.url, silenceTimeoutMs });
const turn = (given: Parameters<typeof aRequest>[0] = {}) => collectTurn(open(), aRequest({ model: MODEL, ...given }));

/** Does what a model would do in the contract's conversations. */
const cooperate: Answer = (response, { body }) => {
  const chunks = openChunks(response);
  if (body.messages.at(-1)?.role === "user") {
    chunks.call(0, "call_a", "knowledge__search", ['{"que', 'ry":"notice period"}']);
    chunks.end("tool_calls", { prompt_tokens: 20, completion_tokens: 9 });
    return;
  }
  const words = ["The ", "notice ", "period ", "is ", "one ", "month ", "[1]."].slice(0, body.max_tokens);
  for (const word of words) chunks.text(word);
  chunks.end(words.length < 7 ? "length" : "stop", { prompt_tokens: 80, completion_tokens: words.length });
};

modelContract("openai-compatible", () => ({ provider: open(), model: MODEL }));

describe("the OpenAI-compatible provider", () => {
  it("sends the key, the instructions, the tools under names that OpenAI takes, and asks for usage", async () => {
    await turn({ maxOutputTokens: 77 });
    const { path, headers, body } = server.received[0]!;
    expect(path).toBe("/v1/chat/completions");
    expect(headers.authorization).toBe(`Bearer ${SECRET}`);
    expect(body).toMatchObject({
      model: MODEL,
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: 77,
      messages: [{ role: "system", content: "Answer from the documents." }, { role: "user" }],
      tools: [{ type: "function", function: { name: "knowledge__search", parameters: SEARCH_TOOL.paramsSchema } }],
    });
  });

  it("reports the provider's own count of tokens", async () => {
    expect((await turn()).finish.usage).toEqual({ inputTokens: 20, outputTokens: 9, isEstimated: false });
  });

  it("puts each result right behind its call, and answers for calls that a run left open", async () => {
    const [first, second] = [
      { id: "c1", name: "knowledge.search", params: { query: "a" } },
      { id: "c2", name: "task.create", params: { title: "b" } },
    ];
    await turn({
      messages: [
        { role: "tool", toolCallId: "forgotten", text: "{}" },
        { role: "user", text: "Go on" },
        { role: "assistant", text: "Looking.", toolCalls: [first, second] },
        { role: "tool", toolCallId: "c1", text: JSON.stringify(HITS) },
        { role: "assistant", text: "", toolCalls: [] },
        { role: "user", text: "And now?" },
      ],
    });
    const sent = server.received[0]!.body.messages;
    expect(sent.map(({ role }) => role)).toEqual(["system", "user", "assistant", "tool", "tool", "user"]);
    expect(sent[2]).toMatchObject({
      content: "Looking.",
      tool_calls: [{ id: "c1", function: { name: "knowledge__search" } }, { id: "c2" }],
    });
    expect(sent[3]).toMatchObject({ tool_call_id: "c1", content: JSON.stringify(HITS) });
    expect(JSON.stringify(sent[4])).toContain("AGENT_TOOL_CALL_UNANSWERED");
  });

  it("hands on tool calls made in parallel, with text before them", async () => {
    server.answer = (response) => {
      const chunks = openChunks(response);
      chunks.text("Let me look.");
      chunks.call(0, "call_a", "knowledge__search", ['{"query":', '"notice"}']);
      chunks.call(1, "call_b", "knowledge__search", ['{"query":"sick leave"}']);
      chunks.end("tool_calls", { prompt_tokens: 5, completion_tokens: 6 });
    };
    const { text, calls, finish } = await turn();
    expect(text).toBe("Let me look.");
    expect(calls).toMatchObject([
      { id: "call_a", name: "knowledge.search", params: { query: "notice" } },
      { id: "call_b", name: "knowledge.search", params: { query: "sick leave" } },
    ]);
    expect(finish.reason).toBe("tool_calls");
  });

  it("hands on calls with broken arguments or of unknown tools for the tool contract to refuse", async () => {
    server.answer = (response) => {
      const chunks = openChunks(response);
      chunks.call(0, "call_a", "knowledge__search", ['{"query": ']);
      chunks.call(1, "call_b", "rm__everything", ["{}"]);
      chunks.end("tool_calls", { prompt_tokens: 5, completion_tokens: 6 });
    };
    const { calls } = await turn();
    expect(calls.map(({ id, name }) => [id, name])).toEqual([
      ["call_a", "knowledge.search"],
      ["call_b", "rm__everything"],
    ]);
    expect(calls[0]?.params).not.toMatchObject({ query: expect.anything() as unknown });
  });

  it("counts bytes when the provider reports no usage", async () => {
    server.answer = (response) => {
      const chunks = openChunks(response);
      chunks.text("12345678");
      chunks.end("stop");
    };
    const { usage } = (await turn()).finish;
    expect(usage).toMatchObject({ outputTokens: 2, isEstimated: true });
    expect(usage.inputTokens).toBeGreaterThan(20);
  });

  it.each<[string, Answer, string, boolean]>([
    [
      "500",
      (response) => {
        response.writeHead(500, { "content-type": "application/json" }).end('{"error":{"message":"boom"}}');
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "502 with a page of HTML",
      (response) => {
        response.writeHead(502, { "content-type": "text/html" }).end("<html>Bad gateway</html>");
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "200 with a page of HTML",
      (response) => {
        response.writeHead(200, { "content-type": "text/html" }).end("<html>Sign in</html>");
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "401",
      (response) => {
        response.writeHead(401).end(`{"error":{"message":"bad key ${SECRET}"}}`);
      },
      "AGENT_MODEL_CREDENTIALS_REFUSED",
      false,
    ],
    [
      "400",
      (response) => {
        response.writeHead(400).end('{"error":{"message":"too long"}}');
      },
      "AGENT_MODEL_REQUEST_REFUSED",
      false,
    ],
    [
      "404",
      (response) => {
        response.writeHead(404).end("{}");
      },
      "AGENT_MODEL_REQUEST_REFUSED",
      false,
    ],
    [
      "a redirect",
      (response) => {
        response.writeHead(302, { location: "http://169.254.169.254/" }).end();
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "a connection that breaks before the answer",
      (response) => {
        response.destroy();
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "an empty answer",
      (response) => {
        response.writeHead(200, { "content-type": "text/event-stream" }).end();
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "chunks that are junk",
      (response) => {
        const chunks = openChunks(response);
        chunks.text("Hello");
        chunks.send("{not json");
        chunks.end("stop");
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "chunks of another shape",
      (response) => {
        const chunks = openChunks(response);
        chunks.send({ hello: "world" });
        chunks.end("stop");
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "an error in the middle of the stream",
      (response) => {
        const chunks = openChunks(response);
        chunks.text("Hello");
        chunks.send({ error: { message: "overloaded", type: "server_error" } });
        response.end();
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "a connection that breaks in the middle",
      (response) => {
        const chunks = openChunks(response);
        chunks.text("Hello");
        setImmediate(() => {
          response.destroy();
        });
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "a stream that ends without a finish",
      (response) => {
        const chunks = openChunks(response);
        chunks.text("Hello");
        response.end();
      },
      "AGENT_MODEL_UNAVAILABLE",
      true,
    ],
    [
      "a content filter",
      (response) => {
        const chunks = openChunks(response);
        chunks.text("I ");
        chunks.end("content_filter");
      },
      "AGENT_MODEL_REFUSED",
      false,
    ],
  ])("reports %s as a typed error, without the provider's words", async (_what, answer, code, retryable) => {
    server.answer = answer;
    const thrown: unknown = await turn().catch((error: unknown) => error);
    expect(thrown).toMatchObject({ name: "AppError", code, retryable });
    expect((thrown as Error).message).not.toMatch(/boom|Bad gateway|sk-test|overloaded|too long/);
    expect(server.received).toHaveLength(1);
  });

  it("passes on how long a provider asks to wait, up to a minute", async () => {
    for (const [header, retryAfterMs] of [
      ["3", 3_000],
      ["86400", 60_000],
      ["soon", 5_000],
      [undefined, 5_000],
    ] as const) {
      server.answer = (response) => {
        response.writeHead(429, header === undefined ? {} : { "retry-after": header }).end("{}");
      };
      await expect(turn()).rejects.toMatchObject({ code: "AGENT_MODEL_RATE_LIMITED", retryable: true, retryAfterMs });
    }
  });

  it("gives up on a provider that falls silent, before the first piece or after it", async () => {
    const silences: Answer[] = [
      () => undefined,
      (response) => {
        openChunks(response).text("Hello");
      },
    ];
    for (const answer of silences) {
      server.answer = answer;
      await expect(collectTurn(open(150), aRequest({ model: MODEL }))).rejects.toMatchObject({
        code: "AGENT_MODEL_TIMED_OUT",
        retryable: true,
      });
    }
  });

  it("closes the connection when the turn is cancelled", async () => {
    const controller = new AbortController();
    const closed = Promise.withResolvers<undefined>();
    server.answer = (response) => {
      response.on("close", () => {
        closed.resolve(undefined);
      });
      openChunks(response).text("Hello");
    };
    const reading = async (): Promise<void> => {
      for await (const event of open().streamTurn(
        aRequest({ model: MODEL, messages: afterSearch({ id: "c", name: "knowledge.search", params: {} }) }),
        controller.signal,
      )) {
        if (event.type === "text") controller.abort();
      }
    };
    await expect(reading()).rejects.toMatchObject({ code: "OPERATION_CANCELLED" });
    await closed.promise;
  });
});
