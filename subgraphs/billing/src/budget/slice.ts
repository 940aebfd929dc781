import { createCache, type CacheScope } from "@sba/platform/cache";
import type { TenantScope } from "@sba/platform/caller";
import { withTenantOnce, type Tx } from "@sba/platform/db";
import type { Budget as BudgetRow } from "@sba/platform/generated/prisma/client";
import { encodeId } from "@sba/platform/ids";
import { errors } from "../errors.ts";
import { noteExhausted } from "./alert.ts";
import { periodAt, type BudgetPeriod } from "./budget.state.ts";
import { openPeriods } from "./period.ts";

/**
 * What a run holds of every budget above it: the same amount of each. It takes a slice when it starts, spends from it step by
 * step without touching what other runs write, takes anew when it is used up or its day is over, and returns the rest.
 */
export interface Slice {
  /** What the run may still spend before it takes anew. */
  readonly leftMicros: bigint;
  /** When the first of its periods is over: from then on the run takes anew before it spends. Null for budgets of each run. */
  readonly endsAt: Date | null;
}

export interface SliceInput {
  /** UUID. */
  readonly runId: string;
  /** UUID. */
  readonly agentId: string;
  readonly agentKey: string;
  /** All that the run has been charged since it began: what budgets of each run are held against. */
  readonly spentMicros: bigint;
  /** What would save the run from asking again soon. Less is given when less is left. */
  readonly wantMicros: bigint;
  /** With so much it can go on well: when little is left of a budget, more is kept for others. By default what it wants. */
  readonly enoughMicros?: bigint;
  /** With less than this nothing useful can be done; 1 by default. */
  readonly atLeastMicros?: bigint;
  /** Now by default. */
  readonly at?: Date;
}

/**
 * Gives a run a slice of every budget that is held for it, of all of them or of none, and takes back what it had left of an
 * earlier one. Undefined when no budget is. The periods of the budgets stay locked until the commit, always in the same order:
 * nothing that another transaction could hold may be waited for after this.
 * @throws BILLING_BUDGET_EXHAUSTED naming the budget that has the least left; the earlier slice is then as it was.
 */
export async function reserveSlice(tx: Tx, scope: TenantScope, input: SliceInput): Promise<Slice | undefined> {
  const budgets = await selectBudgetsOver(tx, scope, input);
  if (budgets.length === 0) return undefined;
  const at = input.at ?? new Date();
  const asked = budgets.map((budget) => ({ ...budget, ...periodOf(budget, at) }));
  // Not awaited one by one: each sees what the one before made, and they travel together.
  openPeriods(tx, scope, { ids: asked.map(({ id }) => id), agentKey: input.agentKey, at });
  lockPeriods(tx, scope, input.runId, asked);
  const rooms = await takeSlice(tx, scope, input, asked);
  const [tightest] = rooms;
  if (!tightest) return undefined;
  if (tightest.granted === null) throw exhausted(scope, asked, tightest);
  return { leftMicros: tightest.granted, endsAt: firstEnd(asked) };
}

type BudgetOver = Pick<BudgetRow, "id" | "scope" | "period" | "limitMicros">;
type Asked = BudgetOver & { readonly startsAt: Date | null; readonly endsAt: Date | null };

function periodOf({ period }: BudgetOver, at: Date): Pick<Asked, "startsAt" | "endsAt"> {
  return periodAt(period as BudgetPeriod, at) ?? { startsAt: null, endsAt: null };
}

function selectBudgetsOver(
  tx: Tx,
  { tenantId }: TenantScope,
  { runId, agentId, agentKey }: SliceInput,
): Promise<BudgetOver[]> {
  return tx.sql<BudgetOver>`
    SELECT id, scope, period, limit_micros FROM billing.budget
    WHERE tenant_id = ${tenantId} AND (scope, scope_id) IN (
      ('TENANT', ''), ('RUN', ''), ('RUN', ${runId}::text), ('AGENT', ${agentId}::text), ('AGENT', ${agentKey}::text))`;
}

/** Locks the periods that are asked and those that the run holds something of, in the order of their keys. */
function lockPeriods(tx: Tx, { tenantId }: TenantScope, runId: string, asked: readonly Asked[]): void {
  void tx.sql`
    SELECT 1 FROM billing.budget_period p
    JOIN (SELECT * FROM unnest(${asked.map(({ id }) => id)}::uuid[], ${asked.map(({ startsAt }) => startsAt)}::timestamptz[])
          UNION SELECT budget_id, starts_at FROM billing.slice WHERE tenant_id = ${tenantId} AND run_id = ${runId})
         AS key (budget_id, starts_at) ON key.budget_id = p.budget_id AND key.starts_at = p.starts_at
    WHERE p.tenant_id = ${tenantId} ORDER BY p.budget_id, p.starts_at FOR UPDATE OF p`;
}

