import { describe, expect, it } from "vitest";
import { citationsOf } from "./citations.ts";
import { localProvider, LOCAL_MODEL } from "./local.ts";
import type { ModelMessage, ModelToolCall } from "./model.ts";
import { planParams } from "./plan-call.ts";
import { afterSearch, aRequest, collectTurn, HITS, modelContract, SEARCH_TOOL } from "./testing.ts";
import { countRequestTokens, countTokens } from "./tokens.ts";

modelContract("local", () => ({ provider: localProvider, model: LOCAL_MODEL }));

const RENDER_TOOL = {
  name: "document.render",
  description: "Writes a document.",
  paramsSchema: { type: "object", properties: { title: { type: "string", maxLength: 200 } } },
};
const TASK_TOOL = {
  name: "task.create",
  description: "Creates a task.",
  paramsSchema: { type: "object", properties: { title: { type: "string", maxLength: 200 } } },
};
const ALL_TOOLS = [SEARCH_TOOL, RENDER_TOOL, TASK_TOOL];
const SEARCH: ModelToolCall = { id: "call_1", name: "knowledge.search", params: { query: "notice" } };

const turn = (messages: readonly ModelMessage[], tools = ALL_TOOLS) =>
  collectTurn(localProvider, aRequest({ messages, tools }));
const asked = (text: string, tools = ALL_TOOLS) => turn([{ role: "user", text }], tools);

describe("the built-in model asked for a plan", () => {
  const plan = async (text: string, tools = ALL_TOOLS) => {
    const request = aRequest({ messages: [{ role: "user", text }], tools, purpose: "plan" });
    const { calls } = await collectTurn(localProvider, request);
    return planParams(tools).parse(calls[0]!.params).steps;
  };

  it("names the steps that its turns would take, and no tool that it is not offered", async () => {
    expect((await plan("What is the notice period?")).map(({ tool }) => tool)).toEqual([
      "knowledge.search",
      null,
      "document.render",
    ]);
    expect((await plan("What is the notice period?", [SEARCH_TOOL])).map(({ tool }) => tool)).toEqual([
      "knowledge.search",
      null,
    ]);
    expect(await plan("Create a task to call Ada")).toEqual([
      { title: "Create the task “call Ada”", tool: "task.create" },
      { title: "Say what was done", tool: null },
    ]);
    expect(await plan("?!")).toEqual([{ title: "Ask what is wanted", tool: null }]);
    expect(await plan("What are you?")).toEqual([{ title: "Answer", tool: null }]);
  });

  it("keeps titles as short as a plan's may be", async () => {
    const [step] = await plan(`Create a task to ${"🦆".repeat(150)}`);
    expect(step!.title.length).toBeLessThanOrEqual(200);
  });
});

