import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { loadConfig } from "@sba/platform/config";
import type { TenantScope } from "@sba/platform/caller";
import { openEgress } from "@sba/platform/egress";
import { newId } from "@sba/platform/ids";
import { setLogLevel } from "@sba/platform/log";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { callModel, type ModelAnswer } from "./call.ts";
import type { GuardOptions } from "./guard.ts";
import { PLAN_CALL, planParams } from "./plan-call.ts";
import type { ModelEvent, ModelFinish, ModelProvider, ModelRequest, ModelToolCall } from "./model.ts";
import { useModels, type ModelConfig } from "./registry.ts";

/** For tests of models: what every provider promises, and an OpenAI-compatible server that answers as it is told. */

export const SEARCH_TOOL = {
  name: "knowledge.search",
  description: "Finds passages that answer a question.",
  paramsSchema: { type: "object", properties: { query: { type: "string" } }, required: ["query"] },
};

export function aRequest(given: Partial<ModelRequest> = {}): ModelRequest {
  return {
    model: "local",
    instructions: "Answer from the documents.",
    messages: [{ role: "user", text: "What is the notice period for employees?" }],
    tools: [SEARCH_TOOL],
    maxOutputTokens: 1_000,
    ...given,
  };
}

/** For turns that no clock is to end. */
export const PATIENT = { firstTokenMs: 60_000, betweenTokensMs: 60_000, turnMs: 60_000 };

export interface CollectedTurn {
  readonly pieces: readonly string[];
  readonly text: string;
  readonly calls: readonly ModelToolCall[];
  readonly finish: ModelFinish;
}

/** Reads a turn to its end. */
export async function collectTurn(
  provider: ModelProvider,
  request: ModelRequest,
  signal = new AbortController().signal,
): Promise<CollectedTurn> {
  const events: ModelEvent[] = [];
  for await (const event of provider.streamTurn(request, signal)) events.push(event);
  const finish = events.at(-1);
  if (finish?.type !== "finish") throw new Error("the turn did not end with finish");
  const pieces = events.flatMap((event) => (event.type === "text" ? [event.text] : []));
  const calls = events.flatMap((event) => (event.type === "toolCall" ? [event] : []));
  if (events.filter(({ type }) => type === "finish").length !== 1) throw new Error("the turn ended twice");
  return { pieces, text: pieces.join(""), calls, finish };
}

export const HITS = {
  hits: [
    {
      number: 1,
      documentId: "doc_1",
      chunkId: "chk_1",
      title: "Employment",
      score: 2,
      text: "The notice period for employees is one month. It begins on the day after the letter arrives.",
    },
    {
      number: 2,
      documentId: "doc_2",
      chunkId: "chk_2",
      title: "Managers",
      score: 1,
      text: "For managers the notice period is three months in every case.",
    },
  ],
};

/** The conversation after its first look-up. */
export function afterSearch(call: ModelToolCall, result: unknown = HITS): ModelRequest["messages"] {
  return [
    ...aRequest().messages,
    { role: "assistant", text: "", toolCalls: [call] },
    { role: "tool", toolCallId: call.id, text: JSON.stringify(result) },
  ];
}

