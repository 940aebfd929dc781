import type { TenantScope } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import { periodAt } from "../budget/budget.state.ts";

/** What a tenant's quotas are held against. */
export interface QuotaUse {
  /** Runs that hold a slot. */
  readonly running: number;
  /** Of all runs since the month began, those under way included. */
  readonly tokens: bigint;
  readonly toolCalls: bigint;
}

/** The first moment of the month of UTC. */
export function monthOf(at: Date): Date {
  return periodAt("MONTH", at)!.startsAt;
}

/** Reads what is used: what runs used that have ended is counted in one row, that of the others is in the ledger. */
export async function readQuotaUse(tx: Tx, { tenantId }: TenantScope, at: Date): Promise<QuotaUse> {
  const month = monthOf(at);
  const [use] = await tx.sql<QuotaUse>`
    SELECT coalesce(u.running, 0) AS running,
           (CASE WHEN u.month = ${month} THEN u.tokens ELSE 0 END + run.tokens)::bigint AS tokens,
           (CASE WHEN u.month = ${month} THEN u.tool_calls ELSE 0 END + run.tool_calls)::bigint AS tool_calls
    FROM (SELECT coalesce(sum(quantity) FILTER (WHERE meter IN ('model.inputTokens', 'model.outputTokens')), 0) AS tokens,
                 coalesce(sum(quantity) FILTER (WHERE meter = 'tool.called'), 0) AS tool_calls
          FROM billing.usage_record
          WHERE tenant_id = ${tenantId} AND recorded_at >= ${month}
            AND run_id = ANY(ARRAY(SELECT run_id FROM billing.run_slot WHERE tenant_id = ${tenantId} AND admitted_at IS NOT NULL))) run
    LEFT JOIN billing.quota_use u ON u.tenant_id = ${tenantId}`;
  return use!;
}

/** Counts a tenant's use anew, from its slots and its ledger: the truth that the counters are kept equal to. */
export async function recountQuotaUse(tx: Tx, { tenantId }: TenantScope, at: Date = new Date()): Promise<void> {
  const month = monthOf(at);
  // Locked by a statement of its own: what the next one counts is then as new as whoever held the row before.
  void tx.sql`
    INSERT INTO billing.quota_use AS u (tenant_id, running, month, tokens, tool_calls) VALUES (${tenantId}, 0, ${month}, 0, 0)
    ON CONFLICT (tenant_id) DO UPDATE SET running = u.running`;
  await tx.sql`
    WITH admitted AS (SELECT run_id, is_shared FROM billing.run_slot WHERE tenant_id = ${tenantId} AND admitted_at IS NOT NULL)
    UPDATE billing.quota_use AS u
    SET running = (SELECT count(*) FROM admitted WHERE NOT is_shared), month = ${month}, tokens = ended.tokens, tool_calls = ended.tool_calls
    FROM (SELECT coalesce(sum(quantity) FILTER (WHERE meter IN ('model.inputTokens', 'model.outputTokens')), 0) AS tokens,
                 coalesce(sum(quantity) FILTER (WHERE meter = 'tool.called'), 0) AS tool_calls
          FROM billing.usage_record
          WHERE tenant_id = ${tenantId} AND recorded_at >= ${month} AND run_id IS NOT NULL
            AND run_id NOT IN (SELECT run_id FROM admitted)) ended
    WHERE u.tenant_id = ${tenantId}`;
}
