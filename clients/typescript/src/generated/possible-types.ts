/** For `new InMemoryCache({ possibleTypes })`. */
export const possibleTypes: Record<string, string[]> = {
  Node: ["Agent", "AgentVersion", "ApiKey", "Approval", "Artifact", "AuditEntry", "Budget", "Chunk", "Collection", "Document", "Ingestion", "Member", "Note", "Principal", "Run", "Session", "Task", "Tenant", "Thread", "ToolCall", "WebhookEndpoint", "Workflow", "WorkflowRun"],
  RunEvent: ["ApprovalDecided", "ApprovalRequested", "ArtifactCreated", "RunFailed", "RunFinished", "RunInputReceived", "RunInputTold", "RunStatusChanged", "StepFinished", "StepRestarted", "StepStarted", "StreamGap", "TokenDelta", "ToolOutcomeUnknown", "ToolRequested", "ToolResulted", "UsageRecorded"],
  WorkflowRunEvent: ["WorkflowRunFailed", "WorkflowRunFinished", "WorkflowRunStatusChanged", "WorkflowStepFinished", "WorkflowStepStarted", "WorkflowStreamGap"],
};
