import { parseArgs } from "node:util";
import { findDatabase } from "@sba/launcher/running-database";
import { ConfigError, loadConfig } from "@sba/platform/config";
import { openQueue, type Queue } from "@sba/platform/queue";
import { handlers } from "../workers/src/handlers.ts";

/**
 * Jobs that were given up, for who operates the platform. Runs that were given up are their tenants' own: `deadLetters`.
 *
 *     npm run jobs                    the newest of each queue, with their reasons
 *     npm run jobs -- --retry ID      has one tried anew
 */

const SHOWN = 50;
const QUEUES = [...new Set(handlers.map(({ job }) => job.queue))];

async function list(queue: Queue): Promise<void> {
  for (const name of QUEUES) {
    const { waiting, active, delayed, failed } = await queue.counts(name);
    console.log(`${name}: ${failed} given up, ${waiting} waiting, ${active} in hand, ${delayed} for later`);
    for (const job of await queue.listFailed(name, SHOWN))
      console.log(`  ${job.id}  ${job.name}  after ${job.attempts} attempts: ${job.reason}`);
  }
}

async function retry(queue: Queue, id: string): Promise<void> {
  for (const name of QUEUES) {
    if (!(await queue.retryFailed(name, id))) continue;
    console.log(`${name}: ${id} is tried anew.`);
    return;
  }
  throw new ConfigError([`--retry: no job ${id} was given up`]);
}

try {
  const { values } = parseArgs({ options: { retry: { type: "string" } } });
  const config = loadConfig();
  const { system } = await findDatabase(config);
  const queue = await openQueue({ systemUrl: system, redisUrl: config.REDIS_URL });
  await (values.retry === undefined ? list(queue) : retry(queue, values.retry)).finally(() => queue.close());
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