/** What every provider promises. */
export function modelContract(
  name: string,
  open: () => { readonly provider: ModelProvider; readonly model: string },
): void {
  describe(`the model contract: ${name}`, () => {
    it("serves its model", () => {
      const { provider, model } = open();
      expect(provider.serves(model)).toBe(true);
    });

    it("looks a question up, with parameters that fit the tool's schema", async () => {
      const { provider, model } = open();
      const { calls, finish } = await collectTurn(provider, aRequest({ model }));
      expect(calls).toHaveLength(1);
      expect(z.fromJSONSchema(SEARCH_TOOL.paramsSchema as never).safeParse(calls[0]?.params).success).toBe(true);
      expect(calls[0]).toMatchObject({ name: "knowledge.search", id: expect.stringMatching(/.+/) as string });
      expect(finish.reason).toBe("tool_calls");
    });

    it("answers from what the look-up returned, in several pieces, and counts tokens", async () => {
      const { provider, model } = open();
      const {
        calls: [call],
      } = await collectTurn(provider, aRequest({ model }));
      const turn = await collectTurn(provider, aRequest({ model, messages: afterSearch(call!) }));
      expect(turn.pieces.length).toBeGreaterThan(3);
      expect(turn.text).toContain("one month [1]");
      expect(turn.finish.reason).toBe("stop");
      expect(turn.finish.usage.inputTokens).toBeGreaterThan(10);
      expect(turn.finish.usage.outputTokens).toBeGreaterThan(3);
    });

    it("says what it would do, with the tools that it is offered, and calls none", async () => {
      const { provider, model } = open();
      const { calls, finish } = await collectTurn(provider, aRequest({ model, purpose: "plan" }));
      expect(calls).toMatchObject([{ name: PLAN_CALL }]);
      const { steps } = planParams([SEARCH_TOOL]).parse(calls[0]!.params);
      expect(steps[0]).toMatchObject({ tool: "knowledge.search" });
      expect(finish.usage.outputTokens).toBeGreaterThan(3);
    });

    it("stops at the tokens it may use and says so", async () => {
      const { provider, model } = open();
      const call = { id: "call_1", name: "knowledge.search", params: { query: "notice" } };
      const { finish } = await collectTurn(
        provider,
        aRequest({ model, messages: afterSearch(call), maxOutputTokens: 4 }),
      );
      expect(finish.reason).toBe("length");
      expect(finish.usage.outputTokens).toBeLessThanOrEqual(4);
    });

    it("ends as cancelled when it is aborted, before it begins and in the middle", async () => {
      const { provider, model } = open();
      await expect(collectTurn(provider, aRequest({ model }), AbortSignal.abort())).rejects.toMatchObject({
        code: "OPERATION_CANCELLED",
      });
      const controller = new AbortController();
      const call = { id: "call_1", name: "knowledge.search", params: { query: "notice" } };
      const reading = async (): Promise<void> => {
        for await (const event of provider.streamTurn(
          aRequest({ model, messages: afterSearch(call) }),
          controller.signal,
        )) {
          if (event.type === "text") controller.abort();
        }
      };
      await expect(reading()).rejects.toMatchObject({ code: "OPERATION_CANCELLED" });
    });
  });
}

/** What a scripted server was sent. */
export interface ReceivedRequest {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: {
    readonly model: string;
    readonly stream: boolean;
    readonly max_tokens?: number;
    readonly messages: readonly { role: string; content?: unknown; tool_calls?: unknown; tool_call_id?: string }[];
    readonly tools?: readonly { function: { name: string; parameters: unknown } }[];
  };
}

export type Answer = (response: ServerResponse, request: ReceivedRequest) => void | Promise<void>;

export interface ScriptedServer {
  readonly url: string;
  readonly received: ReceivedRequest[];
  /** How the next requests are answered. */
  answer: Answer;
  close(): Promise<void>;
}

/** An HTTP server on a free port of 127.0.0.1. */
export async function startScriptedServer(answer: Answer): Promise<ScriptedServer> {
  const received: ReceivedRequest[] = [];
  const scripted = { received, answer, url: "", close: () => closeServer(server) };
  const server = createServer((request, response) => {
    void (async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const entry: ReceivedRequest = {
        path: request.url ?? "",
        headers: request.headers,
        body: JSON.parse(Buffer.concat(chunks).toString()) as ReceivedRequest["body"],
      };
      received.push(entry);
      await scripted.answer(response, entry);
    })();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  scripted.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  return scripted;
}

async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => {
    server.close(resolve);
  });
}

/** Begins a stream of chat completion chunks (https://platform.openai.com/docs/api-reference/chat-streaming). */
export function openChunks(response: ServerResponse) {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const send = (data: unknown): void => {
    response.write(`data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`);
  };
  const chunk = (delta: object, finishReason: string | null = null, more: object = {}): void => {
    send({
      id: "cmpl-1",
      object: "chat.completion.chunk",
      created: 1,
      model: "gpt-test",
      choices: [{ index: 0, delta, finish_reason: finishReason }],
      ...more,
    });
  };
  return {
    send,
    delta: (delta: object) => {
      chunk(delta);
    },
    /** `more` is what some servers send with every chunk, as `usage`. */
    text: (text: string, more: object = {}) => {
      chunk({ role: "assistant", content: text }, null, more);
    },
    /** The call as a provider sends it: the name first, its arguments in fragments. */
    call: (index: number, id: string, name: string, fragments: readonly string[]) => {
      chunk({ tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] });
      for (const fragment of fragments) chunk({ tool_calls: [{ index, function: { arguments: fragment } }] });
    },
    end: (finishReason: string, usage?: { prompt_tokens: number; completion_tokens: number }) => {
      chunk({}, finishReason);
      if (usage)
        send({
          id: "cmpl-1",
          object: "chat.completion.chunk",
          created: 1,
          model: "gpt-test",
          choices: [],
          usage: { ...usage, total_tokens: 0 },
        });
      send("[DONE]");
      response.end();
    },
  };
}

