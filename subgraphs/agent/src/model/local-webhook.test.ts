import { describe, expect, it } from "vitest";
import { localProvider } from "./local.ts";
import type { ModelMessage, ModelTool } from "./model.ts";
import { aRequest, collectTurn, SEARCH_TOOL } from "./testing.ts";

const WEBHOOK_TOOL: ModelTool = {
  name: "webhook.send",
  description: "Sends a JSON object to a webhook endpoint.",
  paramsSchema: { type: "object", properties: { endpoint: { type: "string" }, payload: { type: "object" } } },
};

const turn = (messages: readonly ModelMessage[], tools: readonly ModelTool[] = [SEARCH_TOOL, WEBHOOK_TOOL]) =>
  collectTurn(localProvider, aRequest({ messages, tools }));
const asked = async (text: string, tools?: readonly ModelTool[]) => (await turn([{ role: "user", text }], tools)).calls;

describe("the built-in model that is to send something", () => {
  it.each([
    ['Send {"order": 42} to the webhook orders.', "orders", { order: 42 }],
    ['please post {"a": {"b": [1, 2]}} to webhook "crm-2"', "crm-2", { a: { b: [1, 2] } }],
    ['Send "We are closed." to the webhook News', "news", { text: "We are closed." }],
  ])("calls the tool: %s", async (text, endpoint, payload) => {
    expect(await asked(text)).toMatchObject([{ name: "webhook.send", params: { endpoint, payload } }]);
  });

  it.each(["Send {broken to the webhook orders", "Send {order: 42} to the webhook orders", "What is a webhook?"])(
    "takes nothing else for it: %s",
    async (text) => {
      expect(await asked(text)).toMatchObject([{ name: "knowledge.search" }]);
    },
  );

  it("does not call what the agent does not have", async () => {
    expect(await asked('Send {"order": 42} to the webhook orders.', [SEARCH_TOOL])).toMatchObject([
      { name: "knowledge.search" },
    ]);
  });

  it.each([
    [{ status: 200, response: "" }, "I sent it to the webhook “orders”."],
    [{ error: { code: "X", message: "It is closed." } }, "It was not sent to the webhook “orders”: It is closed."],
  ])("says what became of it", async (result, text) => {
    const call = { id: "call_1", name: "webhook.send", params: { endpoint: "orders", payload: {} } };
    const messages: ModelMessage[] = [
      { role: "user", text: 'Send {"order": 42} to the webhook orders.' },
      { role: "assistant", text: "", toolCalls: [call] },
      { role: "tool", toolCallId: call.id, text: JSON.stringify(result) },
    ];
    expect(await turn(messages)).toMatchObject({ text, calls: [], finish: { reason: "stop" } });
  });
});
