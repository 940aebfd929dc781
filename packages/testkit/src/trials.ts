/**
 * For tests of races: what two do at the same moment is tried often, each time at another moment. Such tests live in
 * `*races.test.ts`. `npm test` tries a fifth of what each asks for, `.ci/run` all of it: it sets RACES=all.
 */
const QUICK_SHARE = 5;

/** How often a race is tried that has to hold in `all` trials. */
export function trialsOf(all: number): number {
  return process.env["RACES"] === "all" ? all : Math.ceil(all / QUICK_SHARE);
}

/** Runs numbered trials, some at once. */
export async function inTrials(trials: number, atOnce: number, run: (trial: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let trial = next++; trial < trials; trial = next++) await run(trial);
  };
  await Promise.all(Array.from({ length: atOnce }, lane));
}

/** A number from 0 to `below` - 1, the same for the same trial. */
export function pick(trial: number, below: number): number {
  // Fibonacci hashing: neighbours are far apart.
  return Math.floor(((Math.imul(trial + 1, 0x9e3779b1) >>> 0) / 2 ** 32) * below);
}
