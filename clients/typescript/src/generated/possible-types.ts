/** For `new InMemoryCache({ possibleTypes })`. */
export const possibleTypes: Record<string, string[]> = {
  Node: ["Agent", "AgentVersion", "Approval", "Artifact", "Budget", "Chunk", "Collection", "Document", "Ingestion", "Note", "Principal", "Run", "Task", "Tenant", "Thread", "ToolCall", "WebhookEndpoint", "Workflow", "WorkflowRun"],
  RunEvent: ["ApprovalDecided", "ApprovalRequested", "ArtifactCreated", "RunFailed", "RunFinished", "RunStatusChanged", "StepFinished", "StepRestarted", "StepStarted", "StreamGap", "TokenDelta", "ToolOutcomeUnknown", "ToolRequested", "ToolResulted", "UsageRecorded"],
  WorkflowRunEvent: ["WorkflowRunFailed", "WorkflowRunFinished", "WorkflowRunStatusChanged", "WorkflowStepFinished", "WorkflowStepStarted"],
};
