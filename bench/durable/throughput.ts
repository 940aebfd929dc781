import { join } from "node:path";
import { closing } from "../cleanup.ts";
import { atLeast, atMost, fact, median, ratioOf, showNumber, type Measurement } from "../measurement.ts";
import type { Spell } from "../load.ts";
import { withBullMq, type BullMq } from "./bullmq.ts";
import { startChild, type Child } from "./child.ts";
import { TOKENS } from "./model.ts";
import { CONCURRENCIES, inWords, type Concurrency, type DurableOptions } from "./options.ts";
import { analyse, resetStatements, writeSelfTimes, writeStatements } from "./profile.ts";
import { withRestate, type Restate } from "./restate.ts";
import { ownRuns, STEPS } from "./runs.ts";
import type { RunTimes } from "./starter.ts";
import { takeTurns, type Contender, type Outcome } from "./turns.ts";
import { inDurableWorld, type DurableWorld } from "./world.ts";

/** The three-step run against the same steps written by hand, against Restate, and against bare jobs. */

const RUNS_TO_HANDWRITTEN = 0.3;
const RUNS_TO_RESTATE = 1.5;
const CPU_OF_RUN_MS = 2;
const FIRST_EVENT_TO_JOB = { 1: 3, 16: 2.5 };
/** In how many events the token writer keeps what comes at once: the first piece goes ahead. */
const JOINED_ROWS = 2;
const WARM_UP_ROUNDS = 3;

export function benchDurable(options: DurableOptions): Promise<Measurement[]> {
  return inDurableWorld(options, async (world) => {
    const first = await warmUp(world, options);
    if (options.profileTo !== undefined) return [first, ...(await profile(world, options, options.profileTo))];
    return withBullMq(world.redis, (bullMq) =>
      withRestate(async (restate) => {
        const handwritten = await startByHand(world);
        return closing(handwritten.stop, async () => {
          const measurements = [first];
          for (const concurrency of CONCURRENCIES)
            measurements.push(...(await measureAt({ world, bullMq, restate, handwritten }, concurrency, options)));
          return measurements;
        });
      }),
    );
  });
}

/** Runs on a database that is new, then has its tables looked at, as autovacuum does within a minute. */
async function warmUp(world: DurableWorld, { roundMs }: DurableOptions): Promise<Measurement> {
  const { fresh } = await takeTurns(
    { fresh: ownRuns(world) },
    { rounds: WARM_UP_ROUNDS, roundMs: roundMs * 2, concurrency: 16 },
  );
  await analyse(world.database.urls.admin);
  const { length } = fresh.results;
  return fact(
    "CPU of a run in Postgres, on a new database",
    fresh.cpu["Postgres"] ?? 0,
    "ms",
    `of its first ${length}`,
  );
}

interface Bench {
  readonly world: DurableWorld;
  readonly bullMq: BullMq;
  readonly restate: Restate | undefined;
  readonly handwritten: Child;
}

/** What is written by hand, and its worker. */
async function startByHand({ database, redis }: DurableWorld): Promise<Child> {
  const env = { DATABASE_URL: database.urls.admin, BARE_REDIS_PORT: String(redis.port) };
  const starter = await startChild("./handwritten.ts", { env });
  const worker = await startChild("./handwritten-worker.ts", { env });
  return {
    ...starter,
    stop: async () => {
      await Promise.all([starter.stop(), worker.stop()]);
    },
  };
}

async function measureAt(bench: Bench, concurrency: Concurrency, options: DurableOptions): Promise<Measurement[]> {
  const { world, bullMq, restate, handwritten } = bench;
  const outcomes = await takeTurns(
    {
      own: ownRuns(world),
      tokens: runsByHand(handwritten, TOKENS.length),
      joined: runsByHand(handwritten, JOINED_ROWS),
      commits: commitsByHand(handwritten),
      firstSteps: firstStepsByHand(handwritten),
      chains: { run: bullMq.chains },
      jobs: { run: bullMq.roundTrips },
      ...(restate && { restate: runsOfRestate(restate) }),
    },
    { ...options, concurrency },
  );
  return [...ratesOf(outcomes, concurrency), cpuOf(outcomes, concurrency), ...startsOf(outcomes, concurrency)];
}

function runsByHand(handwritten: Child, rows: number): Contender<number> {
  return {
    run: (durationMs, concurrency) => handwritten.ask<Spell<number>>("runs", { durationMs, concurrency, rows }),
    pids: () => ({ Node: handwritten.pid }),
  };
}

function firstStepsByHand(handwritten: Child): Contender<number> {
  return {
    run: (durationMs, concurrency) => handwritten.ask<Spell<number>>("firstSteps", { durationMs, concurrency }),
  };
}

function commitsByHand(handwritten: Child): Contender<number> {
  return {
    run: (durationMs, concurrency) => handwritten.ask<Spell<number>>("commits", { durationMs, concurrency }),
  };
}

