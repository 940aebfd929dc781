import { openCpuMeter } from "./cpu.ts";
import type { RunsStarted, RunTimes, StartRuns } from "./starter.ts";
import type { DurableWorld } from "./world.ts";

/** The three-step run on the run loop as it is: what one load of it gave. */

export const CONCURRENCIES = [1, 16] as const;
export const STEPS = 3;

export interface OwnLoad {
  /** Runs `count` runs, so many at a time. */
  run(count: number): Promise<number>;
  readonly runs: readonly RunTimes[];
  /** Milliseconds a run, of each part. */
  cpuOfRun(): Readonly<Record<"worker" | "starter" | "Postgres" | "Redis", number>>;
}

export function openOwnLoad(world: DurableWorld, concurrency: number, prompt = "look it up"): OwnLoad {
  const { caller, agentKey, starter, database, redis } = world;
  const cpu = openCpuMeter(() => ({
    ...{ worker: world.worker.pid, starter: starter.pid },
    ...{ Postgres: database.pid, Redis: redis.pid },
  }));
  const runs: RunTimes[] = [];
  return {
    runs,
    /** Runs a second. */
    run: async (count) => {
      cpu.start();
      const load: StartRuns = { caller, agentKey, prompt, count, concurrency };
      const started = await starter.ask<RunsStarted>("startRuns", load);
      cpu.stop();
      runs.push(...started.runs);
      return (count / started.busyMs) * 1000;
    },
    cpuOfRun: () => {
      const { worker, starter: start, Postgres, Redis } = cpu.used();
      const each = (ms: number): number => ms / runs.length;
      return { worker: each(worker), starter: each(start), Postgres: each(Postgres), Redis: each(Redis) };
    },
  };
}
