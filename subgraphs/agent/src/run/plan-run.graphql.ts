import { callerOf, moneyRef } from "@sba/platform/graphql";
import { decodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { costOfPlan, costOfStep, planOf, type RunPlan, type RunPlanStep } from "./plan.ts";
import { executeRun, planRun } from "./plan-run.ts";
import { getRunOf, idempotencyKey, MAX_PROMPT_CHARACTERS, runOptions, RunOptionsInput } from "./run.graphql.ts";
import { RunRef } from "./run.ref.ts";

const Money = moneyRef(builder);

const RunPlanStepRef = builder.objectRef<RunPlanStep>("RunPlanStep").implement({
  description: "What a planned run would do, in its place.",
  fields: (t) => ({
    title: t.exposeString("title"),
    tool: t.exposeString("tool", { nullable: true, description: "The tool that it would call, if any." }),
    estimatedCost: t.field({ type: Money, resolve: costOfStep }),
    requiresApproval: t.exposeBoolean("requiresApproval", {
      description: "A person would have to agree before the tool is called.",
    }),
  }),
});

const RunPlanRef = builder.objectRef<RunPlan>("RunPlan").implement({
  description: "What the model would do, made before the run began. What the run does then follows from what it finds.",
  fields: (t) => ({
    steps: t.field({ type: [RunPlanStepRef], resolve: ({ steps }) => [...steps] }),
    estimatedCost: t.field({ type: Money, description: "About what the steps cost together.", resolve: costOfPlan }),
    expiresAt: t.field({
      type: "DateTime",
      description: "A run that still rests in PLANNING then ends.",
      resolve: ({ expiresAt }) => expiresAt,
    }),
  }),
});

builder.objectField(RunRef, "plan", (t) =>
  t.field({
    type: RunPlanRef,
    nullable: true,
    description: "Null for a run that was not planned.",
    resolve: planOf,
  }),
);

const PlanRunInput = builder.inputType("PlanRunInput", {
  fields: (t) => ({
    agentKey: t.string({ required: true, validate: { minLength: 1, maxLength: 100 } }),
    prompt: t.string({ required: true, validate: { minLength: 1, maxLength: MAX_PROMPT_CHARACTERS } }),
    options: t.field({ type: RunOptionsInput }),
    threadId: t.id({ validate: { maxLength: 64 } }),
    idempotencyKey: t.string({ validate: idempotencyKey }),
  }),
});

const ExecuteRunInput = builder.inputType("ExecuteRunInput", {
  fields: (t) => ({
    runId: t.id({ required: true, validate: { maxLength: 64 } }),
    idempotencyKey: t.string({ validate: idempotencyKey }),
  }),
});

builder.mutationFields((t) => ({
  planRun: t.field({
    type: RunRef,
    description:
      "Has the model plan a run and does nothing else: it rests in PLANNING until executeRun, cancelRun, or the plan expires.",
    authScopes: { permission: "run:start" },
    args: { input: t.arg({ type: PlanRunInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const id = await planRun(callerOf(context), {
        agentKey: input.agentKey,
        prompt: input.prompt,
        options: runOptions(input.options ?? {}),
        ...(input.threadId ? { threadId: decodeId("Thread", input.threadId) } : {}),
        idempotencyKey: input.idempotencyKey ?? undefined,
        signal: context.signal,
      });
      return getRunOf(context, id);
    },
  }),
  executeRun: t.field({
    type: RunRef,
    description: "Has a planned run executed, once.",
    authScopes: { permission: "run:start" },
    args: { input: t.arg({ type: ExecuteRunInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const runId = decodeId("Run", input.runId);
      await executeRun(callerOf(context), { runId, idempotencyKey: input.idempotencyKey ?? undefined });
      return getRunOf(context, runId);
    },
  }),
}));
