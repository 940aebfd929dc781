import type { Caller, TenantScope } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import { reader } from "@sba/platform/reader";
import { errors } from "../errors.ts";

/** What a customer buys. */
export interface Plan {
  readonly key: string;
  readonly name: string;
}

/** The plans on offer. One that is no longer sold stays here as long as a tenant is on it. */
export const PLANS: readonly [Plan, ...Plan[]] = [
  { key: "free", name: "Free" },
  { key: "team", name: "Team" },
  { key: "enterprise", name: "Enterprise" },
];

function findPlan(key: string): Plan | undefined {
  return PLANS.find((plan) => plan.key === key);
}

/**
 * Puts the caller's tenant on a plan, from now on; a repeat changes nothing.
 * @throws BILLING_PLAN_NOT_FOUND
 */
export async function subscribeToPlan(tx: Tx, caller: Caller, planKey: string): Promise<void> {
  if (!findPlan(planKey)) throw errors.BILLING_PLAN_NOT_FOUND({ details: { planKey } });
  await tx.sql`
    INSERT INTO billing.plan_subscription AS subscription (tenant_id, plan_key) VALUES (${caller.tenantId}, ${planKey})
    ON CONFLICT (tenant_id) DO UPDATE SET plan_key = excluded.plan_key, started_at = excluded.started_at
    WHERE subscription.plan_key <> excluded.plan_key`;
}

/** The plan that the tenant is on: the first one, free, unless it subscribed to another. */
export async function getPlan(scope: TenantScope): Promise<Plan> {
  const subscription = await reader(scope).planSubscription.findUnique({ where: { tenantId: scope.tenantId } });
  return (subscription && findPlan(subscription.planKey)) ?? PLANS[0];
}
