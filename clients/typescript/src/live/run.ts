import type { RunLiveSnapshotQuery, RunLiveSubscription, StartRunLiveMutation } from "../generated/graphql.ts";
import type { LiveEvent, LiveModel } from "./definition.ts";

/** A run as its reader sees it: as it was read, with what its events say since, and the text that only they carry. */

type RunSnapshot = RunLiveSnapshotQuery["run"];
type RunEvent = RunLiveSubscription["runEvents"];
type EventOf<Name extends RunEvent["__typename"]> = Extract<RunEvent, { readonly __typename: Name }>;
export type RunLiveToolCall = EventOf<"ToolRequested">["toolCall"];
export type RunLiveApproval = RunSnapshot["approvals"][number];
export type RunLiveArtifact = RunSnapshot["artifacts"][number];
type UsageLines = EventOf<"UsageRecorded">["usage"];

export interface RunLiveStep {
  readonly number: number;
  readonly type: EventOf<"StepStarted">["step"]["type"];
  readonly startedAt: string;
  readonly endedAt: string | null;
  /** What it streamed; of a step that was started over, what it streamed since. */
  readonly text: string;
}

/** What a person said to the run while it was under way. */
export interface RunLiveInput {
  readonly text: string;
  readonly mode: EventOf<"RunInputReceived">["mode"];
  readonly at: string;
  readonly sentBy: EventOf<"RunInputReceived">["sentBy"];
  /** Null when another run answers: `answeringRunId`. */
  readonly ordinal: number | null;
  readonly answeringRunId: string;
  /** The step whose model turn was begun with it; undefined until one was. */
  readonly toldInStep: number | undefined;
}

export interface RunLive {
  /** Status, output, cost, usage, citations and error are those of now. */
  readonly run: Omit<RunSnapshot, "approvals" | "artifacts" | "cursor">;
  /** All that was streamed so far, in the order of steps. */
  readonly text: string;
  readonly steps: readonly RunLiveStep[];
  readonly toolCalls: readonly RunLiveToolCall[];
  readonly approvals: readonly RunLiveApproval[];
  readonly artifacts: readonly RunLiveArtifact[];
  readonly inputs: readonly RunLiveInput[];
  /** What was metered since the run began; undefined when not all events are there, and only the snapshot knows. */
  readonly metered: UsageLines | undefined;
}

export const runModel: LiveModel<RunLiveSnapshotQuery, RunLiveSubscription, RunLive> = {
  // Its text is nowhere but in the events.
  from: "replay",
  begin: ({ run: { approvals, artifacts, cursor: _cursor, ...run } }, isWhole) => ({
    run,
    text: "",
    steps: [],
    toolCalls: [],
    approvals,
    artifacts,
    inputs: [],
    metered: isWhole ? [] : undefined,
  }),
  fold: (state, events) => {
    const draft = draftOf(state);
    for (const event of events) apply(draft, event);
    return stateOf(draft);
  },
  isGap: ({ runEvents }) => runEvents.__typename === "StreamGap",
};

/**
 * A run that was just accepted, as `client.prepare(runLive, { runId: run.id }, newRun(run))` wants it. Undefined when it has begun
 * already, as it may when the answer to its first request was lost: then it has to be read.
 */
export function newRun(run: StartRunLiveMutation["startRun"]): RunLiveSnapshotQuery | undefined {
  if (run.status !== "CREATED") return undefined;
  const nothing = { startedBy: null, forkedFrom: null, cost: null, usage: null };
  return { run: { ...run, ...nothing, artifacts: [], citations: [], approvals: [] } };
}

interface Draft {
  run: RunLive["run"];
  metered: UsageLines | undefined;
  readonly steps: Map<number, RunLiveStep>;
  readonly toolCalls: Map<string, RunLiveToolCall>;
  readonly approvals: Map<string, RunLiveApproval>;
  readonly artifacts: Map<string, RunLiveArtifact>;
  inputs: readonly RunLiveInput[];
}

function draftOf({ run, metered, steps, toolCalls, approvals, artifacts, inputs }: RunLive): Draft {
  const byId = <T extends { readonly id: string }>(items: readonly T[]) =>
    new Map(items.map((item) => [item.id, item]));
  return {
    run,
    metered,
    steps: new Map(steps.map((step) => [step.number, step])),
    toolCalls: byId(toolCalls),
    approvals: byId(approvals),
    artifacts: byId(artifacts),
    inputs,
  };
}

