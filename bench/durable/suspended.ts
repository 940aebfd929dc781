import pg from "pg";
import { atMost, below, fact, type Measurement } from "../measurement.ts";
import type { Memory } from "./child.ts";
import type { DurableOptions } from "./options.ts";
import type { SuspendRuns } from "./suspend.ts";
import { inDurableWorld, type DurableWorld } from "./world.ts";

/** What runs hold that wait for a person: nothing, in the worker and in what accepts and follows them. */

const SUSPENDED = 1_000;
const AT_ONCE = 16;
/** A closure and its neighbours for each run would be as much. */
const HEAP_LIMIT_MIB = 1;

export function benchSuspended(options: DurableOptions): Promise<Measurement[]> {
  return inDurableWorld(options, async (world) => {
    // The first thousand fills what is kept whatever runs there are: caches, pools, compiled code.
    await suspend(world);
    const before = await memoryOf(world);
    await suspend(world);
    const after = await memoryOf(world);
    return [
      below(HEAP_LIMIT_MIB, grown("the worker's heap", "heapMiB", [before.worker, after.worker])),
      grown("  the worker's memory (RSS)", "rssMiB", [before.worker, after.worker]),
      below(HEAP_LIMIT_MIB, grown("the accepting process's heap", "heapMiB", [before.starter, after.starter])),
      grown("  the accepting process's memory (RSS)", "rssMiB", [before.starter, after.starter]),
      atMost(0, fact(`of ${2 * SUSPENDED} runs that wait, leased or due`, await countHeld(world), "")),
    ];
  });
}

async function suspend({ processes, caller, agentKey }: DurableWorld): Promise<void> {
  const runs: SuspendRuns = { caller, agentKey, count: SUSPENDED, concurrency: AT_ONCE };
  await processes.starter.ask("suspendRuns", runs);
}

async function memoryOf({ processes: { worker, starter } }: DurableWorld) {
  return { worker: await worker.ask<Memory>("memory"), starter: await starter.ask<Memory>("memory") };
}

function grown(name: string, part: keyof Memory, [before, after]: readonly [Memory, Memory]): Measurement {
  const sizes = `${before[part].toFixed(1)} and ${after[part].toFixed(1)} MiB, garbage collected`;
  return fact(`${name}, by ${SUSPENDED} runs that wait`, after[part] - before[part], "MiB", sizes);
}

async function countHeld({ database }: DurableWorld): Promise<number> {
  const owner = new pg.Client({ connectionString: database.urls.admin });
  await owner.connect();
  try {
    const { rows } = await owner.query<{ waiting: number; held: number }>(`
      SELECT count(*)::int AS waiting, count(*) FILTER (WHERE lease_expires_at IS NOT NULL OR due_at IS NOT NULL)::int AS held
      FROM agent.run WHERE status = 'AWAITING_APPROVAL'`);
    const { waiting, held } = rows[0]!;
    if (waiting < 2 * SUSPENDED) throw new Error(`only ${waiting} runs wait`);
    return held;
  } finally {
    await owner.end();
  }
}
