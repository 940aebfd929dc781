import { perSecond, type Spell } from "../load.ts";
import { median } from "../measurement.ts";
import { openCpuMeter } from "./cpu.ts";

/** Something that can be put under load for a while. */
export interface Contender<T> {
  run(durationMs: number, concurrency: number): Promise<Spell<T>>;
  /** The processes whose work is counted, each with those below it. */
  readonly pids?: () => Readonly<Record<string, number>>;
}

/** What one contender did in all its turns. */
export interface Outcome<T> {
  /** A second, of each turn. */
  readonly rates: readonly number[];
  /** Of the middle turn. */
  readonly rate: number;
  readonly results: readonly T[];
  /** Milliseconds for each of the results, of each part that was counted. */
  readonly cpu: Readonly<Record<string, number>>;
  /** The same of each turn. */
  readonly cpus: readonly Readonly<Record<string, number>>[];
}

export interface TurnOptions {
  readonly rounds: number;
  readonly roundMs: number;
  readonly concurrency: number;
}

type Outcomes<All> = { readonly [Name in keyof All]: All[Name] extends Contender<infer T> ? Outcome<T> : never };

/** Lets contenders take turns, so that a slow minute of the machine is in all of them. The first round is not counted. */
export async function takeTurns<All extends Readonly<Record<string, Contender<unknown>>>>(
  contenders: All,
  { rounds, roundMs, concurrency }: TurnOptions,
): Promise<Outcomes<All>> {
  const lanes = Object.entries(contenders).map(([name, contender]) => ({ name, ...openLane(contender) }));
  for (const { turn } of lanes) await turn(roundMs / 2, concurrency, false);
  for (let round = 0; round < rounds; round++) for (const { turn } of lanes) await turn(roundMs, concurrency, true);
  return Object.fromEntries(lanes.map(({ name, outcome }) => [name, outcome()])) as Outcomes<All>;
}

function openLane<T>({ run, pids = () => ({}) }: Contender<T>) {
  const cpu = openCpuMeter(pids);
  const rates: number[] = [];
  const cpus: Readonly<Record<string, number>>[] = [];
  const total = new Map<string, number>();
  const results: T[] = [];
  const count = (used: Readonly<Record<string, number>>, done: number): void => {
    cpus.push(each(Object.entries(used), done));
    for (const [part, ms] of Object.entries(used)) total.set(part, (total.get(part) ?? 0) + ms);
  };
  return {
    turn: async (durationMs: number, concurrency: number, counts: boolean): Promise<void> => {
      if (counts) cpu.start();
      const spell = await run(durationMs, concurrency);
      if (!counts) return;
      count(cpu.stop(), spell.results.length);
      rates.push(perSecond(spell));
      // Spread into a call, many would be too many.
      for (const result of spell.results) results.push(result);
    },
    outcome: (): Outcome<T> => ({ rates, rate: median(rates), results, cpu: each(total, results.length), cpus }),
  };
}

function each(used: Iterable<readonly [string, number]>, count: number): Readonly<Record<string, number>> {
  return Object.fromEntries([...used].map(([part, ms]) => [part, ms / count]));
}