/** What one budget could give, and what was given of all; `granted` is null when that would be too little. */
interface Room {
  readonly budgetId: string;
  readonly micros: bigint;
  /** That it is used up is known already, or nobody is told of it. */
  readonly noted: boolean;
  readonly granted: bigint | null;
}

/** Of what is left of a budget, one run holds such a part at the most, unless it needs more to go on. */
const SHARES = 4;

// A budget gives at least what the run holds of it, also when its limit was lowered: that is reserved. One that was removed
// meanwhile has no period, and is left out.
function takeSlice(
  tx: Tx,
  { tenantId }: TenantScope,
  { runId, spentMicros, wantMicros, enoughMicros = wantMicros, atLeastMicros = 1n }: SliceInput,
  asked: readonly Asked[],
): Promise<Room[]> {
  return tx.sql<Room>`
    WITH asked AS (
      SELECT * FROM unnest(${asked.map(({ id }) => id)}::uuid[], ${asked.map(({ limitMicros }) => limitMicros)}::bigint[],
                           ${asked.map(({ startsAt }) => startsAt)}::timestamptz[], ${asked.map(({ endsAt }) => endsAt)}::timestamptz[])
             AS asked (budget_id, limit_micros, starts_at, ends_at)
    ), held AS (
      SELECT budget_id, starts_at, reserved_micros, spent_micros FROM billing.slice WHERE tenant_id = ${tenantId} AND run_id = ${runId}
    ), room AS (
      SELECT a.*, coalesce(p.alert_percent, 100) = 100 AS noted, h.rest + greatest(a.limit_micros - CASE WHEN a.starts_at IS NULL THEN ${spentMicros}::bigint + h.rest
                                                          ELSE p.spent_micros + p.reserved_micros END, 0) AS micros
      FROM asked a LEFT JOIN billing.budget_period p ON p.tenant_id = ${tenantId} AND p.budget_id = a.budget_id AND p.starts_at = a.starts_at
      CROSS JOIN LATERAL (
        SELECT coalesce(sum(reserved_micros - spent_micros), 0)::bigint AS rest FROM held
        WHERE held.budget_id = a.budget_id AND held.starts_at IS NOT DISTINCT FROM a.starts_at) h
      WHERE a.starts_at IS NULL OR p.budget_id IS NOT NULL
    ), granted AS (
      SELECT least(${wantMicros}::bigint, min(micros), greatest(${enoughMicros}::bigint, min(micros) / ${SHARES})) AS micros
      FROM room HAVING min(micros) >= ${atLeastMicros}::bigint
    ), change AS (
      SELECT budget_id, starts_at, sum(reserved)::bigint AS reserved, sum(spent)::bigint AS spent
      FROM (SELECT budget_id, starts_at, -reserved_micros, spent_micros FROM held
            UNION ALL SELECT room.budget_id, room.starts_at, granted.micros, 0 FROM room, granted) AS part (budget_id, starts_at, reserved, spent)
      WHERE starts_at IS NOT NULL AND EXISTS (SELECT FROM granted) GROUP BY budget_id, starts_at
    ), moved AS (
      UPDATE billing.budget_period AS p
      SET reserved_micros = p.reserved_micros + c.reserved, spent_micros = p.spent_micros + c.spent,
          alert_percent = greatest(p.alert_percent, billing.passed_percent(p.spent_micros + c.spent, a.limit_micros))
      FROM change c LEFT JOIN asked a ON a.budget_id = c.budget_id
      WHERE p.tenant_id = ${tenantId} AND p.budget_id = c.budget_id AND p.starts_at = c.starts_at
    ), dropped AS (
      DELETE FROM billing.slice WHERE tenant_id = ${tenantId} AND run_id = ${runId} AND EXISTS (SELECT FROM granted)
        AND budget_id NOT IN (SELECT budget_id FROM room)
    ), written AS (
      INSERT INTO billing.slice (tenant_id, run_id, budget_id, starts_at, ends_at, reserved_micros)
      SELECT ${tenantId}, ${runId}, room.budget_id, room.starts_at, room.ends_at, granted.micros FROM room, granted
      ON CONFLICT (tenant_id, run_id, budget_id) DO UPDATE
      SET starts_at = excluded.starts_at, ends_at = excluded.ends_at, reserved_micros = excluded.reserved_micros, spent_micros = 0
    )
    SELECT budget_id, micros, noted, (SELECT micros FROM granted) AS granted FROM room ORDER BY micros`;
}

