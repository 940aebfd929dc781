/** How long the sections about durable runs take. */
export interface DurableOptions {
  readonly rounds: number;
  /** Of one load in one round. */
  readonly roundMs: number;
  /** A folder for CPU profiles and statements; what is measured then is the product alone. */
  readonly profileTo: string | undefined;
}

export const CONCURRENCIES = [1, 16] as const;
export type Concurrency = (typeof CONCURRENCIES)[number];

export function inWords(concurrency: Concurrency): string {
  return concurrency === 1 ? "one at a time" : `${concurrency} at a time`;
}

export function durableOptions({
  short,
  profileTo,
}: {
  readonly short: boolean;
  readonly profileTo: string | undefined;
}): DurableOptions {
  return short ? { rounds: 3, roundMs: 500, profileTo } : { rounds: 5, roundMs: 1_000, profileTo };
}
