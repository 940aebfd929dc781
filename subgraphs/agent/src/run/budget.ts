import {
  affordableQuantity,
  billingErrors,
  estimateCost,
  settleSlice,
  type MeteredLine,
  type Slice,
  type UsageLine,
} from "@sba/billing/index";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import type { RunOptions } from "./run.ts";
import type { Draft } from "./session.ts";

/**
 * What one run may cost, hard: before a step its worst case must fit what is left of the run's own budget and of its slice of
 * those above it. A run has one writer at a time (the lease), so no step waits for what other runs write.
 */
export interface Purse {
  readonly run: Pick<RunRow, "model" | "options" | "priceListVersion" | "spentMicros" | "childrenMicros">;
  readonly slice?: Slice | undefined;
}

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

/** Micros that are left of the run's own budget, less what its children have; undefined without one. */
export function leftOfOwn({ run }: { readonly run: OwnPurse }): bigint | undefined {
  const { budgetMicros } = run.options as RunOptions;
  return budgetMicros === undefined ? undefined : BigInt(budgetMicros) - run.spentMicros - run.childrenMicros;
}

type OwnPurse = Pick<RunRow, "options" | "spentMicros" | "childrenMicros">;

/** Micros that the run may spend before it takes a slice anew; undefined without any budget. */
export function leftOf(purse: Purse): bigint | undefined {
  const [own, slice] = [leftOfOwn(purse), purse.slice?.leftMicros];
  return own === undefined || (slice !== undefined && slice < own) ? slice : own;
}

/** The purse when so much more is spent. */
export function afterSpending<P extends Purse>(purse: P, micros: bigint): P {
  const { run, slice } = purse;
  return {
    ...purse,
    run: { ...run, spentMicros: run.spentMicros + micros },
    slice: slice && { ...slice, leftMicros: slice.leftMicros - micros },
  };
}

/** What a turn of this model costs at the run's prices when it reads and writes so many tokens. */
export function turnCost({ run }: Purse, model: string, inputTokens: number, outputTokens: number): bigint {
  return estimateCost(turnUsage(model, inputTokens, outputTokens), run.priceListVersion).amountMicros;
}

/**
 * How many tokens a turn of this model may write so that the run stays within its budgets whatever the model does, `most` at
 * most; 0 when not even one.
 */
export function affordableTokens(purse: Purse, model: string, inputTokens: number, most: number): number {
  const left = leftOf(purse);
  if (left === undefined) return most;
  const output: MeteredLine = { meter: "model.outputTokens", quantity: BigInt(most), model };
  return Number(affordableQuantity(output, left - turnCost(purse, model, inputTokens, 0), purse.run.priceListVersion));
}

/** What a tool call costs at the run's prices. */
export function toolCallCost({ run }: { readonly run: Pick<RunRow, "priceListVersion"> }): bigint {
  return estimateCost(TOOL_CALL_USAGE, run.priceListVersion).amountMicros;
}

/** Whether the run's own budget can pay for one more tool call. */
export function coversToolCall(purse: { readonly run: OwnPurse & Pick<RunRow, "priceListVersion"> }): boolean {
  const left = leftOfOwn(purse);
  return left === undefined || toolCallCost(purse) <= left;
}

/** @throws BILLING_BUDGET_EXHAUSTED when it cannot */
export function requireToolBudget(purse: Purse): void {
  if (!coversToolCall(purse)) throw exhausted(purse);
}

/** BILLING_BUDGET_EXHAUSTED, of this run's own budget. */
export function exhausted({ run: { options, spentMicros } }: Purse) {
  const { budgetMicros } = options as RunOptions;
  return billingErrors.BILLING_BUDGET_EXHAUSTED({ details: { budgetMicros, spentMicros: String(spentMicros) } });
}

/** Counts usage against the run's own budget, and against its slice. */
export function spend(draft: Draft, usage: readonly UsageLine[]): void {
  const spentMicros = costOf(usage);
  const { caller, run, slice } = draft;
  draft.run = { ...run, spentMicros: run.spentMicros + spentMicros };
  if (!slice || spentMicros === 0n) return;
  draft.slice = { ...slice, leftMicros: slice.leftMicros - spentMicros };
  draft.writes.push((tx) => {
    settleSlice(tx, caller, { runId: run.id, spentMicros });
  });
}

/** Micros. */
export function costOf(usage: readonly UsageLine[]): bigint {
  return usage.reduce((sum, line) => sum + line.cost.amountMicros, 0n);
}
