import type { WorkflowRunLiveSnapshotQuery, WorkflowRunLiveSubscription } from "../generated/graphql.ts";
import type { LiveModel } from "./definition.ts";

/** A workflow run as it was read, with the steps that began and ended since. */

export type WorkflowRunLive = WorkflowRunLiveSnapshotQuery["workflowRun"];

export const workflowRunModel: LiveModel<WorkflowRunLiveSnapshotQuery, WorkflowRunLiveSubscription, WorkflowRunLive> = {
  from: "after",
  begin: ({ workflowRun }) => workflowRun,
  fold: (state, events) => events.reduce((run, { data }) => apply(run, data.workflowRunEvents), state),
  isGap: ({ workflowRunEvents }) => workflowRunEvents.__typename === "WorkflowStreamGap",
};

function apply(run: WorkflowRunLive, event: WorkflowRunLiveSubscription["workflowRunEvents"]): WorkflowRunLive {
  switch (event.__typename) {
    case "WorkflowRunStatusChanged":
      return { ...run, status: event.to };
    case "WorkflowStepStarted":
    case "WorkflowStepFinished": {
      const others = run.steps.filter(({ number }) => number !== event.step.number);
      return { ...run, steps: [...others, event.step].sort((one, other) => one.number - other.number) };
    }
    case "WorkflowRunFinished":
      return { ...run, ...event.workflowRun };
    case "WorkflowRunFailed":
      return { ...run, ...event.workflowRun, status: "FAILED", error: event.error };
    default:
      // Of a newer API.
      return run;
  }
}
