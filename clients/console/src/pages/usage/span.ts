import type { UsageGranularity } from "@sba/client";

/** Windows of time and the periods of UTC in them, as the API meters them. */

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** More periods than these are no picture any more. */
const MOST_PERIODS: Readonly<Record<UsageGranularity, number>> = { HOUR: 96, DAY: 124, MONTH: 120 };
const LENGTH_MS: Readonly<Record<UsageGranularity, number>> = { HOUR: HOUR_MS, DAY: DAY_MS, MONTH: 31 * DAY_MS };

const GRANULARITIES = ["HOUR", "DAY", "MONTH"] as const satisfies readonly UsageGranularity[];
export const PRESETS = ["day", "week", "month", "quarter", "year", "own"] as const;
export type Preset = (typeof PRESETS)[number];

export interface Span {
  /** The first moment. */
  readonly from: Date;
  /** The first moment after. */
  readonly to: Date;
}

/** What a preset is at a time: whole hours or days, with the one that is now. */
export function spanOf(preset: Exclude<Preset, "own">, now: Date): Span {
  const tomorrow = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() + 1));
  const back = (days: number) => ({ from: new Date(tomorrow.getTime() - days * DAY_MS), to: tomorrow });
  switch (preset) {
    case "day": {
      const to = new Date((Math.floor(now.getTime() / HOUR_MS) + 1) * HOUR_MS);
      return { from: new Date(to.getTime() - DAY_MS), to };
    }
    case "week":
      return back(7);
    case "month":
      return { from: new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)), to: tomorrow };
    case "quarter":
      return back(90);
    case "year":
      return { from: new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - 11, 1)), to: tomorrow };
  }
}

/** Days as a person names them, both included; undefined while they are no span of at most ten years. */
export function spanOfDays(first: string, last: string): Span | undefined {
  const [from, end] = [new Date(`${first}T00:00:00Z`), new Date(`${last}T00:00:00Z`)];
  const lengthMs = end.getTime() - from.getTime();
  if (!(lengthMs >= 0 && lengthMs < 3_650 * DAY_MS)) return undefined;
  return { from, to: new Date(end.getTime() + DAY_MS) };
}

/** The day of UTC, as a date field has it. */
export function dayOf(at: Date): string {
  return at.toISOString().slice(0, 10);
}

/** By what a span can be split. */
export function granularitiesOf({ from, to }: Span): readonly UsageGranularity[] {
  const lengthMs = to.getTime() - from.getTime();
  return GRANULARITIES.filter((each) => lengthMs / LENGTH_MS[each] <= MOST_PERIODS[each]);
}

/** Where each period of the span begins, those in which nothing was used, too. */
export function periodsOf({ from, to }: Span, granularity: UsageGranularity): readonly string[] {
  const starts: string[] = [];
  for (let at = startOf(from, granularity); at < to; at = next(at, granularity)) starts.push(at.toISOString());
  return starts;
}

function startOf(at: Date, granularity: UsageGranularity): Date {
  if (granularity === "MONTH") return new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth(), 1));
  const length = LENGTH_MS[granularity];
  return new Date(Math.floor(at.getTime() / length) * length);
}

function next(at: Date, granularity: UsageGranularity): Date {
  if (granularity === "MONTH") return new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1, 1));
  return new Date(at.getTime() + LENGTH_MS[granularity]);
}

/** "3 Nov", "14:00", "Nov 2026": in UTC, as it is metered. */
export function periodLabels(locale: string, granularity: UsageGranularity): (start: string) => string {
  const options: Readonly<Record<UsageGranularity, Intl.DateTimeFormatOptions>> = {
    HOUR: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
    DAY: { day: "numeric", month: "short" },
    MONTH: { month: "short", year: "numeric" },
  };
  const format = new Intl.DateTimeFormat(locale, { ...options[granularity], timeZone: "UTC" });
  return (start) => format.format(new Date(start));
}
