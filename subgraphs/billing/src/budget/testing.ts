import { newId } from "@sba/platform/ids";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { listBudgets, type SetBudgetInput } from "./budget.ts";
import { findSlice, reserveSlice, returnSlice, settleSlice, type Slice, type SliceInput } from "./slice.ts";

/** For tests of slices: runs as billing sees them, each move in a transaction of its own. */

export const NOON = new Date("2026-11-21T12:00:00Z");
export const tenantDay = (limitMicros: bigint): SetBudgetInput => ({
  scope: "TENANT",
  period: "DAY",
  limitMicros,
  at: NOON,
});

export interface TestRun extends Omit<SliceInput, "wantMicros"> {
  /** What it would be charged for, as the run's own row has it. */
  spentMicros: bigint;
}

export const aRun = (agentKey = "support", agentId = newId()): TestRun => ({
  runId: newId(),
  agentId,
  agentKey,
  spentMicros: 0n,
  at: NOON,
});
export const reserve = (caller: Caller, run: TestRun, wantMicros: bigint, more: Partial<SliceInput> = {}) =>
  withTenant(caller, (tx) => reserveSlice(tx, caller, { ...run, wantMicros, ...more }));
export const settle = async (caller: Caller, run: TestRun, spentMicros: bigint) => {
  await withTenant(caller, async (tx) => settleSlice(tx, caller, { runId: run.runId, spentMicros }));
  run.spentMicros += spentMicros;
};
export const giveBack = (caller: Caller, run: TestRun) =>
  withTenant(caller, async (tx) => returnSlice(tx, caller, run.runId));
export const find = (caller: Caller, run: TestRun): Promise<Slice | undefined> =>
  withTenant(caller, (tx) => findSlice(tx, caller, run.runId));
export const shown = async (caller: Caller, at = NOON) =>
  (await listBudgets(caller, at)).map(({ limitMicros, reservedMicros, spentMicros }) => ({
    limitMicros,
    reservedMicros,
    spentMicros,
  }));
export const exhausted = { code: "BILLING_BUDGET_EXHAUSTED", kind: "quota_exceeded" };
