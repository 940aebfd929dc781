import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { errors } from "../errors.ts";

/** How one tool did in a window, over all its versions. */
export interface ToolStatistics {
  readonly tool: string;
  /** Requested in the window, whatever became of them. */
  readonly calls: number;
  readonly failures: number;
  /** Interrupted calls of which nobody can say whether they did their work. */
  readonly unknownOutcomes: number;
  /** Under way, or waiting for an approval. */
  readonly pending: number;
  /** Of the calls that ran to an end, failed ones included; null when none did. */
  readonly p50DurationMs: number | null;
  readonly p95DurationMs: number | null;
  readonly lastCalledAt: Date;
}

const MAX_WINDOW_DAYS = 92;
const DAY_MS = 86_400_000;
const MAX_TOOLS = 100;

/**
 * The tenant's tool calls of the window [from, to), by tool: the most called first, at most 100 tools.
 * @throws INTEGRATIONS_STATISTICS_WINDOW_INVALID when `to` is not after `from`, or more than 92 days after it.
 */
export async function measureTools(
  caller: Caller,
  { from, to }: { readonly from: Date; readonly to: Date },
): Promise<ToolStatistics[]> {
  const lengthMs = to.getTime() - from.getTime();
  if (lengthMs <= 0 || lengthMs > MAX_WINDOW_DAYS * DAY_MS) {
    throw errors.INTEGRATIONS_STATISTICS_WINDOW_INVALID({ details: { maxDays: MAX_WINDOW_DAYS } });
  }
  return withTenant(
    caller,
    (tx) => tx.sql<ToolStatistics>`
    SELECT name AS tool,
           count(*)::int AS calls,
           (count(*) FILTER (WHERE status = 'FAILED'))::int AS failures,
           (count(*) FILTER (WHERE status = 'UNKNOWN'))::int AS unknown_outcomes,
           (count(*) FILTER (WHERE status = 'REQUESTED'))::int AS pending,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE status IN ('SUCCEEDED', 'FAILED')) AS p50_duration_ms,
           percentile_disc(0.95) WITHIN GROUP (ORDER BY duration_ms) FILTER (WHERE status IN ('SUCCEEDED', 'FAILED')) AS p95_duration_ms,
           max(requested_at) AS last_called_at
    FROM integrations.tool_call
    WHERE tenant_id = ${caller.tenantId} AND requested_at >= ${from} AND requested_at < ${to}
    GROUP BY name ORDER BY count(*) DESC, name LIMIT ${MAX_TOOLS}`,
  );
}
