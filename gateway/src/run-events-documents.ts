import { z } from "zod";

/** What `GET /workflow/runs/{id}/events` asks the graph: the events whole, and whether a run has ended. */

export interface EventsOf {
  /** Takes `$id` and `$after`. */
  readonly events: string;
  /** Takes the same; fails as the events would, before anything is streamed. */
  readonly state: string;
  readonly readState: (data: unknown) => { readonly endedAt: string | null; readonly cursor: string };
}

const runState = z.object({ endedAt: z.string().nullable(), cursor: z.string() });

export const RUN_EVENTS: EventsOf = {
  events: `subscription RunEventStream($id: ID!, $after: Cursor) {
  runEvents(runId: $id, after: $after) {
    __typename cursor seq at runId tenantId level traceId
    ... on RunStatusChanged { from to }
    ... on StepStarted { step { number type } }
    ... on StepFinished { step { number type startedAt endedAt } }
    ... on StepRestarted { step { number type } attempt cause }
    ... on TokenDelta { text index stepNumber }
    ... on ToolRequested { toolCall { id name params } }
    ... on ToolResulted { toolCall { id name success durationMs } }
    ... on ToolOutcomeUnknown { toolCall { id name } }
    ... on ApprovalRequested { approval { id action scope requires costEstimate { amountMicros currency } expiresAt } }
    ... on ApprovalDecided { approval { id status decidedBy { id displayName } reason } }
    ... on ArtifactCreated { artifact { id name mediaType sizeBytes } }
    ... on UsageRecorded { usage { meter quantity cost { amountMicros currency } } }
    ... on RunFinished { run { id status output } }
    ... on RunFailed { run { id status } error { code message } }
    ... on StreamGap { fromSeq toSeq cause }
  }
}`,
  state: `query RunEventStreamState($id: ID!, $after: Cursor) {
  run(id: $id) { endedAt cursor }
  runEventLog(runId: $id, after: $after, first: 1) { edges { cursor } }
}`,
  readState: (data) => z.object({ run: runState }).parse(data).run,
};

export const WORKFLOW_RUN_EVENTS: EventsOf = {
  events: `subscription WorkflowRunEventStream($id: ID!, $after: Cursor) {
  workflowRunEvents(workflowRunId: $id, after: $after) {
    __typename cursor seq at workflowRunId tenantId traceId
    ... on WorkflowRunStatusChanged { from to }
    ... on WorkflowStepStarted { step { number key kind status startedAt } }
    ... on WorkflowStepFinished { step { number key kind status output error { code message } startedAt endedAt } }
    ... on WorkflowRunFinished { workflowRun { id status output } }
    ... on WorkflowRunFailed { workflowRun { id status } error { code message } }
    ... on WorkflowStreamGap { fromSeq toSeq cause }
  }
}`,
  state: `query WorkflowRunEventStreamState($id: ID!) { workflowRun(id: $id) { endedAt cursor } }`,
  readState: (data) => z.object({ workflowRun: runState }).parse(data).workflowRun,
};
