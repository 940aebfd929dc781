import { mkdirSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";
import { setLogLevel } from "@sba/platform/log";
import { startRedisServer } from "@sba/testkit/redis-server";
import { closeWhenInterrupted, closing, inFolder } from "./cleanup.ts";
import { measureConsole } from "./console.ts";
import { benchApprovals } from "./durable/approvals.ts";
import { benchDurable } from "./durable/throughput.ts";
import { durableOptions } from "./durable/options.ts";
import { benchGrowth } from "./durable/growth.ts";
import { benchSuspended } from "./durable/suspended.ts";
import { benchWrites } from "./durable/writes.ts";
import { benchFanOut } from "./fan-out.ts";
import { benchFederation } from "./federation/federation.ts";
import { benchGateway } from "./gateway.ts";
import type { Measurement } from "./measurement.ts";
import { parseOptions, type BenchOptions } from "./options.ts";
import { measureRuns } from "./runs.ts";
import { benchSearch } from "./search.ts";
import { measureFirstStart, measureMemory, secondStart } from "./start.ts";
import { benchSteps } from "./steps.ts";
import { withSystem } from "./system.ts";
import { formatTable, type Section } from "./table.ts";

/** `npm run bench`: measures, prints one table, leaves nothing behind. What each line means: bench/README.md. */

/** What is asked of a whole system, of which there is one. */
const OF_A_SYSTEM = ["start", "memory", "runs", "console"] as const;

const options = parseOptions(process.argv.slice(2));
setLogLevel("error");
const sections: Section[] = [];
const loadBefore = loadavg()[0] ?? 0;
closeWhenInterrupted();
if (options.redis) {
  const redis = await startRedisServer();
  await closing(
    () => redis.stop(),
    () => measureAll(options, redis.url),
  );
} else {
  await measureAll(options, undefined);
}
// What others do on the machine is in every millisecond below.
console.log(
  `\n${availableParallelism()} processors, load ${loadBefore.toFixed(1)} before and ${(loadavg()[0] ?? 0).toFixed(1)} after`,
);
console.log(`\n${formatTable(sections)}`);

async function measureAll(chosen: BenchOptions, redisUrl: string | undefined): Promise<void> {
  const names = chosen.sections;
  if (OF_A_SYSTEM.some((name) => names.has(name))) await measureSystem(chosen, redisUrl);
  if (names.has("gateway")) record("gateway", await benchGateway());
  if (names.has("federation")) record("federation", await benchFederation());
  if (names.has("fan-out")) record("fan-out", await benchFanOut());
  if (names.has("search")) record("search", await benchSearch());
  if (names.has("steps")) record("steps", await benchSteps(redisUrl));
  await measureDurable(chosen);
}

/** Each with processes, Postgres and Redis of its own. */
async function measureDurable({ sections: names, ...given }: BenchOptions): Promise<void> {
  const chosen = durableOptions(given);
  if (chosen.profileTo !== undefined) mkdirSync(chosen.profileTo, { recursive: true });
  if (names.has("durable")) record("durable", await benchDurable(chosen));
  if (names.has("approvals")) record("approvals", await benchApprovals(chosen));
  if (names.has("suspended")) record("suspended", await benchSuspended(chosen));
  if (names.has("growth")) record("growth", await benchGrowth(chosen, given.short));
  if (names.has("writes")) record("writes", await benchWrites(chosen));
}

/** One data folder and one system for all that is asked of a whole one. */
async function measureSystem({ sections: names }: BenchOptions, redisUrl: string | undefined): Promise<void> {
  await inFolder(async (dataDir) => {
    const where = { dataDir, redisUrl };
    const first = names.has("start") || names.has("memory") ? await measureFirstStart(where) : undefined;
    await withSystem(where, async (system) => {
      if (first && names.has("start")) record("start", [first, secondStart(system)]);
      if (names.has("memory")) record("memory", await measureMemory(system));
      if (names.has("runs")) record("runs", await measureRuns(system, where));
      if (names.has("console")) record("console", await measureConsole(system));
    });
  });
}

function record(name: string, measurements: readonly Measurement[]): void {
  sections.push({ name, measurements });
  process.stderr.write(`measured: ${name}\n`);
}
