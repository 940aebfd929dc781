import { defineEvent, streamOf } from "@sba/platform/events";
import { z } from "zod";

const micros = z.string();

/** Shares of a budget of which people are told when so much of it is spent. */
export const ALERT_PERCENTS = [80, 100] as const;

const payload = z.object({
  budgetId: z.uuid(),
  percent: z.literal(ALERT_PERCENTS),
  periodStart: z.string(),
  limitMicros: micros,
  spentMicros: micros,
});

export type BudgetPassed = z.infer<typeof payload>;

/** On the stream of the tenant's usage alerts. Times are RFC 3339, amounts micro-dollars as decimal strings. */
export const budgetPassed = defineEvent({
  type: "billing.budget.passed",
  version: 1,
  description:
    "Of a budget 80 percent are spent in its period; or all, or so much that a run could not reserve what it needs (100).",
  payload,
});

/** The stream of a tenant's usage alerts. */
export function usageAlertStream(tenantId: string): string {
  return streamOf("usage-alerts", tenantId);
}
