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

/** Milliseconds that `work` took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
