/** One line of the table. */
export interface Measurement {
  readonly measure: string;
  readonly value: number;
  readonly unit: string;
  /** What must hold. Absent: for information. */
  readonly target?: string;
  readonly holds?: boolean;
  /** What the value is compared with, measured in the same run. */
  readonly comparison?: string;
}

/** The smallest sample that at least this share (0 to 1) of the samples does not exceed. @throws RangeError without samples */
export function percentile(samples: readonly number[], share: number): number {
  const rank = Math.max(1, Math.ceil(samples.length * share));
  const value = samples.toSorted((a, b) => a - b)[rank - 1];
  if (value === undefined) throw new RangeError("a percentile needs samples");
  return value;
}

export function mean(samples: readonly number[]): number {
  return samples.reduce((sum, sample) => sum + sample, 0) / samples.length;
}

/** A measurement for information. */
export function fact(measure: string, value: number, unit: string, comparison?: string): Measurement {
  return { measure, value, unit, ...(comparison === undefined ? {} : { comparison }) };
}

/** A measurement that has to stay below a limit. */
export function below(limit: number, { measure, value, unit, comparison }: Measurement): Measurement {
  return { ...fact(measure, value, unit, comparison), target: `< ${limit}`, holds: value < limit };
}

/** A measurement that has to stay at or below a limit. */
export function atMost(limit: number, { measure, value, unit, comparison }: Measurement): Measurement {
  return { ...fact(measure, value, unit, comparison), target: `<= ${limit}`, holds: value <= limit };
}

/** A measurement that has to reach a limit. */
export function atLeast(limit: number, { measure, value, unit, comparison }: Measurement): Measurement {
  return { ...fact(measure, value, unit, comparison), target: `>= ${limit}`, holds: value >= limit };
}

/** The middle sample. @throws RangeError without samples */
export function median(samples: readonly number[]): number {
  return percentile(samples, 0.5);
}

/**
 * The median of the ratios of two loads that took turns: what a slow minute does to both is in neither.
 * @throws RangeError when they are not as many
 */
export function ratioOf(values: readonly number[], baselines: readonly number[]): number {
  if (values.length !== baselines.length) throw new RangeError("a ratio needs a baseline of each round");
  return median(values.map((value, round) => value / baselines[round]!));
}

/** How many times the baseline, in words. */
export function ratioTo(value: number, baseline: number, name: string): string {
  return `${showNumber(value / baseline)} x ${name} (${showNumber(baseline)})`;
}

/** Three significant digits, or as many as the whole number has. */
export function showNumber(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}
