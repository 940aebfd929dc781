import { z } from "zod";
import type { Caller, TenantScope } from "@sba/platform/caller";
import { bigints, ints, texts, times, uuids } from "@sba/platform/columns";
import { withTenantByKey, type Tx } from "@sba/platform/db";
import type { UsageLineShape } from "@sba/platform/graphql";
import type { UsageRecord } from "@sba/platform/generated/prisma/client";
import { errors } from "../errors.ts";
import { METERS, type Meter } from "../meter/meter.ts";
import { CURRENCY, PRICE_LIST_VERSION, priceLine, type MeteredLine } from "../meter/price-list.ts";

/** A metered quantity and what it cost. */
export interface UsageLine extends UsageLineShape {
  readonly meter: Meter;
}

export interface UsageInput {
  /** What used it, the same at every repeat: `run:<uuid>:step:3`. 1 to 200 characters, unique in the tenant. */
  readonly key: string;
  /** Each meter at most once. */
  readonly lines: readonly MeteredLine[];
  /** UUID. An opaque label here: runs belong to a higher domain. */
  readonly runId?: string;
  readonly agentKey?: string;
  /** When it was used; now by default. */
  readonly at?: Date;
  /** By which it is priced; the list in force by default. */
  readonly priceListVersion?: number;
}

const MAX_QUANTITY = 10n ** 15n;

const inputSchema = z.object({
  key: z.string().min(1).max(200),
  agentKey: z.string().min(1).max(200).optional(),
  lines: z
    .array(
      z.object({
        meter: z.enum(METERS),
        quantity: z.bigint().min(0n).max(MAX_QUANTITY),
        model: z.string().min(1).max(200).optional(),
      }),
    )
    .min(1)
    .refine((lines) => new Set(lines.map(({ meter }) => meter)).size === lines.length, "names a meter twice"),
});

type StoredLine = Pick<UsageRecord, "meter" | "quantity" | "amountMicros">;

/**
 * Records what was used, in the caller's transaction, and returns the stored lines in the order given. Idempotent by
 * (tenant, key, meter): a repeat writes nothing and returns what was stored first, at the price of that time.
 * @throws BILLING_USAGE_LINES_INVALID for an unknown or repeated meter, or a quantity outside 0 to 10^15.
 */
export async function recordUsage(tx: Tx, caller: Caller, input: UsageInput): Promise<UsageLine[]> {
  checkInput(input);
  const meters = input.lines.map(({ meter }) => meter);
  // Not awaited one by one: both travel in one round trip.
  const [, stored] = await Promise.all([
    insertRows(tx, rowsOf(caller, input)),
    tx.sql<StoredLine>`
      SELECT meter, quantity, amount_micros FROM billing.usage_record
      WHERE tenant_id = ${caller.tenantId} AND key = ${input.key} AND meter = ANY(${meters}::text[])
      ORDER BY array_position(${meters}::text[], meter)`,
  ]);
  return stored.map(toUsageLine);
}

/**
 * As `recordUsage`, for who alone uses the key, in the same transaction as what it is about: the lines are known without an
 * answer, so that their statement travels with others.
 */
export function recordNewUsage(tx: Tx, caller: Caller, input: UsageInput): UsageLine[] {
  checkInput(input);
  tx.gather(insertRows, rowsOf(caller, input));
  return priceUsage(input.lines, input.priceListVersion);
}

/** What these lines cost by a price list, the one in force by default. */
export function priceUsage(lines: readonly MeteredLine[], priceListVersion?: number): UsageLine[] {
  return lines.map((line) => toUsageLine({ ...line, amountMicros: priceLine(line, priceListVersion).amountMicros }));
}

function checkInput(input: UsageInput): void {
  const parsed = inputSchema.safeParse(input);
  if (!parsed.success)
    throw errors.BILLING_USAGE_LINES_INVALID({ details: { issues: parsed.error.issues.map(describeIssue) } });
}

function describeIssue(issue: z.core.$ZodIssue): string {
  return `${issue.path.join(".")}: ${issue.message}`;
}

type UsageRow = Omit<UsageRecord, "tenantId" | "recordedAt"> & { readonly recordedAt: Date | null };

function rowsOf({ principalId }: Caller, input: UsageInput): UsageRow[] {
  const { key, lines, runId = null, agentKey = null, at = null, priceListVersion = PRICE_LIST_VERSION } = input;
  return lines.map((line) => ({
    ...{ key, meter: line.meter, model: line.model ?? null, quantity: line.quantity },
    ...{ amountMicros: priceLine(line, priceListVersion).amountMicros, priceListVersion },
    ...{ runId, agentKey, principalId, recordedAt: at },
  }));
}

