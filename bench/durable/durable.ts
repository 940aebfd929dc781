import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fact, percentile, type Measurement } from "../measurement.ts";
import { analyse, resetStatements, writeSelfTimes, writeStatements } from "./profile.ts";
import { CONCURRENCIES, openOwnLoad, STEPS } from "./runs.ts";
import { inDurableWorld, type DurableWorld, type WorldOptions } from "./world.ts";

const ROUNDS = 5;
const RUNS_A_ROUND = { 1: 50, 16: 320 };

export async function benchDurable(options: WorldOptions): Promise<Measurement[]> {
  if (options.profileTo !== undefined) mkdirSync(options.profileTo, { recursive: true });
  const measured = await inDurableWorld(options, async (world) => {
    await openOwnLoad(world, 16).run(300);
    await analyse(world.database.urls.admin);
    const measurements: Measurement[] = [];
    for (const concurrency of CONCURRENCIES)
      measurements.push(...(await measureAt(world, concurrency, options.profileTo)));
    return measurements;
  });
  if (options.profileTo !== undefined) writeSelfTimes(options.profileTo);
  return measured;
}

async function measureAt(
  world: DurableWorld,
  concurrency: (typeof CONCURRENCIES)[number],
  profileTo: string | undefined,
): Promise<Measurement[]> {
  const own = openOwnLoad(world, concurrency);
  const perSecond: number[] = [];
  if (profileTo !== undefined) await resetStatements(world.database.urls.admin);
  for (let round = 0; round < ROUNDS; round++) perSecond.push(await own.run(RUNS_A_ROUND[concurrency]));
  if (profileTo !== undefined)
    await writeStatements(world.database.urls.admin, join(profileTo, `statements-${concurrency}.txt`), own.runs.length);
  const at = concurrency === 1 ? "one at a time" : `${concurrency} at a time`;
  const rate = percentile(perSecond, 0.5);
  const { worker, starter, Postgres, Redis } = own.cpuOfRun();
  return [
    fact(`durable runs, ${at}`, rate, "runs/s"),
    fact(`durable steps, ${at}`, rate * STEPS, "steps/s"),
    fact(
      `CPU of a run in our Node processes, ${at}`,
      worker + starter,
      "ms",
      `worker ${worker.toFixed(2)}, accepting and following ${starter.toFixed(2)}; Postgres ${Postgres.toFixed(2)}, Redis ${Redis.toFixed(2)}`,
    ),
    fact(
      `start to first step p50, ${at}`,
      percentile(
        own.runs.map(({ firstStepMs }) => firstStepMs),
        0.5,
      ),
      "ms",
    ),
  ];
}