function stateOf({ run, metered, steps: byNumber, toolCalls, approvals, artifacts, inputs }: Draft): RunLive {
  const steps = [...byNumber.values()].sort((one, other) => one.number - other.number);
  return {
    run,
    metered,
    steps,
    text: steps.map(({ text }) => text).join(""),
    toolCalls: [...toolCalls.values()],
    approvals: [...approvals.values()],
    artifacts: [...artifacts.values()],
    inputs,
  };
}

function apply(draft: Draft, { data: { runEvents: event }, isPast }: LiveEvent<RunLiveSubscription>): void {
  switch (event.__typename) {
    case "StepStarted":
    case "StepRestarted":
      // An attempt that failed midway has left text that counts no more.
      draft.steps.set(event.step.number, { ...event.step, endedAt: null, text: "" });
      break;
    case "StepFinished":
      draft.steps.set(event.step.number, { ...event.step, text: draft.steps.get(event.step.number)?.text ?? "" });
      break;
    case "TokenDelta":
      appendText(draft, event);
      break;
    case "ToolRequested":
    case "ToolResulted":
    case "ToolOutcomeUnknown":
      draft.toolCalls.set(event.toolCall.id, event.toolCall);
      break;
    case "ApprovalRequested":
    case "ApprovalDecided":
      if (!isPast || !draft.approvals.has(event.approval.id)) draft.approvals.set(event.approval.id, event.approval);
      break;
    case "ArtifactCreated":
      if (event.artifact) draft.artifacts.set(event.artifact.id, event.artifact);
      break;
    case "UsageRecorded":
      meter(draft, event.usage, isPast);
      break;
    case "RunStatusChanged":
      if (!isPast) draft.run = { ...draft.run, status: event.to };
      break;
    case "RunFinished":
      if (event.run && !isPast) draft.run = { ...draft.run, ...known(event.run) };
      break;
    case "RunFailed":
      if (!isPast) draft.run = { ...draft.run, ...known(event.run ?? {}), status: "FAILED", error: event.error };
      break;
    case "RunInputReceived": {
      const { text, mode, at, sentBy, ordinal, answeringRunId } = event;
      draft.inputs = [...draft.inputs, { text, mode, at, sentBy, ordinal, answeringRunId, toldInStep: undefined }];
      break;
    }
    case "RunInputTold":
      draft.inputs = draft.inputs.map((input) =>
        input.ordinal !== null && event.ordinals.includes(input.ordinal)
          ? { ...input, toldInStep: event.stepNumber }
          : input,
      );
      break;
    default:
      // What changes nothing that is shown, and what a newer API has added.
      break;
  }
}

function appendText(draft: Draft, { stepNumber, text, at }: EventOf<"TokenDelta">): void {
  // Where the beginning of the stream is gone, the step's may be gone with it.
  const step = draft.steps.get(stepNumber) ?? {
    number: stepNumber,
    type: "MODEL",
    startedAt: at,
    endedAt: null,
    text: "",
  };
  draft.steps.set(stepNumber, { ...step, text: step.text + text });
}

/** The sum of what was recorded from the beginning is exact; what the snapshot says was joined at a moment of its own. */
function meter(draft: Draft, usage: UsageLines, isPast: boolean): void {
  if (draft.metered === undefined) {
    if (!isPast) draft.run = { ...draft.run, usage: add(draft.run.usage ?? [], usage) };
  } else {
    draft.metered = add(draft.metered, usage);
    // Until it is caught up, the snapshot knows more.
    if (!isPast) draft.run = { ...draft.run, usage: draft.metered };
  }
  if (!isPast) draft.run = { ...draft.run, cost: total(draft.run.usage ?? []) ?? draft.run.cost };
}

function add(lines: UsageLines, more: UsageLines): UsageLines {
  const sums = new Map(lines.map((line) => [line.meter, line]));
  for (const { meter: name, quantity, cost } of more) {
    const known = sums.get(name);
    sums.set(name, {
      meter: name,
      quantity: plus(known?.quantity, quantity),
      cost: { ...cost, amountMicros: plus(known?.cost.amountMicros, cost.amountMicros) },
    });
  }
  return [...sums.values()];
}

function total(lines: UsageLines): RunLive["run"]["cost"] {
  const [first] = lines;
  if (!first) return null;
  return { ...first.cost, amountMicros: lines.reduce((sum, { cost }) => plus(sum, cost.amountMicros), "0") };
}

function plus(one: string | undefined, other: string): string {
  return String(BigInt(one ?? "0") + BigInt(other));
}

/** Without what could not be joined to the event: that it is null there does not undo what is known. */
function known<T extends object>(fields: T): { [K in keyof T]: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)) as {
    [K in keyof T]: NonNullable<T[K]>;
  };
}
