import type { Caller, TenantScope } from "@sba/platform/caller";
import { recordAudit } from "@sba/platform/audit";
import { withTenant, withTenantOnce, type Tx } from "@sba/platform/db";
import { encodeId } from "@sba/platform/ids";
import { errors } from "../errors.ts";
import { planOf, type PlanQuotas } from "../plan/plan.ts";
import { monthOf, readQuotaUse, type QuotaUse } from "./use.ts";

/** What becomes of a start when all of the tenant's concurrent runs are under way. */
export const WHEN_FULL = ["REFUSE", "QUEUE"] as const;
export type WhenFull = (typeof WHEN_FULL)[number];

/** What a start of this tenant has to ask for; most have to ask for nothing. */
export interface StartLimits {
  /** Null for a tenant that never chose one. */
  readonly planKey: string | null;
  /** Null: the plan has no limits, and runs need no slot. */
  readonly quotas: PlanQuotas | null;
  /** False: runs need no slice. */
  readonly hasBudgets: boolean;
}

/** Reads what a start is held to: one look that waits for nothing, to be sent together with others. */
export async function readStartLimits(tx: Tx, { tenantId }: TenantScope): Promise<StartLimits> {
  const [row] = await tx.sql<{ planKey: string | null; hasBudgets: boolean }>`
    SELECT (SELECT plan_key FROM billing.plan_subscription WHERE tenant_id = ${tenantId}) AS plan_key,
           EXISTS (SELECT FROM billing.budget WHERE tenant_id = ${tenantId}) AS has_budgets`;
  const planKey = row?.planKey ?? null;
  return { planKey, quotas: planOf(planKey ?? undefined).quotas, hasBudgets: row?.hasBudgets ?? false };
}

/** Fails the transaction unless a start of this tenant is still held to just that. Needs no answer. */
export function requireStartLimits(tx: Tx, limits: StartLimits): void {
  tx.gather(requireLimits, [limits]);
}

function requireLimits(tx: Tx, limits: readonly StartLimits[]): Promise<unknown> {
  const planKeys = [...new Set(limits.map(({ planKey }) => planKey ?? ""))];
  const hasBudgets = [...new Set(limits.map((each) => each.hasBudgets))];
  return tx.sql`
    SELECT platform.require(
      coalesce((SELECT plan_key FROM billing.plan_subscription WHERE tenant_id = ${tx.tenantId}), '') = ALL(${planKeys}::text[])
      AND EXISTS (SELECT FROM billing.budget WHERE tenant_id = ${tx.tenantId}) = ALL(${hasBudgets}::boolean[]), 'BILLING_LIMITS_CHANGED')`;
}

export interface TakeRunSlotInput {
  /** UUID. */
  readonly runId: string;
  readonly quotas: PlanQuotas;
  /** Now by default. */
  readonly at?: Date;
}

/**
 * Counts a run against the tenant's quotas, exactly, whoever else starts at the same moment: true when it may begin, false when
 * it waits for its turn (`admitRuns`). The tenant's row stays locked until the commit. Idempotent by run.
 * @throws BILLING_QUOTA_EXCEEDED when the month's tokens or tool calls are used up, or when all runs are under way and the
 * tenant lets no start wait.
 */
export async function takeRunSlot(tx: Tx, scope: TenantScope, input: TakeRunSlotInput): Promise<boolean> {
  const { runId, quotas, at = new Date() } = input;
  // Not awaited one by one: both travel together.
  const [use, [slot]] = await Promise.all([
    readQuotaUse(tx, scope, at),
    insertSlot(tx, scope, { runId, quotas, at, mayWait: false }),
  ]);
  requireMonthly(use, quotas);
  if (!slot) throw exceeded("CONCURRENT_RUNS", BigInt(quotas.concurrentRuns), { retryable: true });
  return slot.admitted;
}

/**
 * The same for a run that was accepted before and whose turn has come: it is not refused any more, and waits for a slot whatever the
 * tenant's policy. True when it may begin. Idempotent by run.
 */
export async function queueRunSlot(
  tx: Tx,
  scope: TenantScope,
  { runId, quotas }: Pick<TakeRunSlotInput, "runId" | "quotas">,
): Promise<boolean> {
  const [slot] = await insertSlot(tx, scope, { runId, quotas, mayWait: true });
  return slot?.admitted ?? false;
}

/** What a start that waits for something else is held to at once. @throws BILLING_QUOTA_EXCEEDED */
export async function requireMonthlyQuotas(tx: Tx, scope: TenantScope, quotas: PlanQuotas): Promise<void> {
  requireMonthly(await readQuotaUse(tx, scope, new Date()), quotas);
}

