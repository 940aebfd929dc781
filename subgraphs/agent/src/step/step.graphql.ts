import { listToolCalls, type ToolCall } from "@sba/integrations/index";
import { connectionRef, defineListLoader, defineLoader } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import type { ToolCallSnapshot } from "../events.ts";
import { RunRef, runById } from "../run/run.ref.ts";
import { findStepsOfRuns, STEP_TYPES, type StepType } from "./step.ts";

export const toolCallById = defineLoader(listToolCalls, (call) => call.id);
export const stepsOfRun = defineListLoader(findStepsOfRuns, (step) => step.runId);

/** A tool call as a row or as an event carried it. */
export type ToolCallShape = ToolCallSnapshot | ToolCall;

const ToolCallFailure = builder.objectRef<Pick<NonNullable<ToolCall["error"]>, "code" | "message">>("ToolCallFailure");
ToolCallFailure.implement({
  description: "Why a call of a tool failed.",
  fields: (t) => ({ code: t.exposeString("code"), message: t.exposeString("message") }),
});

export const ToolCallRef = builder.objectRef<ToolCallShape>("ToolCall");
ToolCallRef.implement({
  description: "One call of a tool. Its id is the idempotency key that the tool receives.",
  fields: (t) => ({
    id: t.id({ resolve: (call) => encodeId("ToolCall", call.id) }),
    name: t.exposeString("name"),
    version: t.exposeInt("version", { description: "Of the tool." }),
    params: t.field({ type: "JSON", resolve: (call) => call.params }),
    status: t.exposeString("status", {
      description: "REQUESTED, SUCCEEDED, FAILED, or UNKNOWN while an operator has to say what became of it.",
    }),
    success: t.exposeBoolean("success", { nullable: true, description: "Null until its outcome is known." }),
    durationMs: t.exposeInt("durationMs", { nullable: true }),
    result: t.field({
      type: "JSON",
      nullable: true,
      description: "What the tool answered. Null until it succeeded, and in events.",
      resolve: (call) => ("result" in call ? call.result : null),
    }),
    failure: t.field({
      type: ToolCallFailure,
      nullable: true,
      description: "Why it failed. Null in events.",
      resolve: (call) => ("error" in call ? call.error : null),
    }),
    unknownAt: t.field({
      type: "DateTime",
      nullable: true,
      description: "When it was cut off and nobody could say what it did. Null in events.",
      resolve: (call) => ("unknownAt" in call ? call.unknownAt : null),
    }),
    run: t.field({
      type: RunRef,
      nullable: true,
      description: "The run that asked for it. Null in events, and for calls of workflows.",
      authScopes: { permission: "run:read" },
      resolve: (call, _args, context) =>
        "runId" in call && call.runId !== null ? runById(context).load(call.runId) : null,
    }),
  }),
});

builder.asEntity(ToolCallRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => toolCallById(context).load(decodeId("ToolCall", id)),
});

/** A step as a row or as an event carried it. */
export interface StepShape {
  readonly number: number;
  readonly type: string;
  readonly startedAt: Date | string;
  readonly endedAt: Date | string | null;
  readonly toolCallId: string | null;
  /** Absent in events, which were there before it. */
  readonly model?: string | null;
}

const StepTypeRef = builder.enumType("StepType", { values: STEP_TYPES });

export const StepRef = builder.objectRef<StepShape>("Step");
StepRef.implement({
  description: "One model turn or one tool call of a run.",
  fields: (t) => ({
    number: t.exposeInt("number", { description: "From 1." }),
    type: t.field({ type: StepTypeRef, resolve: (step) => step.type as StepType }),
    startedAt: t.field({ type: "DateTime", resolve: (step) => step.startedAt }),
    endedAt: t.field({ type: "DateTime", nullable: true, resolve: (step) => step.endedAt }),
    model: t.string({
      nullable: true,
      description: "The model that answered: the run's own, or a fallback. Null for what no model did, and in events.",
      resolve: (step) => step.model ?? null,
    }),
    toolCall: t.field({
      type: ToolCallRef,
      nullable: true,
      resolve: (step, _args, context) =>
        step.toolCallId === null ? undefined : toolCallById(context).load(step.toolCallId),
    }),
  }),
});

export const StepConnection = connectionRef(builder, "Step", StepRef);
