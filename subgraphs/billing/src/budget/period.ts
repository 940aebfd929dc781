import type { TenantScope } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import { periodAt } from "./budget.state.ts";

export interface OpenPeriodsInput {
  /** UUIDs of budgets. */
  readonly ids: readonly string[];
  /** Of the agent that they are held for, if they are: finds what it used before. */
  readonly agentKey: string;
  readonly at: Date;
}

/**
 * Makes the rows of the current day and month of these budgets that are not there yet. Needs no answer. A budget that was set
 * in the middle of a period begins with what runs had used in it by then; what they used later comes with their slices.
 */
export function openPeriods(tx: Tx, { tenantId }: TenantScope, { ids, agentKey, at }: OpenPeriodsInput): void {
  const [day, month] = [periodAt("DAY", at)!.startsAt, periodAt("MONTH", at)!.startsAt];
  // In the order of their keys: two runs that open the same periods wait for each other, never in a circle. The budget is
  // locked so that it cannot be removed between this look at it and its foreign key's.
  void tx.sql`
    INSERT INTO billing.budget_period (tenant_id, budget_id, starts_at, spent_micros)
    SELECT b.tenant_id, b.id, CASE b.period WHEN 'DAY' THEN ${day}::timestamptz ELSE ${month}::timestamptz END, (
      SELECT coalesce(sum(u.amount_micros), 0) FROM billing.usage_record u
      WHERE u.tenant_id = b.tenant_id AND u.run_id IS NOT NULL AND u.recorded_at < b.created_at
        AND u.recorded_at >= CASE b.period WHEN 'DAY' THEN ${day}::timestamptz ELSE ${month}::timestamptz END
        AND (b.scope = 'TENANT' OR u.agent_key = ${agentKey}))
    FROM billing.budget b
    WHERE b.tenant_id = ${tenantId} AND b.id = ANY(${[...ids]}::uuid[]) AND b.period <> 'RUN'
      AND NOT EXISTS (SELECT FROM billing.budget_period p WHERE p.tenant_id = b.tenant_id AND p.budget_id = b.id
                      AND p.starts_at = CASE b.period WHEN 'DAY' THEN ${day}::timestamptz ELSE ${month}::timestamptz END)
    ORDER BY b.id FOR KEY SHARE OF b
    ON CONFLICT DO NOTHING`;
}
