import { z } from "zod";
import type { Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { platformErrors } from "@sba/platform/errors";
import { decodePageCursor, encodePageCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { isStorable } from "@sba/platform/storable";
import { errors } from "../errors.ts";
import { toUsageLine, type UsageLine } from "./record.ts";

export const GRANULARITIES = ["HOUR", "DAY", "MONTH"] as const;
export type Granularity = (typeof GRANULARITIES)[number];

/** How long a window may be: some ten thousand periods at the most. */
const MAX_WINDOW_DAYS: Readonly<Record<Granularity, number>> = { HOUR: 400, DAY: 10_000, MONTH: 100_000 };
const DAY_MS = 86_400_000;

export interface UsageQuery extends PageRequest {
  /** The first moment of the window. */
  readonly from: Date;
  /** The first moment after the window. */
  readonly to: Date;
  readonly granularity: Granularity;
  /** Splits rows by agent too; they are always split by meter. */
  readonly byAgent: boolean;
}

/** What was used of one meter (by one agent) in one period of UTC; the window's first and last period may be cut by it. */
export interface UsageRow extends UsageLine {
  readonly periodStart: Date;
  readonly periodEnd: Date;
  /** Null for what no agent used, and for all when rows are not split by agent. */
  readonly agentKey: string | null;
}

export interface UsageReport extends Page<UsageRow> {
  /** One line a meter over the whole window, equal to the sum of all its rows. */
  readonly totals: readonly UsageLine[];
}

/**
 * Metered usage of the window [from, to) in periods of UTC, oldest first; rows and totals are of one snapshot.
 * @throws BILLING_USAGE_WINDOW_INVALID when `to` is not after `from`, or the window is too long for the granularity.
 * @throws CURSOR_INVALID for a cursor of another granularity or grouping.
 */
export async function reportUsage(caller: Caller, query: UsageQuery): Promise<UsageReport> {
  checkWindow(query);
  const position = decodePosition(query);
  const lines = await withTenant(caller, (tx) => selectReport(tx, caller, query, position));
  const rows = lines.flatMap((line) =>
    line.period === null ? [] : [toUsageRow({ ...line, period: line.period }, query.granularity)],
  );
  const totals = lines.filter(({ period }) => period === null).map(toUsageLine);
  return { ...toPage(rows, query.first), totals };
}

function checkWindow({ from, to, granularity }: UsageQuery): void {
  const lengthMs = to.getTime() - from.getTime();
  const maxDays = MAX_WINDOW_DAYS[granularity];
  if (lengthMs <= 0)
    throw errors.BILLING_USAGE_WINDOW_INVALID({ message: "The window's end (to) must be after its start (from)." });
  if (lengthMs > maxDays * DAY_MS) {
    throw errors.BILLING_USAGE_WINDOW_INVALID({
      message: `A window of granularity ${granularity} spans at most ${maxDays} days.`,
      details: { granularity, maxDays },
    });
  }
}

interface ReportLine {
  /** Null for a total. */
  readonly period: Date | null;
  readonly meter: string;
  readonly agentKey: string | null;
  readonly quantity: bigint;
  readonly amountMicros: bigint;
}

interface Position {
  readonly period: Date;
  readonly meter: string;
  readonly agentKey: string | null;
}

// One statement, so that the totals and the rows are of one snapshot. No agent sorts as '', which is no agent's key.
function selectReport(tx: Tx, caller: Caller, query: UsageQuery, after: Position | undefined): Promise<ReportLine[]> {
  return tx.sql<ReportLine>`
    WITH line AS (
      SELECT date_trunc(${query.granularity}, recorded_at, 'UTC') AS period, meter,
             CASE WHEN ${query.byAgent}::boolean THEN agent_key END AS agent_key, quantity, amount_micros
      FROM billing.usage_record
      WHERE tenant_id = ${caller.tenantId} AND recorded_at >= ${query.from} AND recorded_at < ${query.to}
    ), period_row AS MATERIALIZED (
      SELECT period, meter, agent_key, sum(quantity)::bigint AS quantity, sum(amount_micros)::bigint AS amount_micros
      FROM line GROUP BY period, meter, agent_key
    ), page AS (
      SELECT * FROM period_row
      WHERE ${after === undefined}::boolean
         OR (period, meter, coalesce(agent_key, '')) > (${after?.period ?? null}, ${after?.meter ?? null}, ${after?.agentKey ?? ""})
      ORDER BY period, meter, coalesce(agent_key, '') LIMIT ${query.first + 1}
    )
    SELECT * FROM page
    UNION ALL
    SELECT NULL, meter, NULL, sum(quantity)::bigint, sum(amount_micros)::bigint FROM period_row GROUP BY meter
    ORDER BY period, meter, agent_key NULLS FIRST`;
}

function toUsageRow(line: ReportLine & { readonly period: Date }, granularity: Granularity): UsageRow {
  return {
    ...toUsageLine(line),
    periodStart: line.period,
    periodEnd: endOfPeriod(line.period, granularity),
    agentKey: line.agentKey,
  };
}

function endOfPeriod(start: Date, granularity: Granularity): Date {
  switch (granularity) {
    case "HOUR":
      return new Date(start.getTime() + DAY_MS / 24);
    case "DAY":
      return new Date(start.getTime() + DAY_MS);
    case "MONTH":
      return new Date(Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1));
  }
}

// A row's place is its own key, so a cursor stays good while usage is added before or after it.
const positionSchema = z.tuple([
  z.enum(GRANULARITIES),
  z.boolean(),
  z.iso.datetime(),
  z.string().refine(isStorable),
  z.string().refine(isStorable).nullable(),
]);

/** The cursor of a row in the report that this query asks for. */
export function usageCursor(query: Pick<UsageQuery, "granularity" | "byAgent">, row: UsageRow): string {
  const position: z.infer<typeof positionSchema> = [
    query.granularity,
    query.byAgent,
    row.periodStart.toISOString(),
    row.meter,
    row.agentKey,
  ];
  return encodePageCursor(JSON.stringify(position));
}

function decodePosition(query: UsageQuery): Position | undefined {
  const key = decodePageCursor(query.after);
  if (key === undefined) return undefined;
  const parsed = positionSchema.safeParse(parseJson(key));
  if (!parsed.success) throw platformErrors.CURSOR_INVALID();
  const [granularity, byAgent, period, meter, agentKey] = parsed.data;
  if (granularity !== query.granularity || byAgent !== query.byAgent) throw platformErrors.CURSOR_INVALID();
  return { period: new Date(period), meter, agentKey };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
