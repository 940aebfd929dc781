import { estimateCost, priceUsage, type MeteredLine, type Slice } from "@sba/billing/index";
import type { Tool } from "@sba/integrations/index";
import type { Caller } from "@sba/platform/caller";
import type { Message } from "@sba/platform/generated/prisma/client";
import { pinVersion } from "../agent/version.ts";
import { estimateToolCall } from "../approval/approval.ts";
import { rulesFor, type ApprovalPolicy } from "../approval/policy.ts";
import { errors } from "../errors.ts";
import { modelErrors } from "../model/errors.ts";
import {
  callModel,
  PLAN_CALL,
  planParams,
  type BilledAttempt,
  type ModelAnswer,
  type PlannedStep,
} from "../model/index.ts";
import { afterSpending, costOf, START_USAGE, TOOL_CALL_USAGE, turnUsage } from "../run/budget.ts";
import type { RunPlanStep } from "../run/plan.ts";
import type { RunStart } from "../run/run.ts";
import { findTool } from "../tool/index.ts";
import { chargedLines, payFor, preparePlanCall, type PaidAttempt, type PlanPurse } from "./model-request.ts";

/** One turn in which the model says what it would do, and does nothing. */

/** Whoever asked for the plan waits for it. */
const WITHIN_MS = 60_000;

export interface PlanningInput {
  readonly start: RunStart;
  /** What was said in the thread before. */
  readonly history: readonly Message[];
  /** As `readPolicies` gave them for the agent. */
  readonly policies: readonly ApprovalPolicy[];
  /** What is left of the budgets above the run; undefined without any. */
  readonly slice: Slice | undefined;
}

export interface PlanningTurn {
  readonly steps: readonly RunPlanStep[];
  /** What is charged for it: the turn itself, and attempts before it that came to nothing. */
  readonly metered: readonly (readonly MeteredLine[])[];
}

/**
 * Tells in `used` what providers billed, also when it throws.
 * @throws AGENT_MODEL_..., AGENT_PLAN_TIMED_OUT, AGENT_PLAN_INVALID, BILLING_BUDGET_EXHAUSTED, OPERATION_CANCELLED
 */
export async function takePlanningTurn(
  caller: Caller,
  { start, history, policies, slice }: PlanningInput,
  used: PaidAttempt[],
  signal: AbortSignal,
): Promise<PlanningTurn> {
  const purse = purseOf(start, slice);
  const call = preparePlanCall(purse, start, history);
  const onBilled = (attempt: BilledAttempt): void => void used.push(payFor(call.models, attempt));
  const late = AbortSignal.timeout(WITHIN_MS);
  const answer = await callModel(caller, call, { onBilled }, AbortSignal.any([signal, late])).catch(
    (error: unknown) => {
      throw late.aborted ? errors.AGENT_PLAN_TIMED_OUT({ cause: error }) : error;
    },
  );
  used.unshift(payFor(call.models, answer));
  const steps = readSteps(answer, call.request.tools);
  return {
    steps: steps.map((step, index) => describeStep(step, index, { answer, purse, policies })),
    metered: chargeEach(purse, used),
  };
}

/** What pays for the plan: the budget that the run is to have and what is left of those above it, less its start. */
function purseOf({ agent, input }: RunStart, slice: Slice | undefined): PlanPurse {
  const { model, priceListVersion, toolHashes } = pinVersion(agent.version);
  const spentMicros = estimateCost(START_USAGE, priceListVersion).amountMicros;
  const options = { ...input.options };
  const run = { model, priceListVersion, toolHashes, options, spentMicros: 0n, childrenMicros: 0n };
  return afterSpending({ run, slice }, spentMicros);
}

/** Each from what those before it left. */
function chargeEach(purse: PlanPurse, attempts: readonly PaidAttempt[]): MeteredLine[][] {
  let left = purse;
  return attempts.map((attempt) => {
    const lines = chargedLines(left, attempt);
    left = afterSpending(left, costOf(priceUsage(lines, left.run.priceListVersion)));
    return lines;
  });
}

/** @throws AGENT_PLAN_INVALID */
function readSteps({ toolCalls }: ModelAnswer, tools: Parameters<typeof planParams>[0]): PlannedStep[] {
  const submitted = toolCalls.find(({ name }) => name === PLAN_CALL);
  const parsed = planParams(tools).safeParse(submitted?.params);
  if (!parsed.success) throw modelErrors.AGENT_PLAN_INVALID();
  // A column holds neither NUL characters nor half a character.
  return parsed.data.steps.map(({ title, tool }) => ({ title: title.replaceAll("\0", "").toWellFormed(), tool }));
}

/** What a step usually adds to the conversation, and what a turn usually writes, in tokens. */
const STEP_ADDS_TOKENS = 600;
const TURN_WRITES_TOKENS = 250;

interface Basis {
  readonly answer: ModelAnswer;
  readonly purse: PlanPurse;
  readonly policies: readonly ApprovalPolicy[];
}

/** A step is about one turn, which reads what came before it, and the call that it makes. */
function describeStep(
  { title, tool: name }: PlannedStep,
  index: number,
  { answer, purse, policies }: Basis,
): RunPlanStep {
  const { model, priceListVersion } = purse.run;
  const reads = answer.usage.inputTokens + index * STEP_ADDS_TOKENS;
  const tool = name === null ? undefined : findTool(name);
  const turn = turnUsage(model, reads, TURN_WRITES_TOKENS);
  const { amountMicros, currency } = estimateCost(tool ? [...turn, ...TOOL_CALL_USAGE] : turn, priceListVersion);
  return {
    title,
    tool: name,
    estimatedCost: { amountMicros: String(amountMicros), currency },
    requiresApproval: tool !== undefined && needsApproval(tool, policies, priceListVersion),
  };
}

function needsApproval(tool: Tool, policies: readonly ApprovalPolicy[], priceListVersion: number): boolean {
  return rulesFor(tool, policies, estimateToolCall(priceListVersion).amountMicros) !== undefined;
}