describe("the built-in model with a question", () => {
  it("looks it up first, then answers with citations and writes the document in the same turn, then ends without more text", async () => {
    const first = await asked("What is the notice period for employees?");
    expect(first).toMatchObject({
      text: "",
      calls: [{ name: "knowledge.search", params: { query: "What is the notice period for employees?" } }],
    });

    const messages = afterSearch(first.calls[0]!);
    const second = await turn(messages);
    expect(second.text).toContain("The notice period for employees is one month [1].");
    expect(citationsOf(second.text, HITS.hits).map(({ hit }) => hit.number)).toEqual([1, 2]);
    expect(second.finish.reason).toBe("tool_calls");
    expect(second.calls).toMatchObject([
      { name: "document.render", params: { title: "What is the notice period for employees?", format: "markdown" } },
    ]);
    expect(second.calls[0]?.id).not.toBe(first.calls[0]?.id);
    const { markdown } = second.calls[0]!.params as { markdown: string };
    expect(markdown).toContain("# What is the notice period for employees?");
    expect(markdown).toContain("one month [1]");
    expect(markdown).toContain("- [1] Employment\n- [2] Managers");

    const rendered: ModelMessage[] = [
      ...messages,
      { role: "assistant", text: second.text, toolCalls: second.calls },
      { role: "tool", toolCallId: second.calls[0]!.id, text: JSON.stringify({ artifactId: "art_1" }) },
    ];
    expect(await turn(rendered)).toMatchObject({ text: "", calls: [], finish: { reason: "stop" } });
  });

  it("says the same thing every time", async () => {
    const [first, second] = [await turn(afterSearch(SEARCH)), await turn(afterSearch(SEARCH))];
    expect(second).toEqual(first);
  });

  it("says plainly when nothing was found, and writes no document", async () => {
    const { text, calls } = await turn(afterSearch(SEARCH, { hits: [] }));
    expect(text).toMatch(/found nothing/);
    expect(calls).toEqual([]);
  });

  it("says plainly when the passages do not answer, and names the closest", async () => {
    const hits = [{ ...HITS.hits[0]!, text: "Lunch is served between noon and two." }];
    const { text } = await turn(afterSearch(SEARCH, { hits }));
    expect(text).toMatch(/no passage that answers this directly.*“Employment” \[1\]/);
  });

  it("says that the look-up failed, and why", async () => {
    const { text, calls } = await turn(
      afterSearch(SEARCH, {
        error: { code: "PERMISSION_MISSING", message: "The permission knowledge:read is missing." },
      }),
    );
    expect(text).toBe("I could not search the documents: The permission knowledge:read is missing.");
    expect(calls).toEqual([]);
  });

  it("says that the document could not be written", async () => {
    const render = { id: "call_2", name: "document.render", params: {} };
    const failed = JSON.stringify({
      error: { code: "INTEGRATIONS_TOOL_FAILED", message: "The tool document.render failed." },
    });
    const messages: ModelMessage[] = [
      ...afterSearch(SEARCH),
      { role: "assistant", text: "x", toolCalls: [render] },
      { role: "tool", toolCallId: "call_2", text: failed },
    ];
    expect((await turn(messages)).text).toBe("The tool document.render failed: The tool document.render failed.");
  });

  it("keeps what documents say as text in the Markdown that it writes", async () => {
    const hits = [
      {
        ...HITS.hits[0]!,
        title: "<b>Employment</b> [x](javascript:alert(1))",
        text: "The notice period for employees is *one* <script>month</script> exactly.",
      },
    ];
    const { calls } = await turn(afterSearch(SEARCH, { hits }));
    const { markdown } = calls[0]!.params as { markdown: string };
    expect(markdown).toContain("\\<script\\>");
    expect(markdown).toContain("\\[x\\](javascript");
    expect(markdown).toContain("exactly [1].");
  });

  it("survives a result that is no JSON", async () => {
    const messages: ModelMessage[] = [
      { role: "user", text: "Notice?" },
      { role: "assistant", text: "", toolCalls: [SEARCH] },
      { role: "tool", toolCallId: SEARCH.id, text: "<html>" },
    ];
    expect((await turn(messages)).text).toMatch(/found nothing/);
  });
});

describe("the built-in model without a question", () => {
  it.each(["", "   ", "???", "please", "and then what is it"])(
    "asks back when the prompt %j says nothing",
    async (text) => {
      const { text: answer, calls, finish } = await asked(text);
      expect(answer).toMatch(/What would you like to know/);
      expect(calls).toEqual([]);
      expect(finish.reason).toBe("needs_input");
    },
  );

  it("goes on with the answer to its question", async () => {
    const messages: ModelMessage[] = [
      { role: "user", text: "please" },
      { role: "assistant", text: "What would you like to know?", toolCalls: [] },
      { role: "user", text: "The notice period" },
    ];
    expect((await turn(messages)).calls).toMatchObject([
      { name: "knowledge.search", params: { query: "The notice period" } },
    ]);
  });

  it.each([
    "Who are you?",
    "What are you exactly, and what can you do",
    "Which model are you?",
    "are you an AI",
    "What model do you use?",
  ])("says what it is when asked: %s", async (question) => {
    const { text, calls, finish } = await asked(question);
    expect(text).toMatch(/built-in local model.*not a large language model/s);
    expect(calls).toEqual([]);
    expect(finish.reason).toBe("stop");
  });

  it("does not take a question about others for one about itself", async () => {
    expect((await asked("Who are the managers?")).calls).toMatchObject([{ name: "knowledge.search" }]);
    expect((await asked("Which wing model was tested?")).calls).toMatchObject([{ name: "knowledge.search" }]);
  });

  it("without tools answers from the conversation only, and says what it is", async () => {
    const messages: ModelMessage[] = [
      { role: "user", text: "Our office in Bandung opens at nine on Mondays." },
      { role: "assistant", text: "Noted.", toolCalls: [] },
      { role: "user", text: "When does the Bandung office open?" },
    ];
    const { text } = await turn(messages, []);
    expect(text).toContain("Our office in Bandung opens at nine on Mondays.");
    expect(text).toContain("built-in local model");
    expect((await asked("When does the office open?", [])).text).toContain("no tool to look this up");
  });
});

