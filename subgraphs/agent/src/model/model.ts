import type { Tool } from "@sba/integrations/index";

/** What the agent's loop knows of a model: a conversation and tools go in, text and tool calls stream out. */

/** A tool call as a model asks for it. `params` is whatever it wrote: the tool contract decides whether it will do. */
export interface ModelToolCall {
  /** The provider's, unique within the turn. */
  readonly id: string;
  readonly name: string;
  readonly params: unknown;
}

export type ModelMessage =
  | { readonly role: "user"; readonly text: string }
  | { readonly role: "assistant"; readonly text: string; readonly toolCalls: readonly ModelToolCall[] }
  /** `text` is JSON: the tool's result, or `{ error: { code, message } }`. */
  | { readonly role: "tool"; readonly toolCallId: string; readonly text: string };

/** What a model is told of a tool. */
export type ModelTool = Pick<Tool, "name" | "description" | "paramsSchema">;

export interface ModelRequest {
  /** As `resolveModelName` gives it. */
  readonly model: string;
  readonly instructions: string;
  /** Oldest first; the last one is of the user or of a tool. */
  readonly messages: readonly ModelMessage[];
  readonly tools: readonly ModelTool[];
  /** Text and tool calls together. */
  readonly maxOutputTokens: number;
  /**
   * Absent for a turn of the conversation. A summary is for the platform: nobody can be asked meanwhile. A plan is what the model
   * would do with the tools, as one call of PLAN_CALL; none of them can be called meanwhile.
   */
  readonly purpose?: "summary" | "plan";
}

export interface ModelUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** True when the provider reported nothing and bytes were counted instead. */
  readonly isEstimated: boolean;
}

export interface ModelText {
  readonly type: "text";
  readonly text: string;
}

/** Why a turn ended. `needs_input`: the text is a question that only the person can answer. */
export type ModelFinishReason = "stop" | "tool_calls" | "length" | "needs_input";

export interface ModelFinish {
  readonly type: "finish";
  readonly reason: ModelFinishReason;
  readonly usage: ModelUsage;
}

export type ModelEvent = ModelText | ({ readonly type: "toolCall" } & ModelToolCall) | ModelFinish;

/** Something that serves models. One file each, and one line in `model/index.ts`. */
export interface ModelProvider {
  readonly name: string;
  serves(model: string): boolean;
  /**
   * One turn: text and tool calls as they come, then exactly one `finish`. Failures are thrown as AGENT_MODEL_..., an
   * aborted signal as OPERATION_CANCELLED; what streamed before is void then. `onBilled` hears what a turn that failed was
   * billed for all the same, when the provider said so.
   */
  streamTurn(
    request: ModelRequest,
    signal: AbortSignal,
    onBilled?: (usage: ModelUsage) => void,
  ): AsyncIterable<ModelEvent>;
}
