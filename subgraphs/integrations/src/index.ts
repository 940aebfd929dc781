/** The face of integrations: how tools are declared, called and accounted for. */
export {
  defineTool,
  isRepeatable,
  type Tool,
  type ToolApproval,
  type ToolContext,
  type ToolDefinition,
} from "./tool/tool.ts";
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
  callTool,
  getToolCall,
  listToolCalls,
  makeToolCall,
  readToolCalls,
  recordNewToolCalls,
  recordSettledCall,
  recordToolOutcome,
  requestToolCall,
  settleToolCall,
  type CallToolInput,
  type RecordedToolCall,
  type ToolCall,
  type ToolCallRequest,
  type ToolCallStatus,
} from "./tool-call/tool-call.ts";