function requireMonthly(use: QuotaUse, { tokensPerMonth, toolCallsPerMonth }: PlanQuotas): void {
  requireBelow("TOKENS", use.tokens, tokensPerMonth);
  requireBelow("TOOL_CALLS", use.toolCalls, toolCallsPerMonth);
}

function requireBelow(quota: QuotaKind, used: bigint, limit: bigint): void {
  if (used >= limit) throw exceeded(quota, limit);
}

function exceeded(quota: QuotaKind, limit: bigint, options: { readonly retryable?: boolean } = {}) {
  return errors.BILLING_QUOTA_EXCEEDED({ ...options, details: { quota, limit: String(limit) } });
}

// The tenant's row is what starts and ends wait for in turn. One that found no room keeps it locked as well: a run that ends
// now looks for those that wait after this one is among them.
function insertSlot(
  tx: Tx,
  { tenantId }: TenantScope,
  { runId, quotas, mayWait, at = new Date() }: TakeRunSlotInput & { readonly mayWait: boolean },
): Promise<{ admitted: boolean }[]> {
  return tx.sql<{ admitted: boolean }>`
    WITH held AS (
      SELECT admitted_at IS NOT NULL AS admitted FROM billing.run_slot WHERE tenant_id = ${tenantId} AND run_id = ${runId}
    ), taken AS (
      INSERT INTO billing.quota_use AS u (tenant_id, running, month, tokens, tool_calls)
      SELECT ${tenantId}, 1, ${monthOf(at)}, 0, 0 WHERE NOT EXISTS (SELECT FROM held)
      ON CONFLICT (tenant_id) DO UPDATE SET running = u.running + 1 WHERE u.running < ${quotas.concurrentRuns}
      RETURNING running
    ), slot AS (
      INSERT INTO billing.run_slot (tenant_id, run_id, queued_at, admitted_at)
      SELECT ${tenantId}, ${runId}, clock_timestamp(), CASE WHEN EXISTS (SELECT FROM taken) THEN clock_timestamp() END
      WHERE NOT EXISTS (SELECT FROM held) AND (EXISTS (SELECT FROM taken)
        OR ${mayWait}
        OR EXISTS (SELECT FROM billing.quota_policy WHERE tenant_id = ${tenantId} AND when_full = 'QUEUE'))
      RETURNING admitted_at IS NOT NULL AS admitted
    )
    SELECT admitted FROM held UNION ALL SELECT admitted FROM slot`;
}

export interface ReleaseRunSlotInput {
  /** UUID. */
  readonly runId: string;
  /** Now by default. */
  readonly at?: Date;
}

/**
 * Gives back a run's slot at its end, in the transaction that ends it, and counts what it used in the month; a run that waits
 * stops waiting. A repeat, also at the same moment, changes nothing. True when other runs wait: let them in with `admitRuns`
 * after the commit. The answer needs no waiting for.
 */
export async function releaseRunSlot(tx: Tx, { tenantId }: TenantScope, input: ReleaseRunSlotInput): Promise<boolean> {
  const { runId, at = new Date() } = input;
  const month = monthOf(at);
  const [released] = await tx.sql<{ othersWait: boolean }>`
    WITH gone AS (
      DELETE FROM billing.run_slot WHERE tenant_id = ${tenantId} AND run_id = ${runId} RETURNING admitted_at
    ), used AS (
      SELECT coalesce(sum(quantity) FILTER (WHERE meter IN ('model.inputTokens', 'model.outputTokens')), 0) AS tokens,
             coalesce(sum(quantity) FILTER (WHERE meter = 'tool.called'), 0) AS tool_calls
      FROM billing.usage_record WHERE tenant_id = ${tenantId} AND run_id = ${runId} AND recorded_at >= ${month}
    )
    UPDATE billing.quota_use AS u
    SET running = u.running - (gone.admitted_at IS NOT NULL)::int, month = ${month},
        tokens = CASE WHEN u.month = ${month} THEN u.tokens ELSE 0 END + used.tokens,
        tool_calls = CASE WHEN u.month = ${month} THEN u.tool_calls ELSE 0 END + used.tool_calls
    FROM gone, used WHERE u.tenant_id = ${tenantId}
    RETURNING EXISTS (SELECT FROM billing.run_slot s WHERE s.tenant_id = ${tenantId} AND s.admitted_at IS NULL AND s.run_id <> ${runId}) AS others_wait`;
  return released?.othersWait ?? false;
}

