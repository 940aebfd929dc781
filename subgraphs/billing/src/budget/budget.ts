import type { Caller, TenantScope } from "@sba/platform/caller";
import { recordAudit } from "@sba/platform/audit";
import { withTenant, withTenantOnce, type Tx } from "@sba/platform/db";
import type { Budget as BudgetRow } from "@sba/platform/generated/prisma/client";
import { encodeId, isUuid, newId, parseId } from "@sba/platform/ids";
import { errors } from "../errors.ts";
import { periodAt, type BudgetPeriod, type BudgetScope } from "./budget.state.ts";
import { openPeriods } from "./period.ts";

/** A budget, and what is reserved and spent of it in the period that lies around the moment of asking. */
export interface Budget extends BudgetRow {
  readonly reservedMicros: bigint;
  readonly spentMicros: bigint;
}

export interface SetBudgetInput {
  readonly scope: BudgetScope;
  /**
   * AGENT: the agent's public id or its key. RUN: the public id of one run, or none for each run of the tenant. TENANT: none,
   * or the tenant's own id.
   */
  readonly scopeId?: string | null | undefined;
  /** RUN: for each run by itself. A budget of scope RUN has no other. */
  readonly period: BudgetPeriod;
  /** 0 to 10^15; 0 stops every run that it is held for. */
  readonly limitMicros: bigint;
  /** Now by default. */
  readonly at?: Date;
}

const MAX_LIMIT_MICROS = 10n ** 15n;
/** A run looks at all that are held for it. */
const MAX_BUDGETS = 100;

/**
 * Sets what may be spent at most; setting the same again changes nothing. One budget for each (scope, scopeId, period). It holds
 * from the next slice that a run takes; what is reserved stays reserved, also when the limit falls below it. Returns its UUID.
 * @throws BILLING_BUDGET_SCOPE_INVALID, BILLING_BUDGET_LIMIT_INVALID, BILLING_BUDGETS_TOO_MANY
 */
export async function setBudget(caller: Caller, input: SetBudgetInput): Promise<string> {
  const { limitMicros, at = new Date() } = input;
  const key = { scope: input.scope, scopeId: storedScopeId(caller, input), period: input.period };
  if (limitMicros < 0n || limitMicros > MAX_LIMIT_MICROS)
    throw errors.BILLING_BUDGET_LIMIT_INVALID({ details: { maxMicros: String(MAX_LIMIT_MICROS) } });
  return withTenant(caller, async (tx) => {
    const { id, before } = await writeBudget(tx, caller, { ...key, limitMicros, createdAt: at });
    if (before === limitMicros) return id;
    if (before !== undefined) alertAnew(tx, caller, id);
    // What an agent used before is known by its key: of one that is named by its id, the first run says it.
    else if (!isUuid(key.scopeId)) openPeriods(tx, caller, { ids: [id], agentKey: key.scopeId, at });
    await recordAudit(tx, caller, {
      action: "billing.budget.set",
      target: encodeId("Budget", id),
      details: { ...key, limitMicros: String(limitMicros), before: before === undefined ? null : String(before) },
    });
    return id;
  });
}

/** Inserts or changes the row. `before` is the limit that it had. */
async function writeBudget(
  tx: Tx,
  { tenantId }: TenantScope,
  { scope, scopeId, period, limitMicros, createdAt }: Omit<BudgetRow, "tenantId" | "id">,
): Promise<{ id: string; before: bigint | undefined }> {
  // Two at once are one after the other: the second finds the first's row, and the tenant's number of budgets stays exact.
  void tx.sql`SELECT pg_advisory_xact_lock(hashtextextended(${`billing.budget:${tenantId}`}, 0))`;
  const rows = await tx.sql<BudgetRow>`SELECT * FROM billing.budget WHERE tenant_id = ${tenantId}`;
  const found = rows.find((row) => row.scope === scope && row.scopeId === scopeId && row.period === period);
  if (found) {
    await tx.sql`
      UPDATE billing.budget SET limit_micros = ${limitMicros} WHERE tenant_id = ${tenantId} AND id = ${found.id}`;
    return { id: found.id, before: found.limitMicros };
  }
  if (rows.length >= MAX_BUDGETS) throw errors.BILLING_BUDGETS_TOO_MANY({ details: { max: MAX_BUDGETS } });
  const id = newId();
  await tx.sql`
    INSERT INTO billing.budget (tenant_id, id, scope, scope_id, period, limit_micros, created_at)
    VALUES (${tenantId}, ${id}, ${scope}, ${scopeId}, ${period}, ${limitMicros}, ${createdAt})`;
  return { id, before: undefined };
}

/** With another limit, other thresholds are passed. */
function alertAnew(tx: Tx, { tenantId }: TenantScope, budgetId: string): void {
  void tx.sql`
    UPDATE billing.budget_period AS p
    SET announced_percent = 0, alert_percent = billing.passed_percent(p.spent_micros, b.limit_micros)
    FROM billing.budget b
    WHERE b.tenant_id = ${tenantId} AND b.id = ${budgetId} AND p.tenant_id = b.tenant_id AND p.budget_id = b.id
      AND p.starts_at = (SELECT max(starts_at) FROM billing.budget_period
                         WHERE tenant_id = ${tenantId} AND budget_id = ${budgetId})`;
}

