import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createClient, RunEventsDocument, StartRunDocument, type Client } from "@sba/client";
import { closeDatabase, connectDatabase, systemTx } from "@sba/platform/db";
import { parseId } from "@sba/platform/ids";
import { repeat, timed } from "./load.ts";
import { openBareWork, type BareWork } from "./bare.ts";
import { below, fact, percentile, ratioTo, type Measurement } from "./measurement.ts";
import { cpuMs, treeOf } from "./processes.ts";
import { databaseOf, type System, type SystemOptions } from "./system.ts";

/**
 * Runs of the main job through the API, as a user waits for them, against the least that a durable answer can cost on the
 * same database in the same minutes: one row in one transaction, and one job that a worker receives.
 */

const CONCURRENCIES = [1, 16];
/** Load alternates with its baselines, so that a slow minute of the machine is in both. */
const ROUNDS = 4;
const RUNS_A_ROUND = 64;
const WARM_UP_RUNS = 32;
const ACCEPTED_LIMIT_MS = 50;
const FIRST_EVENT_LIMIT_MS = 200;
const FIRST_TOKEN_LIMIT_MS = 400;
/** As many people with a client each would ask: none of them waits for another's limit. */
const NO_LIMIT = { perSecond: 10_000, burst: 10_000 };
const QUERIES = join(import.meta.dirname, "../prisma/data/cranfield/queries.jsonl");

/** Milliseconds since the run was asked for. */
interface RunTimes {
  readonly runId: string;
  readonly acceptedMs: number;
  readonly firstEventMs: number;
  readonly firstTokenMs: number;
  readonly endMs: number;
}

export async function measureRuns(system: System, options: SystemOptions): Promise<Measurement[]> {
  const client = createClient({
    url: system.graphqlUrl,
    subscriptionsUrl: system.subscriptionsUrl,
    token: system.operatorToken,
    rateLimit: NO_LIMIT,
  });
  const urls = await databaseOf(options.dataDir);
  connectDatabase({ ...urls, poolSize: 20 });
  const bare = await openBareWork(urls, options.redisUrl);
  try {
    const questions = readQuestions();
    const ask = (index: number): Promise<RunTimes> => askOnce(client, questions[index % questions.length] ?? "");
    await repeat(WARM_UP_RUNS, 4, ask);
    const measurements: Measurement[] = [];
    for (const concurrency of CONCURRENCIES)
      measurements.push(...(await measureAt(concurrency, { ask, bare, system })));
    return measurements;
  } finally {
    await client.close();
    await bare.close();
    await closeDatabase();
  }
}

function readQuestions(): string[] {
  const lines = readFileSync(QUERIES, "utf8").trimEnd().split("\n");
  return lines.map((line) => (JSON.parse(line) as { text: string }).text);
}

async function askOnce(client: Client, prompt: string): Promise<RunTimes> {
  const began = performance.now();
  const since = (): number => performance.now() - began;
  const { startRun } = await client.mutate(StartRunDocument, { agentKey: "handbook", prompt });
  const acceptedMs = since();
  let [firstEventMs, firstTokenMs] = [Number.NaN, Number.NaN];
  let last = "";
  for await (const { runEvents } of client.subscribe(RunEventsDocument, { runId: startRun.id })) {
    last = runEvents.__typename;
    if (Number.isNaN(firstEventMs)) firstEventMs = since();
    if (Number.isNaN(firstTokenMs) && last === "TokenDelta") firstTokenMs = since();
  }
  if (last !== "RunFinished") throw new Error(`the run ${startRun.id} ended with ${last}`);
  return { runId: startRun.id, acceptedMs, firstEventMs, firstTokenMs, endMs: since() };
}

interface Bench {
  readonly ask: (index: number) => Promise<RunTimes>;
  readonly bare: BareWork;
  readonly system: System;
}

