import { advanceRun, getRun, startRun } from "@sba/agent/index";
import { openTokenWriter } from "@sba/agent/step/token-writer";
import { runStream, tokenDelta } from "@sba/agent/events";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import { appendEvents } from "@sba/platform/events";
import { logger } from "@sba/platform/log";
import { openBareWork, type BareWork } from "./bare.ts";
import { withDatabase } from "./database.ts";
import { repeat, timed } from "./load.ts";
import { fact, mean, percentile, ratioTo, type Measurement } from "./measurement.ts";
import { countRoundTrips } from "./round-trips.ts";

/** What a run asks of Postgres, in this process and with nothing around it: no HTTP, no queue, no second process. */

const SAMPLES = 200;
const WARM_UP = 30;
const AT_ONCE = 16;

export function benchSteps(redisUrl: string | undefined): Promise<Measurement[]> {
  return withDatabase(redisUrl, async ({ caller, urls }) => {
    const bare = await openBareWork(urls, redisUrl);
    try {
      return [
        ...(await measureTrips(caller)),
        ...(await measureStart(caller, bare)),
        ...(await measureFlush(caller, bare)),
      ];
    } finally {
      await bare.close();
    }
  });
}

const begin = (caller: Caller): Promise<string> =>
  startRun(caller, { agentKey: "handbook", prompt: "where is the lift of a slender wing" });
const CONTEXT = { signal: new AbortController().signal, attempt: 1, log: logger };

/** Until it ends: there is one worker, and it is this. */
async function drive(caller: Caller, runId: string): Promise<number> {
  for (;;) {
    const run = await getRun(caller, runId);
    if (run.endedAt !== null) return run.stepNumber;
    await advanceRun(caller, { runId }, CONTEXT);
  }
}

async function measureTrips(caller: Caller): Promise<Measurement[]> {
  await repeat(WARM_UP, 1, async () => drive(caller, await begin(caller)));
  const started = await countRoundTrips(() => begin(caller));
  const advanced = await countRoundTrips(() => advanceRun(caller, { runId: started.result }, CONTEXT));
  const steps = (await getRun(caller, started.result)).stepNumber;
  return [
    fact("SQL round trips of startRun", started.roundTrips, "", `${started.statements} statements`),
    fact(`SQL round trips of a run's ${steps} steps`, advanced.roundTrips, "", `${advanced.statements} statements`),
    fact(
      "SQL round trips a step",
      advanced.roundTrips / steps,
      "",
      `${(advanced.statements / steps).toFixed(1)} statements`,
    ),
  ];
}

async function measureStart(caller: Caller, bare: BareWork): Promise<Measurement[]> {
  await repeat(WARM_UP, 1, () => bare.writeRow());
  const rowsMs = await repeat(SAMPLES, 1, () => timed(bare.writeRow));
  const startsMs = await repeat(SAMPLES, 1, () => timed(() => begin(caller)));
  const runIds = await repeat(SAMPLES, 1, () => begin(caller));
  const runsMs = await repeat(SAMPLES, 1, (index) => timed(() => drive(caller, runIds[index] ?? "")));
  const row = percentile(rowsMs, 0.5);
  return [
    fact("one-row RLS transaction p50", row, "ms", `p95 ${percentile(rowsMs, 0.95).toFixed(1)}`),
    fact(
      "startRun p50, the function alone",
      percentile(startsMs, 0.5),
      "ms",
      ratioTo(percentile(startsMs, 0.5), row, "one-row RLS transaction"),
    ),
    fact(
      "all steps of a run p50, the loop alone",
      percentile(runsMs, 0.5),
      "ms",
      ratioTo(percentile(runsMs, 0.5), row, "one-row RLS transaction"),
    ),
  ];
}

/** A flush as a reader waits for it: written, committed. */
async function measureFlush(caller: Caller, bare: BareWork): Promise<Measurement[]> {
  const runIds = await repeat(AT_ONCE, 1, () => begin(caller));
  const writeTo = (runId: string, index: number): Promise<void> => {
    const writer = openTokenWriter({ id: runId, tenantId: caller.tenantId, fence: 0 }, 1, index);
    writer.write("piece ");
    return writer.drain();
  };
  const flushAll =
    (width: number) =>
    (index: number): Promise<number> =>
      timed(() => Promise.all(runIds.slice(0, width).map((runId) => writeTo(runId, index))));
  await repeat(WARM_UP, 1, flushAll(AT_ONCE));
  const oneMs = await repeat(SAMPLES, 1, flushAll(1));
  const manyMs = await repeat(SAMPLES, 1, flushAll(AT_ONCE));
  const rowsMs = await repeat(SAMPLES, 1, () => timed(bare.writeRow));
  const [runId = ""] = runIds;
  const appendsMs = await repeat(SAMPLES, 1, (index) =>
    timed(() =>
      withTenant(caller, (tx) =>
        appendEvents(tx, caller, runStream(runId), [tokenDelta({ stepNumber: 1, index, text: "piece " })]),
      ),
    ),
  );
  const row = percentile(rowsMs, 0.5);
  const trips = await countRoundTrips(() => flushAll(1)(0));
  return [
    fact(
      "token flush of one run p50",
      percentile(oneMs, 0.5),
      "ms",
      `${ratioTo(percentile(oneMs, 0.5), row, "one-row RLS transaction")}, ${trips.roundTrips} round trips`,
    ),
    fact(
      "token flush of 16 runs of a tenant p50",
      percentile(manyMs, 0.5),
      "ms",
      ratioTo(percentile(manyMs, 0.5), row, "one-row RLS transaction"),
    ),
    fact("token flush at 16 runs, for each run", mean(manyMs) / AT_ONCE, "ms"),
    fact(
      "one event appended p50, without the lease's check",
      percentile(appendsMs, 0.5),
      "ms",
      ratioTo(percentile(appendsMs, 0.5), row, "one-row RLS transaction"),
    ),
  ];
}