/**
 * Lets runs in that wait, the longest first, as many as the plan has room for, and returns their UUIDs: they may begin. Safe at
 * any time, by any number of processes.
 */
export async function admitRuns(tx: Tx, scope: TenantScope): Promise<string[]> {
  const { tenantId } = scope;
  // Locked by a statement of its own: what the next one reads is then as new as whoever held the row before.
  void tx.sql`SELECT 1 FROM billing.quota_use WHERE tenant_id = ${tenantId} FOR UPDATE`;
  const { quotas } = await readStartLimits(tx, scope);
  const admitted = await tx.sql<{ runId: string }>`
    WITH next AS (
      SELECT run_id FROM billing.run_slot WHERE tenant_id = ${tenantId} AND admitted_at IS NULL ORDER BY queued_at, run_id
      LIMIT (SELECT greatest(coalesce(${quotas?.concurrentRuns ?? null}, 2147483647) - running, 0) FROM billing.quota_use WHERE tenant_id = ${tenantId})
    ), admitted AS (
      UPDATE billing.run_slot SET admitted_at = clock_timestamp()
      WHERE tenant_id = ${tenantId} AND run_id IN (SELECT run_id FROM next) RETURNING run_id
    ), counted AS (
      UPDATE billing.quota_use SET running = running + (SELECT count(*) FROM admitted)
      WHERE tenant_id = ${tenantId} AND EXISTS (SELECT FROM admitted)
    )
    SELECT run_id FROM admitted`;
  return admitted.map(({ runId }) => runId);
}

/** Those of these runs (UUIDs) that hold a slot: their turn has come. */
export async function findAdmitted(tx: Tx, { tenantId }: TenantScope, runIds: readonly string[]): Promise<string[]> {
  const admitted = await tx.sql<{ runId: string }>`
    SELECT run_id FROM billing.run_slot
    WHERE tenant_id = ${tenantId} AND run_id = ANY(${[...runIds]}::uuid[]) AND admitted_at IS NOT NULL`;
  return admitted.map(({ runId }) => runId);
}

/** Sets what becomes of a start when all concurrent runs are under way; those that wait go on waiting. */
export async function setQuotaPolicy(caller: Caller, whenFull: WhenFull): Promise<void> {
  await withTenant(caller, async (tx) => {
    const [changed] = await tx.sql<{ tenantId: string }>`
      INSERT INTO billing.quota_policy AS policy (tenant_id, when_full) VALUES (${caller.tenantId}, ${whenFull})
      ON CONFLICT (tenant_id) DO UPDATE SET when_full = excluded.when_full WHERE policy.when_full <> excluded.when_full
      RETURNING tenant_id`;
    if (!changed) return;
    const target = encodeId("Tenant", caller.tenantId);
    await recordAudit(tx, caller, { action: "billing.quotaPolicy.set", target, details: { whenFull } });
  });
}

export const QUOTA_KINDS = ["TOKENS", "TOOL_CALLS", "CONCURRENT_RUNS"] as const;
export type QuotaKind = (typeof QUOTA_KINDS)[number];

/** One quota of a tenant's plan. */
export interface Quota {
  readonly kind: QuotaKind;
  readonly limit: bigint;
  readonly used: bigint;
  /** Of concurrent runs only. */
  readonly whenFull: WhenFull | null;
}

/** The tenant's quotas and what is used of them, of one moment; none when its plan has none. */
export async function listQuotas(scope: TenantScope, at: Date = new Date()): Promise<Quota[]> {
  const { tenantId } = scope;
  const [{ quotas }, use, [policy]] = await withTenantOnce(scope, (tx) =>
    Promise.all([
      readStartLimits(tx, scope),
      readQuotaUse(tx, scope, at),
      tx.sql<{ whenFull: WhenFull }>`SELECT when_full FROM billing.quota_policy WHERE tenant_id = ${tenantId}`,
    ]),
  );
  return quotas ? toQuotas(quotas, use, policy?.whenFull ?? "REFUSE") : [];
}

function toQuotas(quotas: PlanQuotas, use: QuotaUse, whenFull: WhenFull): Quota[] {
  return [
    { kind: "TOKENS", limit: quotas.tokensPerMonth, used: use.tokens, whenFull: null },
    { kind: "TOOL_CALLS", limit: quotas.toolCallsPerMonth, used: use.toolCalls, whenFull: null },
    { kind: "CONCURRENT_RUNS", limit: BigInt(quotas.concurrentRuns), used: BigInt(use.running), whenFull },
  ];
}