function firstEnd(asked: readonly Asked[]): Date | null {
  const ends = asked.flatMap(({ endsAt }) => (endsAt ? [endsAt.getTime()] : []));
  return ends.length === 0 ? null : new Date(Math.min(...ends));
}

function exhausted(tenant: TenantScope, asked: readonly Asked[], { budgetId, noted }: Room) {
  const { id, scope, period, limitMicros, startsAt } = asked.find((budget) => budget.id === budgetId)!;
  if (startsAt && !noted) noteExhausted(tenant, id, startsAt);
  return errors.BILLING_BUDGET_EXHAUSTED({
    details: { budgetId: encodeId("Budget", id), scope, period, limitMicros: String(limitMicros) },
  });
}

/** The least that the budgets of each run, and of this one, let it spend over its life; undefined without one. */
export async function leastRunLimit(tx: Tx, { tenantId }: TenantScope, runId: string): Promise<bigint | undefined> {
  const [row] = await tx.sql<{ limitMicros: bigint | null }>`
    SELECT min(limit_micros) AS limit_micros FROM billing.budget
    WHERE tenant_id = ${tenantId} AND scope = 'RUN' AND scope_id IN ('', ${runId}::text)`;
  return row?.limitMicros ?? undefined;
}

const REMEMBERED_FOR_MS = 1_000;
const withBudgets = createCache<{ readonly has: boolean }>({ maxEntries: 10_000, ttlMs: REMEMBERED_FOR_MS });

/** Whether the tenant has any budget, as of a second ago at the most: what a run without a slice asks before it spends. */
export async function hasBudgets(scope: CacheScope): Promise<boolean> {
  const { tenantId } = scope;
  const { has } = await withBudgets.get(scope, "hasBudgets", async () => {
    const [found] = await withTenantOnce(
      scope,
      (tx) => tx.sql<{ has: boolean }>`SELECT EXISTS (SELECT FROM billing.budget WHERE tenant_id = ${tenantId}) AS has`,
    );
    return { has: found?.has ?? false };
  });
  return has;
}

/** What a run holds, undefined when it holds nothing. */
export async function findSlice(tx: Tx, { tenantId }: TenantScope, runId: string): Promise<Slice | undefined> {
  const [slice] = await tx.sql<Slice>`
    SELECT min(reserved_micros - spent_micros) AS left_micros, min(ends_at) AS ends_at FROM billing.slice
    WHERE tenant_id = ${tenantId} AND run_id = ${runId} HAVING count(*) > 0`;
  return slice;
}

export interface SettleSliceInput {
  /** UUID. */
  readonly runId: string;
  /** What the run was charged now: at most what is left of its slice. */
  readonly spentMicros: bigint;
}

/**
 * Counts what a step cost against the run's slice, in the step's transaction, once a step. Needs no answer; a step that cost
 * more than is left fails its transaction (what exceeds a reservation is the platform's: see `recordUsage`). Without a
 * slice nothing happens.
 */
export function settleSlice(tx: Tx, { tenantId }: TenantScope, { runId, spentMicros }: SettleSliceInput): void {
  void tx.sql`
    UPDATE billing.slice SET spent_micros = spent_micros + ${spentMicros} WHERE tenant_id = ${tenantId} AND run_id = ${runId}`;
}

/**
 * Gives back what a run has left, at its end or when it waits for a person, and counts what it spent. Needs no answer; a repeat
 * finds nothing to return. The periods stay locked until the commit, as by `reserveSlice`.
 */
export function returnSlice(tx: Tx, scope: TenantScope, runId: string): void {
  const { tenantId } = scope;
  lockPeriods(tx, scope, runId, []);
  void tx.sql`
    WITH held AS (DELETE FROM billing.slice WHERE tenant_id = ${tenantId} AND run_id = ${runId} RETURNING *)
    UPDATE billing.budget_period AS p
    SET reserved_micros = p.reserved_micros - held.reserved_micros, spent_micros = p.spent_micros + held.spent_micros,
        alert_percent = greatest(p.alert_percent, billing.passed_percent(p.spent_micros + held.spent_micros, b.limit_micros))
    FROM held JOIN billing.budget b ON b.tenant_id = held.tenant_id AND b.id = held.budget_id
    WHERE p.tenant_id = held.tenant_id AND p.budget_id = held.budget_id AND p.starts_at = held.starts_at`;
}
