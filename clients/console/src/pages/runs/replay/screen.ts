import type { EventOf, RunEvent } from "../timeline.ts";

/** What a reader of the run had before them once an event had come: folded from the events up to it. */

export interface Screen {
  readonly status: string | undefined;
  /** What each step has written so far, in order. */
  readonly texts: readonly StepText[];
  readonly toolCalls: readonly EventOf<"ToolRequested">["toolCall"][];
  readonly approvals: readonly EventOf<"ApprovalRequested">["approval"][];
  readonly artifacts: readonly NonNullable<EventOf<"ArtifactCreated">["artifact"]>[];
  readonly inputs: readonly string[];
  readonly costMicros: bigint;
  readonly currency: string | undefined;
  readonly error: EventOf<"RunFailed">["error"];
}

interface StepText {
  readonly stepNumber: number;
  readonly text: string;
}

export const BLANK: Screen = {
  ...{ status: undefined, texts: [], toolCalls: [], approvals: [], artifacts: [], inputs: [] },
  ...{ costMicros: 0n, currency: undefined, error: null },
};

/** Screens at any event, without folding from the beginning each time: every so many events one is kept. */
export interface Screens {
  /** After the first `count` events. */
  at(count: number): Screen;
}

const KEEP_EVERY = 250;

export function screensOf(events: readonly RunEvent[]): Screens {
  const kept: Screen[] = [BLANK];
  return {
    at: (count) => {
      const wanted = Math.floor(count / KEEP_EVERY);
      for (let index = kept.length; index <= wanted; index++) {
        const from = (index - 1) * KEEP_EVERY;
        kept.push(fold(kept[index - 1] ?? BLANK, events.slice(from, from + KEEP_EVERY)));
      }
      return fold(kept[wanted] ?? BLANK, events.slice(wanted * KEEP_EVERY, count));
    },
  };
}

interface Draft {
  readonly texts: Map<number, string>;
  readonly toolCalls: Map<string, Screen["toolCalls"][number]>;
  readonly approvals: Map<string, Screen["approvals"][number]>;
  readonly artifacts: Map<string, Screen["artifacts"][number]>;
  readonly inputs: string[];
  status: string | undefined;
  costMicros: bigint;
  currency: string | undefined;
  error: Screen["error"];
}

export function fold(screen: Screen, events: readonly RunEvent[]): Screen {
  const byId = <T extends { readonly id: string }>(items: readonly T[]) =>
    new Map(items.map((item) => [item.id, item]));
  const draft: Draft = {
    ...screen,
    texts: new Map(screen.texts.map(({ stepNumber, text }) => [stepNumber, text])),
    toolCalls: byId(screen.toolCalls),
    approvals: byId(screen.approvals),
    artifacts: byId(screen.artifacts),
    inputs: [...screen.inputs],
  };
  for (const event of events) apply(draft, event);
  const { texts, toolCalls, approvals, artifacts, ...rest } = draft;
  return {
    ...rest,
    texts: [...texts].filter(([, text]) => text !== "").map(([stepNumber, text]) => ({ stepNumber, text })),
    toolCalls: [...toolCalls.values()],
    approvals: [...approvals.values()],
    artifacts: [...artifacts.values()],
  };
}

function apply(draft: Draft, event: RunEvent): void {
  switch (event.__typename) {
    case "RunStatusChanged":
      draft.status = event.to;
      break;
    case "StepRestarted":
      // An attempt that failed midway has left text that counts no more.
      draft.texts.set(event.step.number, "");
      break;
    case "TokenDelta":
      draft.texts.set(event.stepNumber, (draft.texts.get(event.stepNumber) ?? "") + event.text);
      break;
    case "ToolRequested":
    case "ToolResulted":
    case "ToolOutcomeUnknown":
      draft.toolCalls.set(event.toolCall.id, event.toolCall);
      break;
    case "ApprovalRequested":
    case "ApprovalDecided":
      draft.approvals.set(event.approval.id, event.approval);
      break;
    case "ArtifactCreated":
      if (event.artifact) draft.artifacts.set(event.artifact.id, event.artifact);
      break;
    case "UsageRecorded":
      for (const { cost } of event.usage) {
        draft.costMicros += BigInt(cost.amountMicros);
        draft.currency = cost.currency;
      }
      break;
    case "RunInputReceived":
      draft.inputs.push(event.text);
      break;
    case "RunFailed":
      draft.error = event.error;
      break;
    default:
      break;
  }
}
