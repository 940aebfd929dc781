import { setTimeout as delay } from "node:timers/promises";
import { below, fact, type Measurement } from "./measurement.ts";
import { proportionalMiB, treeOf } from "./processes.ts";
import { withSystem, type System, type SystemOptions } from "./system.ts";

/** How long it takes to start, and what it holds when nobody asks anything. */

const READY_LIMIT_S = 15;
const IDLE_LIMIT_MIB = 700;
/** Longer than any schedule of the system, so that what starting left behind is gone. */
const SETTLE_MS = 10_000;

/** A first start, which also fills the data folder. */
export async function measureFirstStart(options: SystemOptions): Promise<Measurement> {
  const seconds = await withSystem(options, ({ readyAfterMs }) => Promise.resolve(readyAfterMs / 1000));
  return fact("first start, with 1,400 documents for each of two tenants", seconds, "s");
}

/** A start with what is there. */
export function secondStart({ readyAfterMs }: System): Measurement {
  return below(READY_LIMIT_S, fact("npm start to ready, once installed and seeded", readyAfterMs / 1000, "s"));
}

/** Right after a start, before any work. */
export async function measureMemory({ npmPid, supervisorPid }: System): Promise<Measurement[]> {
  await delay(SETTLE_MS);
  const all = treeOf(npmPid);
  const system = treeOf(supervisorPid);
  const part = (name: string, pattern: RegExp): Measurement =>
    fact(`  of which ${name}`, proportionalMiB(system.filter(({ command }) => pattern.test(command))), "MiB");
  return [
    below(IDLE_LIMIT_MIB, fact("idle, the supervisor and all below it (PSS)", proportionalMiB(system), "MiB")),
    part("the supervisor", /\/start\.ts /),
    part("the server: gateway and six subgraphs", /launcher\/src\/server\.ts/),
    part("the worker", /workers\/src\/main\.ts/),
    part("Postgres, all its processes", /postgres/),
    fact("with npm and its script around it", proportionalMiB(all), "MiB"),
  ];
}