async function measureAt(concurrency: number, { ask, bare, system }: Bench): Promise<Measurement[]> {
  const runs: RunTimes[] = [];
  const [rowsMs, jobsMs]: [number[], number[]] = [[], []];
  let busyMs = 0;
  const cpu = openCpuMeter(system);
  for (let round = 0; round < ROUNDS; round++) {
    cpu.start();
    busyMs += await timed(async () =>
      runs.push(...(await repeat(RUNS_A_ROUND, concurrency, (index) => ask(round * RUNS_A_ROUND + index)))),
    );
    cpu.stop();
    rowsMs.push(...(await repeat(RUNS_A_ROUND * 4, concurrency, () => timed(bare.writeRow))));
    jobsMs.push(...(await repeat(RUNS_A_ROUND * 4, concurrency, () => timed(bare.runJob))));
  }
  const row = percentile(rowsMs, 0.95);
  const job = percentile(jobsMs, 0.95);
  const at = concurrency === 1 ? "one at a time" : `${concurrency} at a time`;
  const p95 = (name: string, times: readonly number[], limit: number, comparison: string): Measurement =>
    below(limit, fact(`${name} p95, ${at}`, percentile(times, 0.95), "ms", comparison));
  const accepted = runs.map(({ acceptedMs }) => acceptedMs);
  const firstEvents = runs.map(({ firstEventMs }) => firstEventMs);
  const firstTokens = runs.map(({ firstTokenMs }) => firstTokenMs);
  return [
    p95(
      "startRun to accepted",
      accepted,
      ACCEPTED_LIMIT_MS,
      ratioTo(percentile(accepted, 0.95), row, "one-row RLS transaction"),
    ),
    p95(
      "startRun to first event",
      firstEvents,
      FIRST_EVENT_LIMIT_MS,
      ratioTo(percentile(firstEvents, 0.95), job, "bare job round trip"),
    ),
    p95(
      "startRun to first token",
      firstTokens,
      FIRST_TOKEN_LIMIT_MS,
      ratioTo(percentile(firstTokens, 0.95), job, "bare job round trip"),
    ),
    ...(await spansOf(
      runs.map(({ runId }) => runId),
      at,
    )),
    fact(
      `startRun to the end p50, ${at}`,
      percentile(
        runs.map(({ endMs }) => endMs),
        0.5,
      ),
      "ms",
    ),
    fact(`runs completed, ${at}`, (runs.length / busyMs) * 1000, "runs/s"),
    ...cpu.perRun(runs.length, at),
    fact(`one-row RLS transaction p50, ${at}`, percentile(rowsMs, 0.5), "ms"),
    fact(`bare job round trip p50, ${at}`, percentile(jobsMs, 0.5), "ms"),
  ];
}

/** What the system's processes have computed while runs were under way; unlike time, it does not depend on who else computes. */
function openCpuMeter({ supervisorPid }: System) {
  const parts = { server: /launcher\/src\/server\.ts/, worker: /workers\/src\/main\.ts/, Postgres: /postgres/ };
  const usedMs = new Map<string, number>();
  const count = (sign: 1 | -1): void => {
    const tree = treeOf(supervisorPid);
    for (const [name, pattern] of Object.entries(parts)) {
      const ms = cpuMs(tree.filter(({ command }) => pattern.test(command)));
      usedMs.set(name, (usedMs.get(name) ?? 0) + sign * ms);
    }
  };
  return {
    start: () => {
      count(-1);
    },
    stop: () => {
      count(1);
    },
    perRun: (runs: number, at: string): Measurement[] => {
      const each = [...usedMs].map(([name, ms]) => `${name} ${(ms / runs).toFixed(1)}`);
      const total = [...usedMs.values()].reduce((sum, ms) => sum + ms, 0);
      return [fact(`CPU of a run, ${at}`, total / runs, "ms", each.join(", "))];
    },
  };
}

interface Span {
  readonly leasedMs: number;
  readonly searchedMs: number;
  readonly spokenMs: number;
}

/** Where the time to the first token goes, by the database's clock. */
async function spansOf(runIds: readonly string[], at: string): Promise<Measurement[]> {
  const ids = runIds.map((id) => parseId(id)?.uuid ?? "");
  const spans = await systemTx(
    "bench: where the time of runs goes",
    (tx) => tx.sql<Span>`
    SELECT extract(epoch FROM r.started_at - first.at)::float8 * 1000 AS leased_ms,
           extract(epoch FROM tool.at - r.started_at)::float8 * 1000 AS searched_ms,
           extract(epoch FROM token.at - tool.at)::float8 * 1000 AS spoken_ms
    FROM agent.run r
    JOIN platform.event first ON first.stream = 'run:' || r.id AND first.seq = 1
    CROSS JOIN LATERAL (SELECT min(at) AS at FROM platform.event WHERE stream = 'run:' || r.id AND type = 'agent.run.toolResulted') tool
    CROSS JOIN LATERAL (SELECT min(at) AS at FROM platform.event WHERE stream = 'run:' || r.id AND type = 'agent.run.tokenDelta') token
    WHERE r.id = ANY(${ids}::uuid[])`,
  );
  const span = (name: string, of: (span: Span) => number): Measurement =>
    fact(
      `  ${name} p50 / p95, ${at}`,
      percentile(spans.map(of), 0.5),
      "ms",
      `p95 ${percentile(spans.map(of), 0.95).toFixed(1)}`,
    );
  return [
    span("startRun's commit to a worker's lease", ({ leasedMs }) => leasedMs),
    span("lease to the search's result", ({ searchedMs }) => searchedMs),
    span("search's result to first token", ({ spokenMs }) => spokenMs),
  ];
}
