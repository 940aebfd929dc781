import type { WorkflowRunLive } from "@sba/client";
import type { Bar, Timeline } from "../../timeline/bars.ts";

const KINDS: Readonly<Record<string, Bar["kind"]>> = { "agent-run": "RUN", "tool-call": "TOOL", approval: "APPROVAL" };

/** The steps that were begun, as bars. */
export function timelineOf({ steps, startedAt, createdAt, endedAt }: WorkflowRunLive): Timeline {
  return {
    startMs: Date.parse(startedAt ?? createdAt),
    endMs: endedAt === null ? undefined : Date.parse(endedAt),
    bars: steps.map((step) => ({
      id: step.key,
      kind: KINDS[step.kind] ?? "SYSTEM",
      stepNumber: step.number,
      name: step.key,
      startMs: Date.parse(step.startedAt),
      endMs: step.endedAt === null ? undefined : Date.parse(step.endedAt),
      costMicros: 0n,
      restarts: 0,
      outcome: step.endedAt === null ? "running" : step.status === "COMPLETED" ? "done" : "failed",
    })),
  };
}
