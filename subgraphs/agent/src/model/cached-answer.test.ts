import { aCaller, aColleagueOf } from "@sba/testkit/fixtures";
import { useDatabase } from "@sba/testkit/services";
import { describe, expect, it } from "vitest";
import { cacheKeyOf } from "./cached-answer.ts";
import { forgetExpiredAnswers } from "./index.ts";
import {
  aRequest,
  ask,
  byModel,
  inTurn,
  openChunks,
  refuses,
  says,
  useScriptedModels,
  type AskInput,
} from "./testing.ts";

const database = useDatabase();
const { server } = useScriptedModels();

describe("a cached answer", () => {
  const cached = { answerCacheSeconds: 3_600 };
  const conversation = (id: string): AskInput => ({
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
    server().answer = says("One ", "month ", "at most.");
    await ask(cached, { scope });
    server().answer = refuses(503);
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
    expect(server().received).toHaveLength(1);
  });

  it("is given to colleagues and never to another tenant", async () => {
    const scope = aCaller();
    server().answer = inTurn(says("Ours."), says("Theirs."));
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
    server().answer = says("Fine.");
    const request = aRequest();
    const others: AskInput[] = [
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
    server().answer = says("Fine.");
    await ask(conversation("018f-first"), { scope });
    expect((await ask(conversation("018f-second"), { scope })).answer?.isCached).toBe(true);
  });

  it("is given only where it fits into the tokens, and kept only when it was whole", async () => {
    const scope = aCaller();
    const limit = (maxOutputTokens: number): AskInput => ({
      ...cached,
      request: { maxOutputTokens },
    });
    server().answer = (response) => {
      const chunks = openChunks(response);
      chunks.text("Cut");
      chunks.end("length", { prompt_tokens: 1, completion_tokens: 1 });
    };
    await ask(limit(1), { scope });
    server().answer = says("Two ", "words.");
    expect((await ask(limit(100), { scope })).answer).toMatchObject({ text: "Two words.", isCached: false });
    expect((await ask(limit(2), { scope })).answer?.isCached).toBe(true);
    expect((await ask(limit(1), { scope })).answer?.isCached).toBe(false);
  });

  it("keeps tool calls, with whatever a model wrote into them", async () => {
    const scope = aCaller();
    server().answer = (response) => {
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
    server().answer = byModel({ "gpt-a": refuses(401), "gpt-b": says("From b.") });
    await ask({ ...cached, models: ["gpt-a", "gpt-b"] }, { scope });
    server().answer = says("From a.");
    expect((await ask(cached, { scope })).answer).toMatchObject({ text: "From a.", isCached: false });
  });

  it("ends when it expires, and is then forgotten, which others are not", async () => {
    const [scope, other] = [aCaller(), aCaller()];
    server().answer = says("Fine.");
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
    server().answer = says("One ", "month.");
    await ask({}, { scope });
    expect((await ask({}, { scope })).answer?.isCached).toBe(false);
    await ask(cached, { scope });
    expect(await ask(cached, { scope, signal: AbortSignal.abort() })).toMatchObject({
      error: { code: "OPERATION_CANCELLED" },
    });
  });
});
