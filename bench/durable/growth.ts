import { join } from "node:path";
import { createAgent } from "@sba/agent/agent/agent";
import { addProvider } from "@sba/agent/model/registry";
import { serializeCaller, type SerializedCaller } from "@sba/platform/caller";
import { startRedisServer } from "@sba/testkit/redis-server";
import pg from "pg";
import { closing, withCluster } from "../cleanup.ts";
import { openDomains, type OpenDatabase } from "../database.ts";
import { atMost, fact, ratioOf, showNumber, type Measurement } from "../measurement.ts";
import { scriptedProvider } from "./model.ts";
import type { DurableOptions } from "./options.ts";
import { fillRuns } from "./fill.ts";
import { resetStatements, STATEMENT_SETTINGS, writeStatements } from "./profile.ts";
import { ownRuns } from "./runs.ts";
import { takeTurns, type Contender, type Outcome } from "./turns.ts";
import type { RunTimes } from "./starter.ts";
import { AGENT, environmentOf, startProcesses } from "./world.ts";

/**
 * Whether a run costs the same when many are stored. Two databases of one server, with a worker each: one has a thousand runs and one a
 * hundred thousand, and they take turns.
 */

const FEW = 1_000;
const MANY = 100_000;
const MANY_IN_SHORT = 20_000;
const FLAT_WITHIN = 1.15;
const AT_ONCE = 16;

export function benchGrowth(options: DurableOptions, short: boolean): Promise<Measurement[]> {
  addProvider(scriptedProvider);
  return withCluster(
    async (cluster, folder) => {
      const made = await openDomains({ cluster, folder, redisUrl: undefined }, async (database) => {
        await createAgent(database.caller, AGENT);
        return { ...database, serialized: serializeCaller(database.caller) };
      });
      await copyDatabase(made.urls.admin);
      return withRuns(made, "postgres", FEW, (few) =>
        withRuns(made, GROWN, short ? MANY_IN_SHORT : MANY, (many) => measure(few, many, options)),
      );
    },
    options.profileTo === undefined ? {} : STATEMENT_SETTINGS,
  );
}

const GROWN = "grown";

async function copyDatabase(adminUrl: string): Promise<void> {
  const owner = new pg.Client({ connectionString: inDatabase(adminUrl, "template1") });
  await owner.connect();
  await owner.query(`CREATE DATABASE ${GROWN} TEMPLATE postgres`);
  await owner.end();
}

function inDatabase(url: string, name: string): string {
  return Object.assign(new URL(url), { pathname: `/${name}` }).href;
}

interface Stored {
  readonly adminUrl: string;
  readonly runs: number;
  readonly load: Contender<RunTimes>;
}

/** A worker and a Redis of its own on one of the databases, which then has so many runs. */
async function withRuns<T>(
  made: OpenDatabase & { readonly serialized: SerializedCaller },
  name: string,
  runs: number,
  work: (stored: Stored) => Promise<T>,
): Promise<T> {
  const redis = await startRedisServer();
  return closing(
    () => redis.stop(),
    async () => {
      const { app, system, admin } = made.urls;
      const urls = { app: inDatabase(app, name), system: inDatabase(system, name), admin: inDatabase(admin, name) };
      const processes = await startProcesses({ env: environmentOf({ ...made, urls }, redis) });
      return closing(processes.stop, async () => {
        const load = ownRuns({ database: made, redis, processes, caller: made.serialized, agentKey: AGENT.key });
        // One to copy, and the processes are warm.
        await load.run(500, AT_ONCE);
        return work({ adminUrl: urls.admin, runs: await fillRuns(urls.admin, runs), load });
      });
    },
  );
}

async function measure(few: Stored, many: Stored, options: DurableOptions): Promise<Measurement[]> {
  const { profileTo } = options;
  if (profileTo !== undefined) for (const { adminUrl } of [few, many]) await resetStatements(adminUrl);
  const outcomes = await takeTurns({ few: few.load, many: many.load }, { ...options, concurrency: AT_ONCE });
  if (profileTo !== undefined)
    for (const [name, { adminUrl }] of Object.entries({ few, many }))
      await writeStatements(adminUrl, join(profileTo, `statements-${name}-stored.txt`), outcomes.few.results.length);
  const stored = `${showNumber(few.runs)} to ${showNumber(many.runs)} stored runs`;
  const node = ({ cpu }: Outcome<RunTimes>): number => (cpu["worker"] ?? 0) + (cpu["starter"] ?? 0);
  const postgres = ({ cpu }: Outcome<RunTimes>): number => cpu["Postgres"] ?? 0;
  const flat = (part: string, of: (outcome: Outcome<RunTimes>) => number): Measurement => {
    const [before, after] = [of(outcomes.few), of(outcomes.many)];
    const times = `${before.toFixed(2)} ms and ${after.toFixed(2)} ms a run`;
    return atMost(FLAT_WITHIN, fact(`CPU of ${part}, from ${stored}`, after / before, "x", times));
  };
  return [
    flat("Postgres", postgres),
    flat("our Node processes", node),
    fact(
      `runs a second, from ${stored}`,
      ratioOf(outcomes.many.rates, outcomes.few.rates),
      "x",
      `${showNumber(outcomes.few.rate)} and ${showNumber(outcomes.many.rate)}`,
    ),
  ];
}
