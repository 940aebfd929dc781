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
  PATIENT,
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
const open = () => openAiCompatibleProvider({ apiKey: SECRET, baseUrl: server.url, timeouts: PATIENT });
const turn = (given: Parameters<typeof aRequest>[0] = {}) => collectTurn(open(), aRequest({ model: MODEL, ...given }));

/** Does what a model would do in the contract's conversations. */
const cooperate: Answer = (response, { body }) => {
  const chunks = openChunks(response);
  if (body.tools?.[0]?.function.name === "submit_plan") {
    chunks.call(0, "call_p", "submit_plan", [
      '{"steps":[{"title":"Look it up",',
      '"tool":"knowledge.search"},{"title":"Answer"}]}',
    ]);
    chunks.end("tool_calls", { prompt_tokens: 30, completion_tokens: 12 });
    return;
  }
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
      tools: [
        { type: "function", function: { name: "knowledge__search", parameters: SEARCH_TOOL.paramsSchema } },
        { type: "function", function: { name: "ask_person" } },
      ],
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

  describe("asks the person", () => {
    const asks = (
      fragments: readonly string[],
      before: (chunks: ReturnType<typeof openChunks>) => void = () => undefined,
    ) => {
      server.answer = (response) => {
        const chunks = openChunks(response);
        before(chunks);
        chunks.call(1, "call_q", "ask_person", fragments);
        chunks.end("tool_calls", { prompt_tokens: 5, completion_tokens: 6 });
      };
    };

    it("by a function of its own, which ends the turn with the question as its text", async () => {
      asks(['{"question":', '"Which year?"}']);
      const { text, calls, finish } = await turn();
      expect({ text, calls, reason: finish.reason }).toEqual({ text: "Which year?", calls: [], reason: "needs_input" });
    });

    it("after what it said before", async () => {
      asks(['{"question":"Which year?"}'], (chunks) => {
        chunks.text("I found two.");
      });
      expect((await turn()).text).toBe("I found two.\n\nWhich year?");
    });

    it("not yet when it calls tools in the same turn: their results may be the answer", async () => {
      asks(['{"question":"Which year?"}'], (chunks) => {
        chunks.call(0, "call_a", "knowledge__search", ['{"query":"year"}']);
      });
      const { text, calls, finish } = await turn();
      expect({ text, names: calls.map(({ name }) => name), reason: finish.reason }).toEqual({
        text: "",
        names: ["knowledge.search"],
        reason: "tool_calls",
      });
    });

    it("never without a question: such a call is handed on and refused as an unknown tool's", async () => {
      asks(['{"question":" "}']);
      const { calls, finish } = await turn();
      expect(calls).toMatchObject([{ name: "ask_person" }]);
      expect(finish.reason).toBe("tool_calls");
    });

    it("not in a summary, which nobody reads while it is made", async () => {
      await turn({ purpose: "summary", tools: [] });
      expect(server.received[0]!.body.tools ?? []).toEqual([]);
    });
  });

  it("makes a plan by the one function that it is given then, which knows the names of the tools and calls none", async () => {
    const { calls } = await turn({ purpose: "plan" });
    const { body } = server.received[0]!;
    expect(body.tools).toMatchObject([
      {
        function: {
          name: "submit_plan",
          parameters: {
            properties: { steps: { items: { properties: { tool: { anyOf: [{ enum: ["knowledge.search"] }, {}] } } } } },
          },
        },
      },
    ]);
    expect(body).toMatchObject({ tool_choice: { type: "function", function: { name: "submit_plan" } } });
    expect(calls).toMatchObject([{ params: { steps: [{ tool: "knowledge.search" }, { title: "Answer" }] } }]);
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
