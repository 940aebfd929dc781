/** What the terminal shows of a start: one line when a step begins, one when it took longer than a moment. */

const WORTH_SAYING_MS = 1_000;

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Runs a step under a heading. */
export async function step<T>(heading: string, work: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  say(`${heading} ...`);
  const result = await work();
  const tookMs = performance.now() - startedAt;
  if (tookMs > WORTH_SAYING_MS) say(`  done in ${(tookMs / 1_000).toFixed(1)} s`);
  return result;
}

/** Says how far something is, at most once in two seconds. */
export function progressLine(describe: (done: number, total: number) => string): (done: number, total: number) => void {
  let saidAt = performance.now();
  return (done, total) => {
    if (performance.now() - saidAt < 2 * WORTH_SAYING_MS) return;
    saidAt = performance.now();
    say(`  ${describe(done, total)}`);
  };
}
