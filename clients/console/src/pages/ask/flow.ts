import type { RunLive, RunLiveApproval, RunLiveInput, RunLiveToolCall } from "@sba/client";

/** What happened in a run, in the order in which a person reads it. Pure. */

export type FlowItem =
  | { readonly kind: "text"; readonly key: string; readonly text: string; readonly isOpen: boolean }
  | {
      readonly kind: "tool";
      readonly key: string;
      readonly call: RunLiveToolCall;
      /** A person has to decide before it is called. */
      readonly isWaiting: boolean;
    }
  | { readonly kind: "input"; readonly key: string; readonly input: RunLiveInput }
  | { readonly kind: "approval"; readonly key: string; readonly approval: RunLiveApproval };

/**
 * Model turns have text; each turn of a tool is the next call that was asked for; what has not begun comes last.
 * An approval follows its call. It keeps its key wherever it stands: what is being typed into it must not be lost.
 */
export function flowOf({
  steps,
  toolCalls,
  approvals,
  inputs,
}: Pick<RunLive, "steps" | "toolCalls" | "approvals" | "inputs">): readonly FlowItem[] {
  const calls = [...toolCalls];
  const asked = [...approvals];
  const items: FlowItem[] = [];
  const addCall = (call: RunLiveToolCall): void => {
    const isLast = !calls.some(({ name }) => name === call.name);
    const own = takeAll(asked, ({ action }) => action === call.name, isLast ? Infinity : 1);
    items.push({ kind: "tool", key: call.id, call, isWaiting: own.some(({ status }) => status === "PENDING") });
    for (const approval of own) items.push({ kind: "approval", key: approval.id, approval });
  };
  for (const { number, type, text, endedAt } of steps) {
    for (const input of inputs)
      if (input.toldInStep === number) items.push({ kind: "input", key: keyOf(input), input });
    if (type === "TOOL") {
      const call = calls.shift();
      if (call) addCall(call);
    } else if (text !== "") items.push({ kind: "text", key: `step-${number}`, text, isOpen: endedAt === null });
  }
  for (let call = calls.shift(); call; call = calls.shift()) addCall(call);
  for (const approval of asked) items.push({ kind: "approval", key: approval.id, approval });
  for (const input of inputs)
    if (input.toldInStep === undefined) items.push({ kind: "input", key: keyOf(input), input });
  return items;
}

function keyOf({ at, ordinal, answeringRunId }: RunLiveInput): string {
  return `input-${ordinal ?? answeringRunId}-${at}`;
}

/** Takes the first of them, or all, out of the list. */
function takeAll<T>(items: T[], isWanted: (item: T) => boolean, count: number): T[] {
  const taken: T[] = [];
  for (let index = items.findIndex(isWanted); index >= 0 && taken.length < count; index = items.findIndex(isWanted))
    taken.push(...items.splice(index, 1));
  return taken;
}

/** Whether the run does something, or will without anybody's doing. */
export function isWorking(status: string): boolean {
  return ["CREATED", "EXECUTING", "WAITING_TOOL", "CANCELLING"].includes(status);
}
