export {
  createClient,
  type Client,
  type ClientOptions,
  type RequestOptions,
  type SubscribeOptions,
  type Variables,
} from "./client.ts";
export type { ConnectionState, TransportName } from "./connection.ts";
export { decimalOf, microsOf, toCsv } from "./csv.ts";
export * from "./errors.ts";
export type { LiveDefinition, LiveModel } from "./live/definition.ts";
export type { LiveStore, LiveView } from "./live/store.ts";
export type { LiveApproval } from "./live/approvals.ts";
export type { IngestionLive } from "./live/ingestion.ts";
export {
  newRun,
  runModel,
  type RunLive,
  type RunLiveApproval,
  type RunLiveArtifact,
  type RunLiveInput,
  type RunLiveStep,
  type RunLiveToolCall,
} from "./live/run.ts";
export type { WorkflowRunLive } from "./live/workflow-run.ts";
export type { Observable } from "./observable.ts";
export type { Outbox, OutboxEntry, OutboxResult } from "./outbox.ts";
export type { RateLimitOptions } from "./rate-limit.ts";
export { memoryStorage, webStorage, type Storage } from "./storage.ts";
export type { Token } from "./token.ts";
export { readUsage, usageCsv, type UsageReport, type UsageRow } from "./usage.ts";
export { API_VERSION } from "./generated/version.ts";
export * from "./generated/graphql.ts";
export * from "./generated/live.ts";
