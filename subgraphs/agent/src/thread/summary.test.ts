import type { Message } from "@sba/platform/generated/prisma/client";
import { describe, expect, it } from "vitest";
import { fitMessages, planSummary, shownMessages, summaryMessageText } from "./summary.ts";

const FIRST = "018f0000-0000-7000-8000-000000000001";
const SECOND = "018f0000-0000-7000-8000-000000000002";

/** Words: the tokens of these tests. */
const count = (text: string): number => text.split(/\s+/).filter(Boolean).length;
const words = (n: number): string => Array.from({ length: n }, (_, index) => `w${index}`).join(" ");

function conversation(runId = FIRST) {
  const messages: Message[] = [];
  const add = (role: string, text: string, more: Partial<Message> = {}) => {
    const ordinal = messages.length + 1;
    messages.push({
      ...{ tenantId: "t", runId, ordinal, role, text, toolCalls: null, toolCallId: null, asksPerson: false },
      ...{ createdAt: new Date(), seq: 1, ...more },
    });
    return chain;
  };
  const chain = {
    user: (text: string) => add("user", text),
    assistant: (text: string) => add("assistant", text),
    calls: (...ids: string[]) =>
      add("assistant", "", { toolCalls: ids.map((id) => ({ id, name: "knowledge.search", params: { query: id } })) }),
    result: (toolCallId: string, text: string) => add("tool", text, { toolCallId }),
    summary: (upTo: number, text: string) => add("summary", summaryMessageText(messages[upTo - 1]!, text)),
    messages,
  };
  return chain;
}

const texts = (history: readonly Message[]): string[] => shownMessages(history).map(({ text }) => text);

describe("what a model is shown", () => {
  it("is the whole history while there is no summary", () => {
    const { messages } = conversation().user("Hello?").assistant("Hi.").user("How long?");
    expect(shownMessages(messages)).toEqual([
      { role: "user", text: "Hello?" },
      { role: "assistant", text: "Hi.", toolCalls: [] },
      { role: "user", text: "How long?" },
    ]);
  });

  it("is the latest summary, and what it does not stand for", () => {
    const { messages } = conversation()
      .user("One?")
      .assistant("One.")
      .summary(2, "We spoke of one.")
      .user("Two?")
      .assistant("Two.")
      .user("Three?")
      .summary(5, "We spoke of one and two.");
    expect(texts(messages)).toEqual(["Summary of our conversation until now:\nWe spoke of one and two.", "Three?"]);
  });

  it("keeps the person's last words, also when the summary stands for them", () => {
    const { messages } = conversation()
      .user("How long?")
      .calls("a")
      .result("a", "{}")
      .summary(3, "Looked.")
      .calls("b")
      .result("b", "{}");
    expect(texts(messages)).toEqual(["Summary of our conversation until now:\nLooked.", "How long?", "", "{}"]);
  });

  it("goes on over the runs of a thread", () => {
    const earlier = conversation(FIRST).user("One?").assistant("One.").messages;
    const later = conversation(SECOND).user("Two?").assistant("Two.").messages;
    const history = [...earlier, ...later, ...conversation(SECOND).messages];
    const summary = {
      ...later[0]!,
      role: "summary",
      ordinal: 3,
      text: summaryMessageText(earlier[1]!, "We spoke of one."),
    };
    expect(texts([...history, summary])).toEqual([
      "Summary of our conversation until now:\nWe spoke of one.",
      "Two?",
      "Two.",
    ]);
  });

  it("has the summary that was just made, before it is stored", () => {
    const { messages } = conversation().user("One?").assistant("One.").user("Two?");
    expect(shownMessages(messages, summaryMessageText(messages[1]!, "We spoke of one."))).toHaveLength(2);
  });
});

