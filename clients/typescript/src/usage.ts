import type { Client } from "./client.ts";
import { decimalOf, toCsv } from "./csv.ts";
import { UsageDocument, type UsageQuery, type UsageQueryVariables } from "./generated/graphql.ts";

export type UsageRow = UsageQuery["usage"]["edges"][number]["node"];

/** What was used of each meter in a window, whole. */
export interface UsageReport {
  /** Oldest period first. */
  readonly rows: readonly UsageRow[];
  /** Of each meter over the window, exactly the sum of its rows. */
  readonly totals: UsageQuery["usage"]["totals"];
}

type Window = Omit<UsageQueryVariables, "first" | "after">;
const PAGE = 100;

/** All pages of `usage`. @throws ApiError */
export async function readUsage(client: Client, window: Window, signal?: AbortSignal): Promise<UsageReport> {
  const rows: UsageRow[] = [];
  for (let after: string | null = null; ;) {
    const variables: UsageQueryVariables = { ...window, first: PAGE, after };
    const { usage }: UsageQuery = await client.query(UsageDocument, variables, signal ? { signal } : {});
    rows.push(...usage.edges.map(({ node }) => node));
    if (!usage.pageInfo.hasNextPage) return { rows, totals: usage.totals };
    after = usage.pageInfo.endCursor ?? null;
  }
}

const HEAD = ["periodStart", "periodEnd", "agent", "meter", "quantity", "cost", "currency"];

/** A line for each row, amounts as exact decimals. */
export function usageCsv(rows: readonly UsageRow[]): string {
  return toCsv(
    HEAD,
    rows.map(({ periodStart, periodEnd, agentKey, meter, quantity, cost }) => [
      ...[periodStart, periodEnd, agentKey ?? "", meter, quantity, decimalOf(cost.amountMicros), cost.currency],
    ]),
  );
}
