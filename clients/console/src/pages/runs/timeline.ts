import type { RunLiveSubscription } from "@sba/client";
import type { Bar, Timeline } from "../../timeline/bars.ts";

/**
 * What a run did as bars over time, made of its events: what each took, and what was metered for it. It begins when the run was begun, as
 * what it took does: how long it had waited for that is said by itself.
 */

export type RunEvent = RunLiveSubscription["runEvents"];
type EventOf<Name extends RunEvent["__typename"]> = Extract<RunEvent, { readonly __typename: Name }>;

type Draft = { -readonly [Key in keyof Bar]: Bar[Key] };

interface Work {
  readonly bars: Map<string, Draft>;
  /** The step that was begun last: what is metered is metered for it. */
  step: Draft | undefined;
  startMs: number | undefined;
  endMs: number | undefined;
}

/** When a run was begun and has ended, as far as that is known. */
interface Times {
  readonly startedAt: string | null;
  readonly endedAt: string | null;
}

/** The bars in the order in which they began. Undefined when nothing has happened yet. */
export function timelineOf(events: readonly RunEvent[], { startedAt, endedAt }: Times): Timeline | undefined {
  const [first] = events;
  if (!first) return undefined;
  const work: Work = { bars: new Map(), step: undefined, startMs: msOf(startedAt), endMs: undefined };
  for (const event of events) apply(work, event);
  const bars = [...work.bars.values()];
  // Nothing of a run that has ended goes on.
  if (work.endMs !== undefined) for (const bar of bars) close(bar, work.endMs, bar.outcome);
  return { bars, startMs: work.startMs ?? Date.parse(first.at), endMs: msOf(endedAt) ?? work.endMs };
}

function msOf(time: string | null): number | undefined {
  return time === null ? undefined : Date.parse(time);
}

function apply(work: Work, event: RunEvent): void {
  const atMs = Date.parse(event.at);
  switch (event.__typename) {
    case "RunStatusChanged":
      // It may be read before anybody has said when it was begun.
      if (event.from === "CREATED") work.startMs ??= atMs;
      break;
    case "StepStarted":
      begin(work, event.step);
      break;
    case "StepRestarted":
      if (work.step?.stepNumber === event.step.number) work.step.restarts += 1;
      else begin(work, event.step);
      break;
    case "StepFinished":
      close(work.bars.get(`step-${event.step.number}`), Date.parse(event.step.endedAt ?? event.at), "done");
      break;
    case "ToolRequested":
    case "ToolResulted":
    case "ToolOutcomeUnknown":
      nameStep(work, event.toolCall);
      break;
    case "ApprovalRequested":
      work.bars.set(event.approval.id, {
        ...{ id: event.approval.id, kind: "APPROVAL", stepNumber: undefined, name: event.approval.action },
        ...{ startMs: atMs, endMs: undefined, costMicros: 0n, restarts: 0, outcome: "running" },
      });
      break;
    case "ApprovalDecided":
      // A vote that is not the last decides nothing yet.
      if (event.approval.status !== "PENDING")
        close(work.bars.get(event.approval.id), atMs, event.approval.status === "APPROVED" ? "done" : "failed");
      break;
    case "UsageRecorded":
      if (work.step) work.step.costMicros += event.usage.reduce((sum, { cost }) => sum + BigInt(cost.amountMicros), 0n);
      break;
    case "RunFinished":
    case "RunFailed":
      work.endMs = atMs;
      if (event.__typename === "RunFailed" && work.step?.endMs === undefined && work.step) work.step.outcome = "failed";
      break;
    default:
      break;
  }
}

function begin(work: Work, { number, type, startedAt }: EventOf<"StepStarted">["step"]): void {
  const id = `step-${number}`;
  work.step = {
    ...{ id, kind: type, stepNumber: number, name: undefined, startMs: Date.parse(startedAt), endMs: undefined },
    ...{ costMicros: 0n, restarts: 0, outcome: "running" },
  };
  work.bars.set(id, work.step);
}

/** A call is asked for by the turn of a model, and made by the step after it: that one has its name. */
function nameStep({ step }: Work, { name, success }: EventOf<"ToolRequested">["toolCall"]): void {
  if (step?.kind !== "TOOL") return;
  step.name = name;
  if (success === false) step.outcome = "failed";
}

function close(bar: Draft | undefined, endMs: number, outcome: Bar["outcome"]): void {
  if (bar?.endMs !== undefined || !bar) return;
  bar.endMs = Math.max(endMs, bar.startMs);
  if (bar.outcome === "running") bar.outcome = outcome === "running" ? "done" : outcome;
}
