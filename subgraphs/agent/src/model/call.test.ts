import { loadConfig } from "@sba/platform/config";
import { aCaller } from "@sba/testkit/fixtures";
import { describe, expect, it } from "vitest";
import { useModels } from "./index.ts";
import {
  ask,
  breaksOffAfter,
  byModel,
  inTurn,
  openChunks,
  refuses,
  says,
  useScriptedModels,
  type Answer,
} from "./testing.ts";

const { server, configure } = useScriptedModels();

const models = (): string[] => server().received.map(({ body }) => body.model);

describe("a model call", () => {
  it("gives text as it comes, and says what answered and what it used", async () => {
    server().answer = says("One ", "month.");
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
    server().answer = inTurn(failure, failure, says("Fine."));
    expect(await ask()).toMatchObject({ pieces: ["Fine."], answer: { text: "Fine." } });
    expect(server().received).toHaveLength(3);
  });

  it("is tried again when the first token does not come", async () => {
    configure({ MODEL_FIRST_TOKEN_TIMEOUT_MS: 100 });
    server().answer = inTurn(() => undefined, says("Fine."));
    expect(await ask()).toMatchObject({ answer: { text: "Fine." } });
  });

  it("fails after three attempts, each of which reached the provider", async () => {
    server().answer = refuses(503);
    expect(await ask()).toMatchObject({ error: { code: "AGENT_MODEL_UNAVAILABLE", retryable: true } });
    expect(server().received).toHaveLength(3);
  });

  it("is not tried again once text was shown: what failed is then the step", async () => {
    server().answer = inTurn(breaksOffAfter("Half "), says("Fine."));
    expect(await ask({ models: ["gpt-a", "local"] })).toMatchObject({
      pieces: ["Half "],
      error: { code: "AGENT_MODEL_UNAVAILABLE" },
    });
    expect(server().received).toHaveLength(1);
  });

  it.each([[400], [401]])("is not tried again when the provider refuses it with %i", async (status) => {
    server().answer = refuses(status);
    expect(await ask()).toMatchObject({ error: { retryable: false } });
    expect(server().received).toHaveLength(1);
  });

  it("holds no worker for a long pause, and gives the provider that pause in all later calls", async () => {
    server().answer = refuses(429, { "retry-after": "30" });
    expect(await ask()).toMatchObject({ error: { code: "AGENT_MODEL_RATE_LIMITED", retryAfterMs: 30_000 } });
    const { error } = await ask();
    expect(error).toMatchObject({ code: "AGENT_MODEL_RATE_LIMITED", retryable: true });
    expect((error as { retryAfterMs: number }).retryAfterMs).toBeLessThanOrEqual(30_000);
    expect(server().received).toHaveLength(1);
  });

  it("leaves a provider alone that keeps failing, for all runs of the process", async () => {
    configure({}, { failuresToOpen: 3, openForMs: 3_600_000 });
    server().answer = inTurn(refuses(503), refuses(503), refuses(503), says("Fine."));
    await ask();
    const { error } = await ask({ models: ["gpt-b"] }, { scope: aCaller() });
    expect(error).toMatchObject({ code: "AGENT_MODEL_UNAVAILABLE", retryable: true, details: { leftAlone: true } });
    expect((error as { retryAfterMs: number }).retryAfterMs).toBeGreaterThan(1_000_000);
    expect(server().received).toHaveLength(3);
  });

  it("ends at once when it is cancelled, also while it waits for its next attempt", async () => {
    const controller = new AbortController();
    server().answer = (response) => {
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
    server().answer = inTurn(half, says("Fine."));
    expect(await ask()).toMatchObject({ answer: { text: "Fine." }, billed: [billed] });
    server().answer = breaksOffAfter("Half ");
    expect(await ask()).toMatchObject({ error: { code: "AGENT_MODEL_UNAVAILABLE" }, billed: [billed] });
  });

  it("keeps what no column can hold out of the text", async () => {
    server().answer = says("a\0b", "\ud800", "c");
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
    server().answer = byModel({ "gpt-a": failure, "gpt-b": says("From b.") });
    const { answer } = await ask({ models: ["gpt-a", "gpt-b"] });
    expect(answer).toMatchObject({ text: "From b.", model: "gpt-b", usage: { inputTokens: 20, outputTokens: 1 } });
    expect(models().at(-1)).toBe("gpt-b");
  });

  it("answers when the agent's own model is not configured here, and when its provider is left alone", async () => {
    useModels(loadConfig({}));
    expect(await ask({ models: ["gpt-a", "local"] })).toMatchObject({ answer: { model: "local" } });
    configure({}, { failuresToOpen: 1, openForMs: 3_600_000 });
    server().answer = refuses(503);
    await ask();
    expect(server().received).toHaveLength(1);
    expect(await ask({ models: ["gpt-a", "local"] })).toMatchObject({
      answer: { model: "local", reason: "tool_calls" },
    });
    expect(server().received).toHaveLength(1);
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
      server().answer = answer;
      expect(await ask({ models: ["gpt-a", "local"] })).toMatchObject({ error: { code } });
    }
  });

  it("reports the failure of the agent's own model when none answers", async () => {
    server().answer = byModel({ "gpt-a": refuses(429, { "retry-after": "60" }), "gpt-b": refuses(401) });
    expect(await ask({ models: ["gpt-a", "gpt-b"] })).toMatchObject({
      error: { code: "AGENT_MODEL_RATE_LIMITED", retryAfterMs: 60_000 },
    });
  });
});