function runsOfRestate({ runs, pids }: Restate): Contender<void> {
  return { run: runs, pids: () => pids };
}

type Rated = Outcome<unknown>;
interface Outcomes {
  readonly own: Rated;
  readonly tokens: Rated;
  readonly joined: Rated;
  readonly commits: Rated;
  readonly chains: Rated;
  readonly restate?: Rated;
}

function ratesOf({ own, tokens, joined, commits, chains, restate }: Outcomes, concurrency: Concurrency): Measurement[] {
  const at = inWords(concurrency);
  const against = (name: string, { rate, rates }: Rated): Measurement =>
    fact(`  to ${name}, ${at}`, ratioOf(own.rates, rates), "x", `${showNumber(rate)} a second`);
  // What is asked of throughput is asked of 16 at a time.
  const asked = (limit: number, measurement: Measurement): Measurement =>
    concurrency === 16 ? atLeast(limit, measurement) : measurement;
  return [
    fact(`durable runs, ${at}`, own.rate, "runs/s", `${showNumber(own.rate * STEPS)} steps/s`),
    asked(RUNS_TO_HANDWRITTEN, against("one commit a step by hand, a row a token", tokens)),
    against("the same with the tokens in two rows, as ours", joined),
    ...(restate ? [asked(RUNS_TO_RESTATE, against("Restate", restate))] : []),
    against("three bare jobs in a chain", chains),
    against("Postgres's commits", commits),
  ];
}

function cpuOf(
  { own, tokens, restate }: Pick<Outcomes, "own"> & Partial<Outcomes>,
  concurrency: Concurrency,
): Measurement {
  const { worker = 0, starter = 0, Postgres = 0, Redis = 0 } = own.cpu;
  const parts = { worker, "accepting and following": starter, "beside them Postgres": Postgres, Redis };
  const others = {
    "by hand, Node": tokens?.cpu["Node"],
    "Restate's server": restate?.cpu["server"],
    "its service": restate?.cpu["service"],
  };
  const shown = Object.entries({ ...parts, ...others }).flatMap(([name, ms]) =>
    ms === undefined ? [] : [`${name} ${ms.toFixed(2)}`],
  );
  const line = fact(
    `CPU of a run in our Node processes, ${inWords(concurrency)}`,
    worker + starter,
    "ms",
    shown.join(", "),
  );
  return concurrency === 16 ? atMost(CPU_OF_RUN_MS, line) : line;
}

interface Starts {
  readonly own: Outcome<RunTimes>;
  readonly jobs: Outcome<number>;
  readonly firstSteps: Outcome<number>;
}

/**
 * From the call of `startRun` until who called it and follows the run has its first event, against a bare job there and back. Then
 * until they have heard that a worker has begun the first step, and the least that this can take when both are durable, the run that
 * is accepted and the step that is begun.
 */
function startsOf({ own, jobs, firstSteps }: Starts, concurrency: Concurrency): Measurement[] {
  const event = median(own.results.map(({ firstEventMs }) => firstEventMs));
  const step = median(own.results.map(({ firstStepMs }) => firstStepMs));
  const accepted = median(own.results.map(({ acceptedMs }) => acceptedMs));
  const [job, least] = [median(jobs.results), median(firstSteps.results)];
  const inJobs = (name: string, ms: number, comparison: string): Measurement =>
    fact(`${name}, in bare jobs, ${inWords(concurrency)}`, ms / job, "x", `${showNumber(ms)} ms${comparison}`);
  const times = `, accepted after ${showNumber(accepted)} ms, a bare job there and back ${showNumber(job)} ms`;
  return [
    atMost(FIRST_EVENT_TO_JOB[concurrency], inJobs("start to first event p50", event, times)),
    inJobs("  start to first step p50", step, `; ${showNumber(step / least)} x of the least`),
    inJobs("  two commits by hand, told by Redis, and a read", least, ""),
  ];
}

/** The product alone, with what its statements and functions take. */
async function profile(world: DurableWorld, options: DurableOptions, folder: string): Promise<Measurement[]> {
  const measurements: Measurement[] = [];
  for (const concurrency of CONCURRENCIES) {
    await resetStatements(world.database.urls.admin);
    const { worker, starter } = world.processes;
    const processes = Object.entries({ worker, starter });
    await Promise.all(processes.map(([, process]) => process.ask("startCpuProfile")));
    const { own } = await takeTurns({ own: ownRuns(world) }, { ...options, concurrency });
    for (const [name, process] of processes)
      await process.ask("stopCpuProfile", join(folder, `${name}-${concurrency}.cpuprofile`));
    await writeStatements(world.database.urls.admin, join(folder, `statements-${concurrency}.txt`), own.results.length);
    measurements.push(cpuOf({ own }, concurrency));
  }
  writeSelfTimes(folder);
  return measurements;
}
