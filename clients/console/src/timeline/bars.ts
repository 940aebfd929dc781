/** Work as bars over time: a run's steps, a workflow's. */

type BarKind = "MODEL" | "TOOL" | "SYSTEM" | "USER" | "APPROVAL" | "RUN";

export interface Bar {
  /** Unique in the run; an approval's is its id. */
  readonly id: string;
  readonly kind: BarKind;
  /** Of a step. */
  readonly stepNumber: number | undefined;
  /** A tool, or what was asked for; undefined for what has no name of its own. */
  readonly name: string | undefined;
  /** Milliseconds since 1970. */
  readonly startMs: number;
  /** Undefined while it goes on. */
  readonly endMs: number | undefined;
  /** What it cost as far as it was metered. */
  readonly costMicros: bigint;
  /** How often it was begun anew. */
  readonly restarts: number;
  readonly outcome: "running" | "done" | "failed";
}

export interface Timeline {
  readonly bars: readonly Bar[];
  readonly startMs: number;
  /** Undefined while the run goes on. */
  readonly endMs: number | undefined;
}

/** Where the axis has its marks: at most `count` of them, at round steps, in ms since the beginning. */
export function ticksOf(lengthMs: number, count = 6): readonly number[] {
  const rough = Math.max(lengthMs, 1) / count;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = size * ([1, 2, 5, 10].find((factor) => factor * size >= rough) ?? 10);
  return Array.from({ length: Math.floor(lengthMs / step) + 1 }, (_, index) => index * step);
}