function insertRows(tx: Tx, rows: readonly UsageRow[]): Promise<object[]> {
  return tx.sql`
    INSERT INTO billing.usage_record (tenant_id, key, meter, model, quantity, amount_micros, price_list_version,
                                      run_id, agent_key, principal_id, recorded_at)
    SELECT ${tx.tenantId}, (${texts(rows, ({ key }) => key)}::text[])[i], (${texts(rows, ({ meter }) => meter)}::text[])[i],
           (${texts(rows, ({ model }) => model)}::text[])[i], (${bigints(rows, ({ quantity }) => quantity)}::bigint[])[i],
           (${bigints(rows, ({ amountMicros }) => amountMicros)}::bigint[])[i],
           (${ints(rows, (row) => row.priceListVersion)}::int[])[i], (${uuids(rows, ({ runId }) => runId)}::uuid[])[i],
           (${texts(rows, ({ agentKey }) => agentKey)}::text[])[i], (${uuids(rows, ({ principalId }) => principalId)}::uuid[])[i],
           coalesce((${times(rows, ({ recordedAt }) => recordedAt)}::timestamptz[])[i], clock_timestamp())
    FROM generate_series(1, ${rows.length}::int) AS i
    ON CONFLICT (tenant_id, key, meter) DO NOTHING`;
}

/** Shows a stored or summed line. */
export function toUsageLine({ meter, quantity, amountMicros }: StoredLine): UsageLine {
  return { meter: meter as Meter, quantity, cost: { amountMicros, currency: CURRENCY } };
}

/** What a run has used of one meter so far. */
export interface RunUsageLine extends UsageLine {
  /** UUID. */
  readonly runId: string;
}

/** What each of these runs (UUIDs) used, one line a run and meter; runs without usage have no line. */
export async function listRunUsage(scope: TenantScope, runIds: readonly string[]): Promise<RunUsageLine[]> {
  const rows = await withTenantByKey(
    scope,
    (tx) => tx.sql<StoredLine & { runId: string }>`
    WITH part AS (
      SELECT id AS run_id, id AS part_id FROM unnest(${runIds}::uuid[]) AS asked (id)
      UNION ALL SELECT ancestor_run_id, run_id FROM billing.run_link
      WHERE tenant_id = ${scope.tenantId} AND ancestor_run_id = ANY(${runIds}::uuid[])
    )
    SELECT part.run_id, meter, sum(quantity)::bigint AS quantity, sum(amount_micros)::bigint AS amount_micros
    FROM part CROSS JOIN LATERAL (
      SELECT meter, quantity, amount_micros FROM billing.usage_record WHERE tenant_id = ${scope.tenantId} AND run_id = part.part_id OFFSET 0
    ) AS line
    GROUP BY part.run_id, meter ORDER BY part.run_id, meter`,
  );
  return rows.map(({ runId, ...line }) => ({ runId, ...toUsageLine(line) }));
}

/** A line as it was recorded, and what it is of. */
export interface RecordedLine extends MeteredLine {
  readonly key: string;
  readonly amountMicros: bigint;
}

/** The lines that were recorded of one run, in the caller's transaction. */
export function readRunLines(tx: Tx, runId: string): Promise<RecordedLine[]> {
  return tx.sql<RecordedLine>`
    SELECT key, meter, model, quantity, amount_micros FROM billing.usage_record
    WHERE tenant_id = ${tx.tenantId} AND run_id = ${runId} ORDER BY recorded_at, key, meter`;
}

export interface LinkRunInput {
  /** UUID of a new run. */
  readonly runId: string;
  /** UUID of the run that delegated it. */
  readonly parentRunId: string;
}

/** Counts what a new run will cost for its parent and for those above that as well. Needs no answer. */
export function linkRun(tx: Tx, { tenantId }: TenantScope, { runId, parentRunId }: LinkRunInput): void {
  void tx.sql`
    INSERT INTO billing.run_link (tenant_id, ancestor_run_id, run_id)
    SELECT ${tenantId}, above.id, ${runId} FROM (
      SELECT ${parentRunId}::uuid AS id
      UNION ALL SELECT ancestor_run_id FROM billing.run_link WHERE tenant_id = ${tenantId} AND run_id = ${parentRunId}) above`;
}
