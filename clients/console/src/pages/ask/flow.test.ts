import type { RunLive } from "@sba/client";
import { describe, expect, test } from "vitest";
import { isEnded } from "../../data/is-ended.ts";
import { flowOf, isWorking } from "./flow.ts";

const AT = "2026-01-01T00:00:00Z";
const step = (number: number, type: "MODEL" | "TOOL", text = "", endedAt: string | null = AT) => ({
  ...{ number, type, text, endedAt, startedAt: AT },
});
const call = (id: string, name: string) => ({ id, name }) as RunLive["toolCalls"][number];
const approval = (id: string, action: string) => ({ id, action }) as RunLive["approvals"][number];
const input = (text: string, toldInStep?: number) =>
  ({ text, toldInStep, ordinal: 1, at: AT }) as RunLive["inputs"][number];
const keys = (run: Partial<RunLive>) =>
  flowOf({ steps: [], toolCalls: [], approvals: [], inputs: [], ...run }).map(({ kind, key }) => `${kind} ${key}`);

describe("the flow of a run", () => {
  test("is its texts and tool calls in the order of its steps, and then what has not begun", () => {
    expect(
      keys({
        steps: [step(1, "MODEL"), step(2, "TOOL"), step(3, "MODEL", "So."), step(4, "MODEL", "And", null)],
        toolCalls: [call("tcl_1", "knowledge.search"), call("tcl_2", "task.create")],
      }),
    ).toEqual(["tool tcl_1", "text step-3", "text step-4", "tool tcl_2"]);
  });

  test("asks for approval where the tool is called, of each of several calls its own", () => {
    expect(
      keys({
        toolCalls: [call("tcl_1", "task.create"), call("tcl_2", "task.create")],
        approvals: [
          approval("apr_1", "task.create"),
          approval("apr_2", "task.create"),
          approval("apr_3", "task.create"),
        ],
      }),
    ).toEqual(["tool tcl_1", "approval apr_1", "tool tcl_2", "approval apr_2", "approval apr_3"]);
    expect(keys({ approvals: [approval("apr_4", "webhook.send")] })).toEqual(["approval apr_4"]);
  });

  test("has what a person said before the turn that was told, or at the end", () => {
    expect(
      keys({ steps: [step(1, "MODEL", "a"), step(2, "MODEL", "b")], inputs: [input("told", 2), input("not yet")] }),
    ).toEqual([`text step-1`, `input input-1-${AT}`, "text step-2", `input input-1-${AT}`]);
  });
});

test("a run that waits for a person is neither at work nor ended", () => {
  expect(["AWAITING_APPROVAL", "AWAITING_INPUT", "PAUSED"].some((status) => isWorking(status) || isEnded(status))).toBe(
    false,
  );
  expect([isWorking("EXECUTING"), isEnded("FAILED")]).toEqual([true, true]);
});
