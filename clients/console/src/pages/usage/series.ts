import type { UsageRow } from "@sba/client";

/** Rows of usage as what a chart draws. */

/** By what the bars are split. */
export type Split = "meter" | "agent";
/** Cost, or the quantity of one meter: those of different meters cannot be added. */
export type Measure = "cost" | (string & {});

export interface Series {
  /** In the order of how much they are, most first. */
  readonly names: readonly string[];
  /** One for each period: the value of each name. */
  readonly points: readonly Readonly<Record<string, number>>[];
  readonly starts: readonly string[];
}

/** Of what no agent used: documents that were indexed. */
export const NO_AGENT = "";
const MICROS = 1_000_000;
/** Colours run out: the rest is one. */
const MOST_NAMES = 8;
export const OTHERS = "…";

interface SeriesOptions {
  readonly split: Split;
  readonly measure: Measure;
  /** Where each period begins. */
  readonly starts: readonly string[];
}

export function seriesOf(rows: readonly UsageRow[], { split, measure, starts }: SeriesOptions): Series {
  const measured = rows.filter(({ meter }) => measure === "cost" || meter === measure);
  const names = namesOf(measured, split, measure);
  const points = starts.map(() => Object.fromEntries(names.map((name) => [name, 0])) as Record<string, number>);
  const indexes = new Map(starts.map((start, index) => [new Date(start).getTime(), index]));
  for (const row of measured) {
    const index = indexes.get(new Date(row.periodStart).getTime()) ?? firstOf(row, starts);
    const point = points[index];
    const own = nameOf(row, split);
    const name = names.includes(own) ? own : OTHERS;
    if (point) point[name] = (point[name] ?? 0) + Number(amountOf(row, measure)) / (measure === "cost" ? MICROS : 1);
  }
  return { names, points, starts };
}

/** Of a period that the window's border cuts, the row says where its part begins. */
function firstOf({ periodStart }: UsageRow, starts: readonly string[]): number {
  return starts.findLastIndex((start) => new Date(start) <= new Date(periodStart));
}

function namesOf(rows: readonly UsageRow[], split: Split, measure: Measure): readonly string[] {
  const sums = sumBy(rows, (row) => nameOf(row, split), measure);
  const names = [...sums].toSorted(([, a], [, b]) => (a < b ? 1 : -1)).map(([name]) => name);
  return names.length <= MOST_NAMES ? names : [...names.slice(0, MOST_NAMES - 1), OTHERS];
}

function nameOf({ agentKey, meter }: UsageRow, split: Split): string {
  return split === "meter" ? meter : (agentKey ?? NO_AGENT);
}

function amountOf({ cost, quantity }: UsageRow, measure: Measure): string {
  return measure === "cost" ? cost.amountMicros : quantity;
}

/** Exact sums. */
function sumBy(
  rows: readonly UsageRow[],
  keyOf: (row: UsageRow) => string,
  measure: Measure = "cost",
): ReadonlyMap<string, bigint> {
  const sums = new Map<string, bigint>();
  for (const row of rows) sums.set(keyOf(row), (sums.get(keyOf(row)) ?? 0n) + BigInt(amountOf(row, measure)));
  return sums;
}
