import type { Message } from "@sba/platform/generated/prisma/client";
import { describe, expect, it } from "vitest";
import { recordedMessages } from "./fork.ts";
import { openCalls, type MessageToolCall } from "./message.ts";
import { shownMessages, summaryMessageText } from "./summary.ts";

const [EARLIER, RUN, FORK] = ["018f-a", "018f-b", "018f-c"];

function message(runId: string, ordinal: number, role: string, text: string, more: Partial<Message> = {}): Message {
  return {
    ...{ tenantId: "t", runId, ordinal, role, text, toolCalls: null, toolCallId: null, asksPerson: false },
    ...{ seq: ordinal, createdAt: new Date(0), ...more },
  };
}

const call = (id: string): MessageToolCall => ({ id, name: "knowledge.search", params: { query: id } });
const asks = (...ids: string[]) => ({ toolCalls: ids.map(call) as unknown as Message["toolCalls"] });
const fork = (history: readonly Message[], prompt?: string) =>
  recordedMessages(history, { fromRunId: RUN, toRunId: FORK, prompt });

describe("what a fork is told", () => {
  const history = [
    message(EARLIER, 1, "user", "first"),
    message(EARLIER, 2, "assistant", "", asks("left-open")),
    message(RUN, 1, "user", "second"),
    message(RUN, 2, "assistant", "", asks("answered", "open")),
    message(RUN, 3, "tool", "{}", { toolCallId: "answered" }),
  ];

  it("has the places that it had in the run, and places below 1 for what was said before it", () => {
    const copies = fork(history);
    expect(copies.map(({ ordinal }) => ordinal)).toEqual([-1, 0, 1, 2, 3]);
    expect(new Set(copies.map(({ runId }) => runId))).toEqual(new Set([FORK]));
  });

  it("leaves the fork those calls alone that had no outcome in the run, under ids of their own", () => {
    const open = openCalls(fork(history), FORK);
    expect(open).toEqual([{ ...call("open"), id: expect.not.stringMatching(/^open$/) as string }]);
    expect(openCalls(fork(history, "third"), FORK)).toEqual([]);
  });

  it("keeps in a summary's place what it stood for, also when that is not copied", () => {
    const summary = (runId: string, ordinal: number) =>
      message(RUN, 2, "summary", summaryMessageText({ runId, ordinal }, "about the first"));
    const shown = (runId: string, ordinal: number) => {
      const summarised = [...history.slice(0, 3), summary(runId, ordinal), message(RUN, 3, "assistant", "third")];
      expect(shownMessages(fork(summarised))).toEqual(shownMessages(summarised));
      return shownMessages(summarised).map(({ text }) => text);
    };
    expect(shown(EARLIER, 2)).toEqual([expect.stringContaining("about the first"), "second", "third"]);
    // And the call of the earlier run that had no outcome is told as such.
    expect(shown("018f-0", 9)).toHaveLength(6);
  });

  it("ends with what the person says, in place of words that nothing had followed", () => {
    const texts = (prompt: string, until: number) => fork(history.slice(0, until), prompt).slice(2);
    expect(texts("instead", 3)).toMatchObject([{ ordinal: 1, role: "user", text: "instead" }]);
    expect(texts("after", 5)).toMatchObject([
      { ordinal: 1, text: "second" },
      { ordinal: 2, toolCalls: [{ id: "answered" }] },
      { ordinal: 3, toolCallId: "answered" },
      { ordinal: 4, role: "user", text: "after", toolCallId: null },
    ]);
  });
});
