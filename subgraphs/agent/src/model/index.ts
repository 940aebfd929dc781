export {
  callModel,
  type BilledAttempt,
  type ModelAnswer,
  type ModelCall,
  type ModelCallHooks,
  type ModelChoice,
} from "./call.ts";
export { forgetExpiredAnswers } from "./cached-answer.ts";
export { isLeftAlone } from "./guard.ts";
export { PLAN_CALL, planParams, type PlannedStep } from "./plan-call.ts";
export { approximateTokens, frameTokens, useWindow, windowOf } from "./window.ts";
export { getModel, isModelServed, resolveModelName, useModels, type ModelConfig } from "./registry.ts";
export type {
  ModelEvent,
  ModelFinish,
  ModelFinishReason,
  ModelMessage,
  ModelProvider,
  ModelRequest,
  ModelTool,
  ModelToolCall,
  ModelUsage,
} from "./model.ts";
