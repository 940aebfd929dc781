import { billingErrors, estimateCost, type MeteredLine, type UsageLine } from "@sba/billing/index";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import type { RunOptions } from "./run.ts";
import type { Draft } from "./session.ts";

/**
 * What one run may cost, hard: before a step its worst case must fit what is left. A run has one writer at a time (the
 * lease), so its own row is all that it takes.
 */

/** What a model turn is billed for. */
export function turnUsage(model: string, inputTokens: number, outputTokens: number): MeteredLine[] {
  return [
    { meter: "model.inputTokens", quantity: BigInt(inputTokens), model },
    { meter: "model.outputTokens", quantity: BigInt(outputTokens), model },
  ];
}

/** What a tool call is billed for. */
export const TOOL_CALL_USAGE: readonly MeteredLine[] = [{ meter: "tool.called", quantity: 1n }];

/** What accepting a run is billed for. */
export const START_USAGE: readonly MeteredLine[] = [{ meter: "run.started", quantity: 1n }];

/** @throws BILLING_BUDGET_EXHAUSTED when the budget does not even cover the start */
export function requireStartBudget({ budgetMicros }: RunOptions = {}): void {
  if (budgetMicros === undefined || estimateCost(START_USAGE).amountMicros <= BigInt(budgetMicros)) return;
  throw billingErrors.BILLING_BUDGET_EXHAUSTED({ details: { budgetMicros } });
}

/** Micros that the run may still spend; undefined without a budget. */
function leftOf({ options, spentMicros }: RunRow): bigint | undefined {
  const { budgetMicros } = options as RunOptions;
  return budgetMicros === undefined ? undefined : BigInt(budgetMicros) - spentMicros;
}

/**
 * How many tokens a turn of this model may write so that the run stays within its budget whatever the model does, `most` at
 * most; 0 when not even one.
 */
export function affordableTokens(run: RunRow, model: string, inputTokens: number, most: number): number {
  const left = leftOf(run);
  if (left === undefined) return most;
  let [affordable, tooMany] = [0, most + 1];
  while (tooMany - affordable > 1) {
    const middle = Math.floor((affordable + tooMany) / 2);
    const { amountMicros } = estimateCost(turnUsage(model, inputTokens, middle), run.priceListVersion);
    if (amountMicros <= left) affordable = middle;
    else tooMany = middle;
  }
  return affordable;
}

/** @throws BILLING_BUDGET_EXHAUSTED when the run cannot pay for one more tool call */
export function requireToolBudget(run: RunRow): void {
  const left = leftOf(run);
  if (left !== undefined && estimateCost(TOOL_CALL_USAGE, run.priceListVersion).amountMicros > left)
    throw exhausted(run);
}

/** BILLING_BUDGET_EXHAUSTED, of this run's own budget. */
export function exhausted({ options, spentMicros }: RunRow) {
  const { budgetMicros } = options as RunOptions;
  return billingErrors.BILLING_BUDGET_EXHAUSTED({ details: { budgetMicros, spentMicros: String(spentMicros) } });
}

/** Counts usage against the run's budget. */
export function spend(draft: Draft, usage: readonly UsageLine[]): void {
  draft.run = { ...draft.run, spentMicros: draft.run.spentMicros + costOf(usage) };
}

/** Micros. */
export function costOf(usage: readonly UsageLine[]): bigint {
  return usage.reduce((sum, line) => sum + line.cost.amountMicros, 0n);
}
