import type { Caller, TenantScope } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import { reader } from "@sba/platform/reader";
import { errors } from "../errors.ts";
import { recountQuotaUse } from "../quota/use.ts";

/** What a customer buys. */
export interface Plan {
  readonly key: string;
  readonly name: string;
  /** Null for a plan without limits. */
  readonly quotas: PlanQuotas | null;
}

/** What a tenant's runs may use. A month is one of UTC. */
export interface PlanQuotas {
  readonly tokensPerMonth: bigint;
  readonly toolCallsPerMonth: bigint;
  /** Runs that have begun and not ended, those that wait for a person included. At least 1. */
  readonly concurrentRuns: number;
}

/** The plans on offer. One that is no longer sold stays here as long as a tenant is on it. */
export const PLANS: readonly [Plan, ...Plan[]] = [
  {
    key: "free",
    name: "Free",
    quotas: { tokensPerMonth: 10_000_000n, toolCallsPerMonth: 50_000n, concurrentRuns: 100 },
  },
  {
    key: "team",
    name: "Team",
    quotas: { tokensPerMonth: 1_000_000_000n, toolCallsPerMonth: 5_000_000n, concurrentRuns: 1_000 },
  },
  { key: "enterprise", name: "Enterprise", quotas: null },
];

/** The plan of that key; the first one, free, without a key or for one that is not known here. */
export function planOf(key: string | undefined): Plan {
  return (key === undefined ? undefined : findPlan(key)) ?? PLANS[0];
}

function findPlan(key: string): Plan | undefined {
  return PLANS.find((plan) => plan.key === key);
}

/**
 * Puts the caller's tenant on a plan, from now on; a repeat changes nothing.
 * @throws BILLING_PLAN_NOT_FOUND
 */
export async function subscribeToPlan(tx: Tx, caller: Caller, planKey: string): Promise<void> {
  const plan = findPlan(planKey);
  if (!plan) throw errors.BILLING_PLAN_NOT_FOUND({ details: { planKey } });
  await tx.sql`
    INSERT INTO billing.plan_subscription AS subscription (tenant_id, plan_key) VALUES (${caller.tenantId}, ${planKey})
    ON CONFLICT (tenant_id) DO UPDATE SET plan_key = excluded.plan_key, started_at = excluded.started_at
    WHERE subscription.plan_key <> excluded.plan_key`;
  // Nothing is counted under a plan without limits: what was used before counts from now on.
  if (plan.quotas) await recountQuotaUse(tx, caller);
}

/** The plan that the tenant is on: the first one, free, unless it subscribed to another. */
export async function getPlan(scope: TenantScope): Promise<Plan> {
  const subscription = await reader(scope).planSubscription.findUnique({ where: { tenantId: scope.tenantId } });
  return planOf(subscription?.planKey);
}
