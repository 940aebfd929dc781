import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { newId } from "@sba/platform/ids";
import type { PlanQuotas } from "../plan/plan.ts";
import { listQuotas, releaseRunSlot, takeRunSlot } from "./quota.ts";

/** For tests of quotas: starts and ends of runs as billing sees them, each in a transaction of its own. */

export const NOON = new Date("2026-11-21T12:00:00Z");
export const quotas: PlanQuotas = { tokensPerMonth: 1_000n, toolCallsPerMonth: 10n, concurrentRuns: 3 };
export const runsOnly = (concurrentRuns: number): PlanQuotas => ({ ...quotas, concurrentRuns });

export const start = (caller: Caller, runId = newId(), plan = quotas, at = NOON) =>
  withTenant(caller, (tx) => takeRunSlot(tx, caller, { runId, quotas: plan, at }));
export const end = (caller: Caller, runId: string, at = NOON) =>
  withTenant(caller, (tx) => releaseRunSlot(tx, caller, { runId, at }));
export const used = async (caller: Caller, at = NOON) => {
  const shown = await listQuotas(caller, at);
  return Object.fromEntries(shown.map((quota) => [quota.kind, quota.used]));
};
export const exceeded = (quota: string) => ({
  code: "BILLING_QUOTA_EXCEEDED",
  kind: "quota_exceeded",
  details: { quota },
});
