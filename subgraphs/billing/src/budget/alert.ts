import type { TenantScope } from "@sba/platform/caller";
import { systemTx, withTenant, type Tx } from "@sba/platform/db";
import { appendToStreams } from "@sba/platform/events";
import { logger } from "@sba/platform/log";
import { ALERT_PERCENTS, budgetPassed, usageAlertStream } from "../events.ts";

/**
 * People are told when a budget is nearly or wholly used up, once for each limit and period. Whoever moves money only notes the
 * threshold in the period's row, which it holds anyway; what is noted is announced here, by the schedules.
 */

/**
 * Notes that a run could not reserve what it needs, in a transaction of its own: that of the run does not come about. It waits
 * for that one, which holds the row. Not being able to is only a missing alert.
 */
export function noteExhausted(scope: TenantScope, budgetId: string, startsAt: Date): void {
  withTenant(
    scope,
    (tx) => tx.sql`
    UPDATE billing.budget_period SET alert_percent = 100
    WHERE tenant_id = ${scope.tenantId} AND budget_id = ${budgetId} AND starts_at = ${startsAt} AND alert_percent < 100`,
  ).catch((error: unknown) => {
    logger.warn({ err: error, "budget.id": budgetId }, "a budget that is used up could not be noted");
  });
}

interface Passed {
  readonly tenantId: string;
  readonly budgetId: string;
  readonly startsAt: Date;
  readonly alertPercent: number;
  readonly limitMicros: bigint;
  readonly spentMicros: bigint;
}

const AT_A_TIME = 100;

/** Announces thresholds that budgets of all tenants have passed, each once; returns how many budgets. Called by the schedules. */
export function announceBudgetAlerts(): Promise<number> {
  return systemTx("announce budget alerts", async (tx) => {
    const passed = await takePassed(tx);
    for (const [tenantId, budgets] of Map.groupBy(passed, (budget) => budget.tenantId)) {
      const stream = usageAlertStream(tenantId);
      await appendToStreams(
        tx,
        { tenantId },
        budgets.map((budget) => ({ stream, event: eventOf(budget) })),
      );
    }
    return passed.length;
  });
}

// Locked by whoever announces: of two processes at once the other leaves them out. Tenants in order, as their streams are locked.
function takePassed(tx: Tx): Promise<Passed[]> {
  return tx.sql<Passed>`
    WITH passed AS (
      SELECT tenant_id, budget_id, starts_at FROM billing.budget_period WHERE alert_percent > announced_percent
      ORDER BY tenant_id, budget_id, starts_at LIMIT ${AT_A_TIME} FOR UPDATE SKIP LOCKED
    ), announced AS (
      UPDATE billing.budget_period AS p SET announced_percent = p.alert_percent FROM passed
      WHERE p.tenant_id = passed.tenant_id AND p.budget_id = passed.budget_id AND p.starts_at = passed.starts_at
      RETURNING p.*
    )
    SELECT a.tenant_id, a.budget_id, a.starts_at, a.alert_percent, b.limit_micros,
           (a.spent_micros + (SELECT coalesce(sum(s.spent_micros), 0) FROM billing.slice s
                              WHERE s.tenant_id = a.tenant_id AND s.budget_id = a.budget_id AND s.starts_at = a.starts_at))::bigint AS spent_micros
    FROM announced a JOIN billing.budget b ON b.tenant_id = a.tenant_id AND b.id = a.budget_id
    ORDER BY a.tenant_id, a.budget_id, a.starts_at`;
}

function eventOf({ budgetId, startsAt, alertPercent, limitMicros, spentMicros }: Passed) {
  return budgetPassed({
    budgetId,
    percent: ALERT_PERCENTS.find((percent) => percent === alertPercent) ?? 100,
    periodStart: startsAt.toISOString(),
    limitMicros: String(limitMicros),
    spentMicros: String(spentMicros),
  });
}