/**
 * Takes a budget away, with what was counted against it. Runs under way keep what they reserved. A repeat finds none.
 * @throws BILLING_BUDGET_NOT_FOUND
 */
export async function removeBudget(caller: Caller, budgetId: string): Promise<void> {
  await withTenant(caller, async (tx) => {
    const [removed] = await tx.sql<BudgetRow>`
      DELETE FROM billing.budget WHERE tenant_id = ${caller.tenantId} AND id = ${budgetId} RETURNING *`;
    if (!removed) throw errors.BILLING_BUDGET_NOT_FOUND();
    const { scope, scopeId, period, limitMicros } = removed;
    await recordAudit(tx, caller, {
      action: "billing.budget.removed",
      target: encodeId("Budget", budgetId),
      details: { scope, scopeId, period, limitMicros: String(limitMicros) },
    });
  });
}

/** The budgets of the tenant, 100 at the most: its own first, then those of agents and runs. */
export function listBudgets(scope: TenantScope, at: Date = new Date()): Promise<Budget[]> {
  return selectBudgets(scope, null, at);
}

/** The budgets with these UUIDs that the tenant has. */
export function findBudgets(scope: TenantScope, ids: readonly string[]): Promise<Budget[]> {
  return selectBudgets(scope, ids, new Date());
}

// What a run holds is split into what it has spent of it and the rest, which is what is reserved. Of one run's own budget,
// the ledger knows what was spent; what each run may spend by itself is not added up.
function selectBudgets({ tenantId }: TenantScope, ids: readonly string[] | null, at: Date): Promise<Budget[]> {
  const [day, month] = [periodAt("DAY", at), periodAt("MONTH", at)];
  return withTenantOnce(
    { tenantId },
    (tx) => tx.sql<Budget>`
    SELECT b.*, (coalesce(p.reserved_micros, 0) - held.spent + held.own)::bigint AS reserved_micros,
           (coalesce(p.spent_micros, 0) + held.spent + run.spent)::bigint AS spent_micros
    FROM billing.budget b
    LEFT JOIN billing.budget_period p ON p.tenant_id = b.tenant_id AND p.budget_id = b.id
      AND p.starts_at = CASE b.period WHEN 'DAY' THEN ${day!.startsAt}::timestamptz WHEN 'MONTH' THEN ${month!.startsAt}::timestamptz END
    CROSS JOIN LATERAL (
      SELECT coalesce(sum(s.spent_micros) FILTER (WHERE s.starts_at = p.starts_at), 0) AS spent,
             coalesce(sum(s.reserved_micros - s.spent_micros) FILTER (WHERE b.scope = 'RUN' AND b.scope_id = s.run_id::text), 0) AS own
      FROM billing.slice s WHERE s.tenant_id = b.tenant_id AND s.budget_id = b.id) held
    CROSS JOIN LATERAL (
      SELECT coalesce(sum(u.amount_micros), 0) AS spent FROM billing.usage_record u
      WHERE b.scope = 'RUN' AND b.scope_id <> '' AND u.tenant_id = b.tenant_id AND u.run_id = nullif(b.scope_id, '')::uuid) run
    WHERE b.tenant_id = ${tenantId} AND (${ids === null ? null : [...ids]}::uuid[] IS NULL OR b.id = ANY(${ids === null ? null : [...ids]}::uuid[]))
    ORDER BY array_position(ARRAY['TENANT', 'AGENT', 'RUN'], b.scope), b.scope_id, b.period, b.id`,
  );
}

const AGENT_KEY = /^[a-z0-9-]{1,100}$/;

/** The scope as rows have it: a UUID, an agent's key, or nothing. @throws BILLING_BUDGET_SCOPE_INVALID */
function storedScopeId({ tenantId }: TenantScope, { scope, scopeId, period }: SetBudgetInput): string {
  const parsed = scopeId ? parseId(scopeId) : undefined;
  switch (scope) {
    case "TENANT":
      if (!scopeId || (parsed?.type === "Tenant" && parsed.uuid === tenantId)) return "";
      throw scopeInvalid("A tenant's budget is the caller's own: leave scopeId out.");
    case "AGENT":
      if (parsed?.type === "Agent") return parsed.uuid;
      if (scopeId && AGENT_KEY.test(scopeId)) return scopeId;
      throw scopeInvalid("An agent's budget needs the agent's id or key as scopeId.");
    case "RUN":
      if (period !== "RUN") throw scopeInvalid("A run's budget is for its whole life: its period is RUN.");
      if (!scopeId) return "";
      if (parsed?.type === "Run") return parsed.uuid;
      throw scopeInvalid("A run's budget takes a run's id as scopeId, or none for each run.");
  }
}

function scopeInvalid(message: string) {
  return errors.BILLING_BUDGET_SCOPE_INVALID({ message });
}

/** What a budget is held for, as clients know it: a public id, an agent's key, or null for each run of the tenant. */
export function publicScopeId({ tenantId, scope, scopeId }: BudgetRow): string | null {
  if (scope === "TENANT") return encodeId("Tenant", tenantId);
  if (scopeId === "") return null;
  if (!isUuid(scopeId)) return scopeId;
  return encodeId(scope === "AGENT" ? "Agent" : "Run", scopeId);
}
