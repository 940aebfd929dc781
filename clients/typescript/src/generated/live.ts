/* eslint-disable */
import { defineLive, eventsModel } from "../live/definition.ts";
import { runModel } from "../live/run.ts";
import { approvalsModel } from "../live/approvals.ts";
import { ingestionModel } from "../live/ingestion.ts";
import { workflowRunModel } from "../live/workflow-run.ts";
import {
  ApprovalEventsDocument,
  type ApprovalEventsSubscriptionVariables,
  type ApprovalEventsSubscription,
  RunLiveDocument,
  type RunLiveSubscriptionVariables,
  RunLiveSnapshotDocument,
  ApprovalsLiveDocument,
  type ApprovalsLiveSubscriptionVariables,
  ApprovalsLiveSnapshotDocument,
  IngestionLiveDocument,
  type IngestionLiveSubscriptionVariables,
  WorkflowRunLiveDocument,
  type WorkflowRunLiveSubscriptionVariables,
  WorkflowRunLiveSnapshotDocument,
  UsageAlertsDocument,
  type UsageAlertsSubscriptionVariables,
  type UsageAlertsSubscription,
  IngestionEventsDocument,
  type IngestionEventsSubscriptionVariables,
  type IngestionEventsSubscription,
  RunEventsDocument,
  type RunEventsSubscriptionVariables,
  type RunEventsSubscription,
} from "./graphql.ts";

export type ApprovalEventsLiveVariables = Pick<ApprovalEventsSubscriptionVariables, never>;
export const approvalEventsLive = /* @__PURE__ */ defineLive({
  events: ApprovalEventsDocument,
  model: eventsModel<ApprovalEventsSubscription>(),
  variables: (variables: ApprovalEventsLiveVariables) => variables,
});

export type RunLiveVariables = Pick<RunLiveSubscriptionVariables, "runId">;
export const runLive = /* @__PURE__ */ defineLive({
  snapshot: RunLiveSnapshotDocument,
  cursorOf: ({ run }) => run.cursor,
  events: RunLiveDocument,
  model: runModel,
  variables: (variables: RunLiveVariables) => variables,
});

export type ApprovalsLiveVariables = Pick<ApprovalsLiveSubscriptionVariables, never>;
export const approvalsLive = /* @__PURE__ */ defineLive({
  snapshot: ApprovalsLiveSnapshotDocument,
  cursorOf: ({ approvals }) => approvals.cursor,
  events: ApprovalsLiveDocument,
  model: approvalsModel,
  variables: (variables: ApprovalsLiveVariables) => variables,
});

export type IngestionLiveVariables = Pick<IngestionLiveSubscriptionVariables, "ingestionId">;
export const ingestionLive = /* @__PURE__ */ defineLive({
  events: IngestionLiveDocument,
  model: ingestionModel,
  variables: (variables: IngestionLiveVariables) => variables,
});

export type WorkflowRunLiveVariables = Pick<WorkflowRunLiveSubscriptionVariables, "workflowRunId">;
export const workflowRunLive = /* @__PURE__ */ defineLive({
  snapshot: WorkflowRunLiveSnapshotDocument,
  cursorOf: ({ workflowRun }) => workflowRun.cursor,
  events: WorkflowRunLiveDocument,
  model: workflowRunModel,
  variables: (variables: WorkflowRunLiveVariables) => variables,
});

export type UsageAlertsLiveVariables = Pick<UsageAlertsSubscriptionVariables, never>;
export const usageAlertsLive = /* @__PURE__ */ defineLive({
  events: UsageAlertsDocument,
  model: eventsModel<UsageAlertsSubscription>(),
  variables: (variables: UsageAlertsLiveVariables) => variables,
});

export type IngestionEventsLiveVariables = Pick<IngestionEventsSubscriptionVariables, "ingestionId">;
export const ingestionEventsLive = /* @__PURE__ */ defineLive({
  events: IngestionEventsDocument,
  model: eventsModel<IngestionEventsSubscription>(),
  variables: (variables: IngestionEventsLiveVariables) => variables,
});

export type RunEventsLiveVariables = Pick<RunEventsSubscriptionVariables, "runId">;
export const runEventsLive = /* @__PURE__ */ defineLive({
  events: RunEventsDocument,
  model: eventsModel<RunEventsSubscription>(),
  variables: (variables: RunEventsLiveVariables) => variables,
});
