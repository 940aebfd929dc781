/** The face of integrations: how tools are declared, called and accounted for. */
export { defineTool, type Tool, type ToolApproval, type ToolContext, type ToolDefinition } from "./tool/tool.ts";
export {
  executeTool,
  refuseCall,
  unknownOutcome,
  type ExecuteOptions,
  type ToolFailure,
  type ToolOutcome,
} from "./tool-call/execute.ts";
export {
  amendToolCall,
  getToolCall,
  listToolCalls,
  makeToolCall,
  readToolCalls,
  rebindToolCall,
  recordLateOutcome,
  recordNewToolCalls,
  recordSettledCall,
  recordToolOutcome,
  requestToolCall,
  settleToolCall,
  type RecordedToolCall,
  type ToolCall,
  type ToolCallRequest,
  type ToolCallStatus,
} from "./tool-call/tool-call.ts";
export { callTool, runToolCall, type CallToolInput } from "./tool-call/run-tool-call.ts";
export {
  listUnknownToolCalls,
  RESOLUTIONS,
  resolveToolCall,
  type Resolution,
  type ResolveToolCallInput,
} from "./tool-call/resolve.ts";
export { integrationTools } from "./tools/index.ts";
export {
  createWebhookEndpoint,
  findWebhookEndpoints,
  type CreateWebhookEndpointInput,
} from "./webhook-endpoint/webhook-endpoint.ts";
