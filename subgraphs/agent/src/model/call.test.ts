import { loadConfig } from "@sba/platform/config";
import { openEgress } from "@sba/platform/egress";
import { setLogLevel } from "@sba/platform/log";
import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { cacheKeyOf } from "./cached-answer.ts";
import { callModel, forgetExpiredAnswers, useModels, type ModelAnswer, type ModelRequest } from "./index.ts";
import type { GuardOptions } from "./guard.ts";
import { aRequest, openChunks, startScriptedServer, type Answer, type ScriptedServer } from "./testing.ts";

const database = useDatabase();
let server: ScriptedServer;
let closeEgress: () => Promise<void>;
const config = loadConfig({ OPENAI_API_KEY: "sk-test" });

const configure = (given: Partial<typeof config> = {}, guard?: GuardOptions): void => {
  useModels({ ...config, OPENAI_BASE_URL: server.url, ...given }, guard);
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

/** Answers with these words and this usage. */
function says(...words: string[]): Answer {
  return (response) => {
    const chunks = openChunks(response);
    for (const word of words) chunks.text(word);
    chunks.end("stop", { prompt_tokens: 20, completion_tokens: words.length });
  };
}

const refuses =
  (status: number, headers: Record<string, string> = {}): Answer =>
  (response) => {
    response.writeHead(status, headers).end("{}");
  };
const hangs: Answer = () => undefined;
const breaksOffAfter =
  (...words: string[]): Answer =>
  (response) => {
    const chunks = openChunks(response);
    for (const word of words) chunks.text(word, { usage: { prompt_tokens: 20, completion_tokens: 1 } });
    chunks.send({ error: { message: "overloaded" } });
    response.end();
  };

/** The answers in turn; the last one for all that follow. */
function inTurn(...answers: Answer[]): Answer {
  let next = 0;
  return (response, request) => answers[Math.min(next++, answers.length - 1)]!(response, request);
}

const byModel =
  (answers: Readonly<Record<string, Answer>>): Answer =>
  (response, request) =>
    answers[request.body.model]!(response, request);

interface Outcome {
  readonly answer?: ModelAnswer;
  readonly error?: unknown;
  readonly pieces: string[];
  readonly billed: unknown[];
}

const caller = aCaller();

interface Given {
  readonly request?: Partial<ModelRequest>;
  readonly models?: readonly string[];
  readonly answerCacheSeconds?: number;
}

async function ask(given: Given = {}, options: { scope?: typeof caller; signal?: AbortSignal } = {}): Promise<Outcome> {
  const { model: _model, maxOutputTokens, ...request } = aRequest(given.request);
  const [first = "gpt-a", ...others] = given.models ?? [];
  const choice = (model: string) => ({ model, maxOutputTokens });
  const pieces: string[] = [];
  const billed: unknown[] = [];
  const hooks = {
    onText: (piece: string) => pieces.push(piece),
    onBilled: (attempt: unknown) => billed.push(attempt),
  };
  try {
    const answer = await callModel(
      options.scope ?? caller,
      {
        request,
        models: [choice(first), ...others.map(choice)],
        ...(given.answerCacheSeconds === undefined ? {} : { answerCacheSeconds: given.answerCacheSeconds }),
      },
      hooks,
      options.signal ?? new AbortController().signal,
    );
    return { answer, pieces, billed };
  } catch (error) {
    return { error, pieces, billed };
  }
}

const models = (): string[] => server.received.map(({ body }) => body.model);

describe("a model call", () => {
  it("gives text as it comes, and says what answered and what it used", async () => {
    server.answer = says("One ", "month.");
    expect(await ask()).toEqual({
      pieces: ["One ", "month."],
      billed: [],
      answer: {
        text: "One month.",
        toolCalls: [],
        reason: "stop",
        usage: { inputTokens: 20, outputTokens: 2, isEstimated: false },
        model: "gpt-a",
        isCached: false,
      },
    });
  });

  it.each<[string, Answer]>([
    ["an error", refuses(500)],
    ["a broken connection", (response) => void response.destroy()],
    ["an error before any text", breaksOffAfter()],
    ["a short pause that was asked for", refuses(429, { "retry-after": "0" })],
  ])("is tried again after %s, while nobody has seen text", async (_what, failure) => {
    server.answer = inTurn(failure, failure, says("Fine."));
    expect(await ask()).toMatchObject({ pieces: ["Fine."], answer: { text: "Fine." } });
    expect(server.received).toHaveLength(3);
  });

  it("is tried again when the first token does not come", async () => {
    configure({ MODEL_FIRST_TOKEN_TIMEOUT_MS: 100 });
    server.answer = inTurn(hangs, says("Fine."));
    expect(await ask()).toMatchObject({ answer: { text: "Fine." } });
  });

  it("fails after three attempts, each of which reached the provider", async () => {
    server.answer = refuses(503);
    expect(await ask()).toMatchObject({ error: { code: "AGENT_MODEL_UNAVAILABLE", retryable: true } });
    expect(server.received).toHaveLength(3);
  });

  it("is not tried again once text was shown: what failed is then the step", async () => {
    server.answer = inTurn(breaksOffAfter("Half "), says("Fine."));
    expect(await ask({ models: ["gpt-a", "local"] })).toMatchObject({
      pieces: ["Half "],
      error: { code: "AGENT_MODEL_UNAVAILABLE" },
    });
    expect(server.received).toHaveLength(1);
  });

  it.each([[400], [401]])("is not tried again when the provider refuses it with %i", async (status) => {
    server.answer = refuses(status);
    expect(await ask()).toMatchObject({ error: { retryable: false } });
    expect(server.received).toHaveLength(1);
  });

  it("holds no worker for a long pause, and gives the provider that pause in all later calls", async () => {
    server.answer = refuses(429, { "retry-after": "30" });
    expect(await ask()).toMatchObject({ error: { code: "AGENT_MODEL_RATE_LIMITED", retryAfterMs: 30_000 } });
    const { error } = await ask();
    expect(error).toMatchObject({ code: "AGENT_MODEL_RATE_LIMITED", retryable: true });
    expect((error as { retryAfterMs: number }).retryAfterMs).toBeLessThanOrEqual(30_000);
    expect(server.received).toHaveLength(1);
  });

  it("leaves a provider alone that keeps failing, for all runs of the process", async () => {
    configure({}, { failuresToOpen: 3, openForMs: 3_600_000 });
    server.answer = inTurn(refuses(503), refuses(503), refuses(503), says("Fine."));
    await ask();
    const { error } = await ask({ models: ["gpt-b"] }, { scope: aCaller() });
    expect(error).toMatchObject({ code: "AGENT_MODEL_UNAVAILABLE", retryable: true, details: { leftAlone: true } });
    expect((error as { retryAfterMs: number }).retryAfterMs).toBeGreaterThan(1_000_000);
    expect(server.received).toHaveLength(3);
  });

  it("ends at once when it is cancelled, also while it waits for its next attempt", async () => {
    const controller = new AbortController();
    server.answer = (response) => {
      response.writeHead(429, { "retry-after": "5" }).end("{}");
      // Usually it is waiting by then; when it is not yet, the outcome is the same.
      setTimeout(() => {
        controller.abort();
      }, 20);
    };
    expect(await ask({ models: ["gpt-a", "local"] }, { signal: controller.signal })).toMatchObject({
      error: { code: "OPERATION_CANCELLED" },
    });
  });

  it("tells what failed attempts were billed for, also when the call fails as a whole", async () => {
    const billed = { model: "gpt-a", usage: { inputTokens: 20, outputTokens: 1, isEstimated: false } };
    const half: Answer = (response) => {
      const chunks = openChunks(response);
      chunks.text("", { usage: { prompt_tokens: 20, completion_tokens: 1 } });
      chunks.send({ error: { message: "overloaded" } });
      response.end();
    };
    server.answer = inTurn(half, says("Fine."));
    expect(await ask()).toMatchObject({ answer: { text: "Fine." }, billed: [billed] });
    server.answer = breaksOffAfter("Half ");
    expect(await ask()).toMatchObject({ error: { code: "AGENT_MODEL_UNAVAILABLE" }, billed: [billed] });
  });

  it("keeps what no column can hold out of the text", async () => {
    server.answer = says("a\0b", "\ud800", "c");
    const { answer, pieces } = await ask();
    expect(answer?.text).toBe(pieces.join(""));
    expect(answer?.text).toMatch(/^ab\ufffd?c$/);
  });
});

describe("a fallback model", () => {
  it.each<[string, Answer]>([
    ["is down", refuses(503)],
    ["asks for a long pause", refuses(429, { "retry-after": "60" })],
    ["refuses the platform's credentials", refuses(401)],
  ])("answers when the agent's own model %s, and is named as what answered", async (_what, failure) => {
    server.answer = byModel({ "gpt-a": failure, "gpt-b": says("From b.") });
    const { answer } = await ask({ models: ["gpt-a", "gpt-b"] });
    expect(answer).toMatchObject({ text: "From b.", model: "gpt-b", usage: { inputTokens: 20, outputTokens: 1 } });
    expect(models().at(-1)).toBe("gpt-b");
  });

  it("answers when the agent's own model is not configured here, and when its provider is left alone", async () => {
    useModels(loadConfig({}));
    expect(await ask({ models: ["gpt-a", "local"] })).toMatchObject({ answer: { model: "local" } });
    configure({}, { failuresToOpen: 1, openForMs: 3_600_000 });
    server.answer = refuses(503);
    await ask();
    expect(server.received).toHaveLength(1);
    expect(await ask({ models: ["gpt-a", "local"] })).toMatchObject({
      answer: { model: "local", reason: "tool_calls" },
    });
    expect(server.received).toHaveLength(1);
  });

  it("is not asked what the agent's own model declined or cannot be asked", async () => {
    for (const [answer, code] of [
      [refuses(400), "AGENT_MODEL_REQUEST_REFUSED"],
      [
        ((response) => {
          openChunks(response).end("content_filter");
        }) as Answer,
        "AGENT_MODEL_REFUSED",
      ],
    ] as const) {
      server.answer = answer;
      expect(await ask({ models: ["gpt-a", "local"] })).toMatchObject({ error: { code } });
    }
  });

  it("reports the failure of the agent's own model when none answers", async () => {
    server.answer = byModel({ "gpt-a": refuses(429, { "retry-after": "60" }), "gpt-b": refuses(401) });
    expect(await ask({ models: ["gpt-a", "gpt-b"] })).toMatchObject({
      error: { code: "AGENT_MODEL_RATE_LIMITED", retryAfterMs: 60_000 },
    });
  });
});

describe("a cached answer", () => {
  const cached = { answerCacheSeconds: 3_600 };
  const conversation = (id: string): Given => ({
    ...cached,
    request: {
      ...aRequest(),
      messages: [
        { role: "user", text: "How long?" },
        { role: "assistant", text: "", toolCalls: [{ id, name: "knowledge.search", params: { query: "long" } }] },
        { role: "tool", toolCallId: id, text: '{"hits":[]}' },
      ],
    },
  });

  it("is given again without asking the provider, in pieces, as no tokens", async () => {
    const scope = aCaller();
    server.answer = says("One ", "month ", "at most.");
    await ask(cached, { scope });
    server.answer = refuses(503);
    const { answer, pieces } = await ask(cached, { scope });
    expect(answer).toEqual({
      text: "One month at most.",
      toolCalls: [],
      reason: "stop",
      usage: { inputTokens: 0, outputTokens: 0, isEstimated: false },
      model: "gpt-a",
      isCached: true,
    });
    expect(pieces).toEqual(["One ", "month ", "at ", "most."]);
    expect(server.received).toHaveLength(1);
  });

  it("is given to colleagues and never to another tenant", async () => {
    const scope = aCaller();
    server.answer = inTurn(says("Ours."), says("Theirs."));
    await ask(cached, { scope });
    expect((await ask(cached, { scope: aColleagueOf(scope) })).answer).toMatchObject({ text: "Ours.", isCached: true });
    expect((await ask(cached, { scope: aCaller() })).answer).toMatchObject({ text: "Theirs.", isCached: false });
  });

  it("has another key for each tenant, whatever the database would keep apart", () => {
    const [ours, theirs] = [aCaller(), aCaller()];
    expect(cacheKeyOf(ours, aRequest())).toBe(cacheKeyOf(aColleagueOf(ours), aRequest()));
    expect(cacheKeyOf(ours, aRequest())).not.toBe(cacheKeyOf(theirs, aRequest()));
  });

  it("is for one request: another model, instruction, message or tool is another", async () => {
    const scope = aCaller();
    server.answer = says("Fine.");
    const request = aRequest();
    const others: Given[] = [
      { models: ["gpt-b"] },
      { request: { ...request, instructions: "Be brief." } },
      { request: { ...request, messages: [{ role: "user", text: "Why?" }] } },
      { request: { ...request, tools: [] } },
      { request: { ...request, tools: request.tools.map((tool) => ({ ...tool, description: "Another." })) } },
      { request: { ...request, purpose: "summary" } },
    ];
    await ask(cached, { scope });
    for (const other of others) expect((await ask({ ...cached, ...other }, { scope })).answer?.isCached).toBe(false);
    expect((await ask(cached, { scope })).answer?.isCached).toBe(true);
  });

  it("is the same for a conversation whose tool calls have other ids", async () => {
    const scope = aCaller();
    server.answer = says("Fine.");
    await ask(conversation("018f-first"), { scope });
    expect((await ask(conversation("018f-second"), { scope })).answer?.isCached).toBe(true);
  });

  it("is given only where it fits into the tokens, and kept only when it was whole", async () => {
    const scope = aCaller();
    const limit = (maxOutputTokens: number): Given => ({
      ...cached,
      request: { maxOutputTokens },
    });
    server.answer = (response) => {
      const chunks = openChunks(response);
      chunks.text("Cut");
      chunks.end("length", { prompt_tokens: 1, completion_tokens: 1 });
    };
    await ask(limit(1), { scope });
    server.answer = says("Two ", "words.");
    expect((await ask(limit(100), { scope })).answer).toMatchObject({ text: "Two words.", isCached: false });
    expect((await ask(limit(2), { scope })).answer?.isCached).toBe(true);
    expect((await ask(limit(1), { scope })).answer?.isCached).toBe(false);
  });

  it("keeps tool calls, with whatever a model wrote into them", async () => {
    const scope = aCaller();
    server.answer = (response) => {
      const chunks = openChunks(response);
      chunks.call(0, "call_a", "knowledge__search", ['{"query":"a\\u0000b"}']);
      chunks.end("tool_calls", { prompt_tokens: 1, completion_tokens: 1 });
    };
    const first = await ask(cached, { scope });
    const second = await ask(cached, { scope });
    expect(second.answer?.isCached).toBe(true);
    expect(second.answer?.toolCalls).toEqual(first.answer?.toolCalls);
    expect(first.answer?.toolCalls).toEqual([{ id: "call_a", name: "knowledge.search", params: { query: "a\0b" } }]);
  });

  it("is never a fallback's", async () => {
    const scope = aCaller();
    server.answer = byModel({ "gpt-a": refuses(401), "gpt-b": says("From b.") });
    await ask({ ...cached, models: ["gpt-a", "gpt-b"] }, { scope });
    server.answer = says("From a.");
    expect((await ask(cached, { scope })).answer).toMatchObject({ text: "From a.", isCached: false });
  });

  it("ends when it expires, and is then forgotten, which others are not", async () => {
    const [scope, other] = [aCaller(), aCaller()];
    server.answer = says("Fine.");
    await ask(cached, { scope });
    await ask(cached, { scope: other });
    await database().owner.query(
      "UPDATE agent.cached_answer SET expires_at = clock_timestamp() - interval '1 second' WHERE tenant_id = $1",
      [scope.tenantId],
    );
    expect(await forgetExpiredAnswers()).toBe(1);
    expect((await ask(cached, { scope: other })).answer?.isCached).toBe(true);
    await ask(cached, { scope });
    await database().owner.query(
      "UPDATE agent.cached_answer SET expires_at = clock_timestamp() - interval '1 second' WHERE tenant_id = $1",
      [scope.tenantId],
    );
    expect((await ask(cached, { scope })).answer?.isCached).toBe(false);
  });

  it("is not kept without the agent's leave, and stops when it is cancelled", async () => {
    const scope = aCaller();
    server.answer = says("One ", "month.");
    await ask({}, { scope });
    expect((await ask({}, { scope })).answer?.isCached).toBe(false);
    await ask(cached, { scope });
    expect(await ask(cached, { scope, signal: AbortSignal.abort() })).toMatchObject({
      error: { code: "OPERATION_CANCELLED" },
    });
  });
});
