import { atMost, fact, median, showNumber, type Measurement } from "../measurement.ts";
import { withBullMq, type BullMq } from "./bullmq.ts";
import { CONCURRENCIES, inWords, type Concurrency, type DurableOptions } from "./options.ts";
import { analyse } from "./profile.ts";
import type { DecideRuns, DecisionTimes, SuspendRuns } from "./suspend.ts";
import { inDurableWorld, type DurableWorld } from "./world.ts";

/** How soon a run goes on when a person has agreed, against a bare job there and back; also when its worker is gone by then. */

const NEXT_STEP_TO_JOB = 2;
const DECISIONS_A_ROUND = { 1: 200, 16: 320 };
const SUSPENDED_AT_ONCE = 16;

export function benchApprovals(options: DurableOptions): Promise<Measurement[]> {
  return inDurableWorld(options, (world) =>
    withBullMq(world.redis, async (bullMq) => {
      await decideRound(world, 16, false);
      await analyse(world.database.urls.admin);
      const measurements: Measurement[] = [];
      for (const concurrency of CONCURRENCIES)
        for (const restarts of [false, true])
          measurements.push(...(await measureAt(world, bullMq, { ...options, concurrency, restarts })));
      return measurements;
    }),
  );
}

interface ApprovalOptions extends DurableOptions {
  readonly concurrency: Concurrency;
  /** The worker is another when the decision comes. */
  readonly restarts: boolean;
}

async function measureAt(world: DurableWorld, bullMq: BullMq, options: ApprovalOptions): Promise<Measurement[]> {
  const { rounds, roundMs, concurrency, restarts } = options;
  const decisions: DecisionTimes[] = [];
  const jobsMs: number[] = [];
  for (let round = 0; round < rounds; round++) {
    decisions.push(...(await decideRound(world, concurrency, restarts)));
    jobsMs.push(...(await bullMq.roundTrips(roundMs, concurrency)).results);
  }
  const nextStep = median(decisions.map(({ nextStepMs }) => nextStepMs));
  const answered = median(decisions.map(({ answeredMs }) => answeredMs));
  const job = median(jobsMs);
  const outcome = median(decisions.map(({ outcomeMs }) => outcomeMs));
  const at = `in bare jobs${restarts ? ", after a restart" : ""}, ${inWords(concurrency)}`;
  const times = `, decided after ${showNumber(answered)} ms, a bare job there and back ${showNumber(job)} ms`;
  return [
    atMost(
      NEXT_STEP_TO_JOB,
      fact(`approval to next step p50, ${at}`, nextStep / job, "x", `${showNumber(nextStep)} ms${times}`),
    ),
    fact(`  approval to what a worker made of it p50, ${at}`, outcome / job, "x", `${showNumber(outcome)} ms`),
  ];
}

/** Brings runs to where they wait, then decides. */
async function decideRound(world: DurableWorld, concurrency: Concurrency, restarts: boolean): Promise<DecisionTimes[]> {
  const { caller, approver, agentKey, processes } = world;
  const suspend: SuspendRuns = {
    ...{ caller, agentKey, count: DECISIONS_A_ROUND[concurrency], concurrency: SUSPENDED_AT_ONCE },
  };
  const runIds = await processes.starter.ask<string[]>("suspendRuns", suspend);
  if (restarts) await processes.restartWorker();
  const decide: DecideRuns = { caller, approver, runIds, concurrency };
  return processes.starter.ask<DecisionTimes[]>("decideRuns", decide);
}