describe("the built-in model with a task to create", () => {
  it.each([
    ["Create a task to call the supplier", { title: "call the supplier" }],
    ["Please create a new task: Review the contract.", { title: "Review the contract" }],
    ['Could you add a task called "Order paper"?', { title: "Order paper" }],
    [
      "add a to-do for me: renew the lease. The landlord needs it by May.",
      { title: "renew the lease", description: "renew the lease. The landlord needs it by May." },
    ],
  ])("asks for it: %s", async (prompt, params) => {
    const { calls, finish } = await asked(prompt);
    expect(calls).toMatchObject([{ name: "task.create" }]);
    expect(calls[0]?.params).toEqual(params);
    expect(finish.reason).toBe("tool_calls");
  });

  it("cuts a title that is longer than the tool takes", async () => {
    const { calls } = await asked(`Create a task to ${"count ".repeat(100)}`);
    expect((calls[0]!.params as { title: string }).title).toHaveLength(200);
  });

  it("asks what the task should say, and takes the answer for it", async () => {
    const first = await asked("Create a task");
    expect(first.finish.reason).toBe("needs_input");
    const messages: ModelMessage[] = [
      { role: "user", text: "Create a task" },
      { role: "assistant", text: first.text, toolCalls: [] },
      { role: "user", text: "Call Ada" },
    ];
    expect((await turn(messages)).calls).toMatchObject([{ name: "task.create", params: { title: "Call Ada" } }]);
  });

  const outcome = (result: unknown): Promise<{ text: string; calls: readonly ModelToolCall[] }> => {
    const call = { id: "call_1", name: "task.create", params: { title: "Call Ada" } };
    return turn([
      { role: "user", text: "Create a task to Call Ada" },
      { role: "assistant", text: "", toolCalls: [call] },
      { role: "tool", toolCallId: "call_1", text: JSON.stringify(result) },
    ]);
  };

  it("reports that it was created", async () => {
    expect(await outcome({ taskId: "tsk_1" })).toMatchObject({
      text: "I created the task “Call Ada” (tsk_1).",
      calls: [],
    });
  });

  it("reports that it was denied, with the reason", async () => {
    const denied = await outcome({
      error: { code: "AGENT_APPROVAL_DENIED", message: "A person denied this call: not now" },
    });
    expect(denied).toMatchObject({
      text: "The task “Call Ada” was not created: A person denied this call: not now",
      calls: [],
    });
  });

  it("looks a question about tasks up, and asks for no tool that it was not given", async () => {
    expect((await asked("Which tasks are open?")).calls).toMatchObject([{ name: "knowledge.search" }]);
    expect((await asked("Create a task to call Ada", [SEARCH_TOOL])).calls).toMatchObject([
      { name: "knowledge.search" },
    ]);
  });
});

describe("tokens of the built-in model", () => {
  it("are words, and each other visible character", () => {
    expect(countTokens("The wing's lift, 12.5 %!")).toBe(11);
    expect(countTokens(" \n\t")).toBe(0);
    expect(countTokens("é日本 ok")).toBe(2);
  });

  it("count all that went in and all that came out", async () => {
    const request = aRequest({
      instructions: "a b",
      messages: [{ role: "user", text: "tell me about lift" }],
      tools: [],
    });
    expect(countRequestTokens(request)).toBe(6);
    const { text, finish } = await collectTurn(localProvider, request);
    expect(finish.usage).toEqual({ inputTokens: 6, outputTokens: countTokens(text), isEstimated: false });
  });

  it("are never more than were allowed, whatever the limit", async () => {
    for (let limit = 1; limit < 200; limit += 7) {
      const { finish } = await collectTurn(
        localProvider,
        aRequest({ messages: afterSearch(SEARCH), tools: ALL_TOOLS, maxOutputTokens: limit }),
      );
      expect(finish.usage.outputTokens).toBeLessThanOrEqual(limit);
    }
  });
});