describe("the plan of a summary", () => {
  it("is none while everything fits, and one word later there is one", () => {
    const { messages } = conversation().user(words(50)).assistant(words(40)).user("How?");
    expect(planSummary(messages, 91, count)).toBeUndefined();
    expect(planSummary(messages, 90, count)).toMatchObject({ upTo: { runId: FIRST, ordinal: 1 } });
  });

  it("keeps the latest messages that fill half of the room", () => {
    const { messages } = conversation()
      .user(words(40))
      .assistant(words(40))
      .user(words(20))
      .assistant(words(20))
      .user("How?");
    const plan = planSummary(messages, 90, count)!;
    expect(plan.upTo).toEqual({ runId: FIRST, ordinal: 2 });
    expect(plan.transcript).toMatch(/^Person: w0 .*\n\nAssistant: w0 /);
  });

  it("never parts a call from its results", () => {
    const { messages } = conversation()
      .user("How?")
      .calls("a", "b")
      .result("a", words(30))
      .result("b", words(30))
      .assistant(words(30));
    const plan = planSummary(messages, 80, count)!;
    expect(plan.upTo.ordinal).toBe(4);
    expect(plan.transcript).toContain('Assistant: [calls knowledge.search with {"query":"a"}] [calls knowledge.search');
    expect(plan.transcript).toContain("Tool: w0");
  });

  it("always keeps the last turn, however long, and is none when there is nothing else", () => {
    const { messages } = conversation().user("How?").calls("a").result("a", words(500));
    expect(planSummary(messages, 100, count)).toMatchObject({ upTo: { ordinal: 1 } });
    expect(planSummary(messages.slice(1), 100, count)).toBeUndefined();
  });

  it("builds on the summary before it", () => {
    const { messages } = conversation()
      .user("One?")
      .assistant("One.")
      .summary(2, "We spoke of one.")
      .user(words(60))
      .assistant(words(60))
      .user("Three?");
    const plan = planSummary(messages, 100, count)!;
    expect(plan.upTo.ordinal).toBe(5);
    expect(plan.transcript).toMatch(/^Earlier summary:\nWe spoke of one\.\n\nPerson: w0/);
    expect(plan.transcript).not.toContain("One?");
  });

  it("tells the question that is still to be answered, though an earlier summary stands for it", () => {
    const { messages } = conversation()
      .user("Why is the sky blue?")
      .calls("a")
      .result("a", "{}")
      .summary(3, "Looked.")
      .calls("b")
      .result("b", words(80))
      .assistant("Hm.")
      .user("");
    expect(planSummary(messages.slice(0, 7), 60, count)!.transcript).toContain("Person: Why is the sky blue?");
  });

  it("makes room: what is shown afterwards fits, whatever the conversation was", () => {
    for (let seed = 1; seed <= 200; seed++) {
      let state = seed;
      const random = (n: number): number => (state = (state * 48_271) % 2_147_483_647) % n;
      const talk = conversation().user(words(random(30) + 1));
      for (let turn = 0; turn < 12; turn++) {
        if (random(2) === 0) talk.calls(`c${turn}`).result(`c${turn}`, words(random(40)));
        else talk.assistant(words(random(30))).user(words(random(30) + 1));
      }
      const plan = planSummary(talk.messages, 150, count);
      if (!plan) continue;
      const shown = shownMessages(talk.messages, summaryMessageText(plan.upTo, words(20)));
      const total = shown.reduce((sum, { text }) => sum + count(text), 0);
      expect(total, `seed ${seed}`).toBeLessThanOrEqual(150);
      expect(count(plan.transcript), `seed ${seed}`).toBeLessThanOrEqual(2_000);
      const calls = new Set(
        shown.flatMap((message) => (message.role === "assistant" ? message.toolCalls : [])).map(({ id }) => id),
      );
      const results = shown.flatMap((message) => (message.role === "tool" ? [message.toolCallId] : []));
      expect(
        results.filter((id) => !calls.has(id)),
        `seed ${seed}`,
      ).toEqual([]);
    }
  });

  it("cuts long messages alike, so that none pushes out the others", () => {
    const { messages } = conversation()
      .user("Which rule?")
      .calls("a")
      .result("a", words(5_000))
      .user("Is it rule 7?")
      .calls("b")
      .result("b", words(3_000))
      .user(words(150));
    const { transcript, upTo } = planSummary(messages, 400, count)!;
    expect(upTo.ordinal).toBe(6);
    expect(count(transcript)).toBeLessThanOrEqual(200);
    expect(transcript).toContain("Which rule?");
    expect(transcript).toContain("Is it rule 7?");
    expect(transcript.match(/Tool: w0 .*…/g)).toHaveLength(2);
  });
});

describe("a last turn that is too long by itself", () => {
  const shown = [
    { role: "user" as const, text: words(200) },
    { role: "tool" as const, toolCallId: "a", text: words(3_000) },
    { role: "tool" as const, toolCallId: "b", text: words(10) },
  ];

  it("has its longest results cut, and nothing that anybody said", () => {
    const fitted = fitMessages(shown, 300, count);
    expect(fitted[0]).toEqual(shown[0]);
    expect(fitted[2]).toEqual(shown[2]);
    const { cut, text } = JSON.parse(fitted[1]!.text) as { cut: boolean; text: string };
    expect(cut).toBe(true);
    expect(words(3_000).startsWith(text.slice(0, -1))).toBe(true);
    expect(fitted.reduce((sum, message) => sum + count(message.text), 0)).toBeLessThanOrEqual(300);
  });

  it("is left as it is when it fits", () => {
    expect(fitMessages(shown, 3_210, count)).toEqual(shown);
  });
});
