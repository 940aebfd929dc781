/** Load in a closed loop: so many at a time, each beginning its next when its last has ended. */

/** Runs `work` `count` times, `concurrency` at once, and gives what each returned. The first failure ends it. */
export async function repeat<T>(count: number, concurrency: number, work: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const loop = async (): Promise<void> => {
    while (next < count) results.push(await work(next++));
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  return results;
}

export interface Spell<T> {
  readonly results: readonly T[];
  /** Until the last has ended. */
  readonly tookMs: number;
}

/** The same for a time instead of a number: what has begun by then is waited for. */
export async function repeatFor<T>(
  durationMs: number,
  concurrency: number,
  work: (index: number) => Promise<T>,
): Promise<Spell<T>> {
  const results: T[] = [];
  let next = 0;
  const began = performance.now();
  const loop = async (): Promise<void> => {
    do results.push(await work(next++));
    while (performance.now() - began < durationMs);
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  return { results, tookMs: performance.now() - began };
}

/** How many ended a second. */
export function perSecond({ results, tookMs }: Spell<unknown>): number {
  return (results.length / tookMs) * 1000;
}

/** Milliseconds that `work` took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
