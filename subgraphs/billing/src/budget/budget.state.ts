/** What a budget is held for, and for how long. RUN as a period is the life of each run. */
export const BUDGET_SCOPES = ["TENANT", "AGENT", "RUN"] as const;
export type BudgetScope = (typeof BUDGET_SCOPES)[number];

export const BUDGET_PERIODS = ["RUN", "DAY", "MONTH"] as const;
export type BudgetPeriod = (typeof BUDGET_PERIODS)[number];

export interface PeriodBounds {
  readonly startsAt: Date;
  /** The first moment after it. */
  readonly endsAt: Date;
}

const DAY_MS = 86_400_000;

/** The day or month of UTC in which a moment lies; null for a run's life, which the calendar does not know. */
export function periodAt(period: BudgetPeriod, at: Date): PeriodBounds | null {
  const [year, month] = [at.getUTCFullYear(), at.getUTCMonth()];
  switch (period) {
    case "RUN":
      return null;
    case "DAY": {
      const startsAt = new Date(Date.UTC(year, month, at.getUTCDate()));
      return { startsAt, endsAt: new Date(startsAt.getTime() + DAY_MS) };
    }
    case "MONTH":
      return { startsAt: new Date(Date.UTC(year, month)), endsAt: new Date(Date.UTC(year, month + 1)) };
  }
}

/** What may still be reserved: never negative, also when the limit was lowered below what is spent. */
export function remainingOf(limitMicros: bigint, reservedMicros: bigint, spentMicros: bigint): bigint {
  const left = limitMicros - reservedMicros - spentMicros;
  return left > 0n ? left : 0n;
}
