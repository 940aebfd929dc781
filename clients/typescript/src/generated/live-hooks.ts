/* eslint-disable */
import { useLive, type LiveOptions } from "../react/use-live.ts";
import {
  approvalEventsLive,
  runLive,
  type RunLiveVariables,
  approvalsLive,
  ingestionLive,
  type IngestionLiveVariables,
  workflowRunLive,
  type WorkflowRunLiveVariables,
  usageAlertsLive,
  ingestionEventsLive,
  type IngestionEventsLiveVariables,
  runEventsLive,
  type RunEventsLiveVariables,
} from "./live.ts";

export const useApprovalEventsLive = (options?: LiveOptions) => useLive(approvalEventsLive, {}, options);

/** Nothing is listened to while there is no runId. */
export const useRunLive = (runId: RunLiveVariables["runId"] | undefined, options?: LiveOptions) =>
  useLive(runLive, runId === undefined ? undefined : { runId }, options);

export const useApprovalsLive = (options?: LiveOptions) => useLive(approvalsLive, {}, options);

/** Nothing is listened to while there is no ingestionId. */
export const useIngestionLive = (ingestionId: IngestionLiveVariables["ingestionId"] | undefined, options?: LiveOptions) =>
  useLive(ingestionLive, ingestionId === undefined ? undefined : { ingestionId }, options);

/** Nothing is listened to while there is no workflowRunId. */
export const useWorkflowRunLive = (workflowRunId: WorkflowRunLiveVariables["workflowRunId"] | undefined, options?: LiveOptions) =>
  useLive(workflowRunLive, workflowRunId === undefined ? undefined : { workflowRunId }, options);

export const useUsageAlertsLive = (options?: LiveOptions) => useLive(usageAlertsLive, {}, options);

/** Nothing is listened to while there is no ingestionId. */
export const useIngestionEventsLive = (ingestionId: IngestionEventsLiveVariables["ingestionId"] | undefined, options?: LiveOptions) =>
  useLive(ingestionEventsLive, ingestionId === undefined ? undefined : { ingestionId }, options);

/** Nothing is listened to while there is no runId. */
export const useRunEventsLive = (runId: RunEventsLiveVariables["runId"] | undefined, options?: LiveOptions) =>
  useLive(runEventsLive, runId === undefined ? undefined : { runId }, options);