/** Answers with these words and this usage. */
export function says(...words: string[]): Answer {
  return (response) => {
    const chunks = openChunks(response);
    for (const word of words) chunks.text(word);
    chunks.end("stop", { prompt_tokens: 20, completion_tokens: words.length });
  };
}

export const refuses =
  (status: number, headers: Record<string, string> = {}): Answer =>
  (response) => {
    response.writeHead(status, headers).end("{}");
  };
/** Fails after these words, when it has said what it billed. */
export const breaksOffAfter =
  (...words: string[]): Answer =>
  (response) => {
    const chunks = openChunks(response);
    for (const word of words) chunks.text(word, { usage: { prompt_tokens: 20, completion_tokens: 1 } });
    chunks.send({ error: { message: "overloaded" } });
    response.end();
  };

/** The answers in turn; the last one for all that follow. */
export function inTurn(...answers: Answer[]): Answer {
  let next = 0;
  return (response, request) => answers[Math.min(next++, answers.length - 1)]!(response, request);
}

export const byModel =
  (answers: Readonly<Record<string, Answer>>): Answer =>
  (response, request) =>
    answers[request.body.model]!(response, request);

/** Gives a test file a scripted server that serves every model but the built-in one. Call it at the top of the file. */
export function useScriptedModels(): {
  readonly server: () => ScriptedServer;
  /** Sets the models anew, with a provider that nobody has met yet. */
  readonly configure: (given?: Partial<ModelConfig>, guard?: GuardOptions) => void;
} {
  let server: ScriptedServer;
  let closeEgress: () => Promise<void>;
  const configure = (given: Partial<ModelConfig> = {}, guard?: GuardOptions): void => {
    useModels({ ...loadConfig({ OPENAI_API_KEY: "sk-test" }), OPENAI_BASE_URL: server.url, ...given }, guard);
  };
  beforeAll(async () => {
    setLogLevel("silent");
    server = await startScriptedServer(says("unset"));
    closeEgress = openEgress({ allowedHosts: [], trustedUrls: [server.url] });
  });
  beforeEach(() => {
    server.received.length = 0;
    configure();
  });
  afterAll(async () => {
    useModels(loadConfig({}));
    await closeEgress();
    await server.close();
  });
  return { server: () => server, configure };
}

export interface AskOutcome {
  readonly answer?: ModelAnswer;
  readonly error?: unknown;
  readonly pieces: string[];
  readonly billed: unknown[];
}

export interface AskInput {
  readonly request?: Partial<ModelRequest>;
  readonly models?: readonly string[];
  readonly answerCacheSeconds?: number;
}

/** Asks for a turn of `gpt-a`, or of the models named, and tells what came of it. */
export async function ask(
  given: AskInput = {},
  {
    scope = { tenantId: newId() },
    signal = new AbortController().signal,
  }: { scope?: TenantScope; signal?: AbortSignal } = {},
): Promise<AskOutcome> {
  const { model: _model, maxOutputTokens, ...request } = aRequest(given.request);
  const [first = "gpt-a", ...others] = given.models ?? [];
  const choice = (model: string) => ({ model, maxOutputTokens, reservedMicros: 0n });
  const pieces: string[] = [];
  const billed: unknown[] = [];
  const hooks = {
    onText: (piece: string) => pieces.push(piece),
    onBilled: (attempt: unknown) => billed.push(attempt),
  };
  try {
    const answer = await callModel(
      scope,
      {
        request,
        models: [choice(first), ...others.map(choice)],
        ...(given.answerCacheSeconds === undefined ? {} : { answerCacheSeconds: given.answerCacheSeconds }),
      },
      hooks,
      signal,
    );
    return { answer, pieces, billed };
  } catch (error) {
    return { error, pieces, billed };
  }
}
