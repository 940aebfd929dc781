import { parseArgs } from "node:util";
import { setLogLevel } from "@sba/platform/log";
import { closeWhenInterrupted } from "../cleanup.ts";
import { FAULTS, type Fault } from "./faults.ts";
import { findViolations } from "./invariants.ts";
import { startBacklog } from "./load.ts";
import { PLANTS, type Plant } from "./plants.ts";
import { inWorld, type World } from "./world.ts";

/**
 * `npm run drills`: hurts a whole system while people use it, and looks at what it left behind. Then takes a guarantee away and
 * expects to see it. `--short` is what .ci/run does; `--only <part of a name>` picks faults; `--rounds N` repeats.
 */

const { values } = parseArgs({
  options: {
    short: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    rounds: { type: "string", default: "1" },
    "no-plants": { type: "boolean", default: false },
  },
});
const RUNS = values.short ? 12 : 48;
const ENDED_WITHIN_MS = values.short ? 45_000 : 120_000;
/** With a guarantee missing, waiting long for what will never end shows nothing more. */
const PLANTED_WITHIN_MS = 15_000;
const PLANTED_ROUNDS = 6;

setLogLevel("fatal");
closeWhenInterrupted();
let passed = 0;
let failed = 0;

const chosen = FAULTS.filter(({ name }) => name.includes(values.only));
for (let round = 1; round <= Number(values.rounds); round++)
  for (const withRedis of [false, true]) await drillAll(chosen, withRedis, round);
if (!values["no-plants"]) for (const plant of PLANTS) await drillPlanted(plant);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

/** Without Redis, all that need none; with it, those that are about it, and a killed worker. */
async function drillAll(faults: readonly Fault[], withRedis: boolean, round: number): Promise<void> {
  const these = faults.filter((fault) => (fault.needsRedis ?? false) === withRedis);
  if (these.length === 0) return;
  await inWorld(withRedis, async (world) => {
    for (const fault of these) {
      const began = performance.now();
      const violations = await drill(world, fault, { name: `${fault.name} ${round}`, withinMs: ENDED_WITHIN_MS });
      report(fault.name, violations, began);
    }
  });
}

async function drill(
  world: World,
  fault: Fault,
  { name, withinMs }: { readonly name: string; readonly withinMs: number },
): Promise<string[]> {
  const backlog = startBacklog(world, name, RUNS, withinMs);
  try {
    await Promise.race([backlog.underWay, backlog.watched]);
    await fault.inject(world);
    return await findViolations(world, await backlog.watched);
  } catch (error) {
    return [`not every run ended in time: ${error instanceof Error ? error.message : String(error)}`];
  }
}

function report(name: string, violations: readonly string[], began: number): void {
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  if (violations.length === 0) passed += 1;
  else failed += 1;
  console.log(`${violations.length === 0 ? "passed" : "FAILED"}  ${seconds.padStart(5)} s  ${name}`);
  for (const violation of violations) console.log(`    ${violation}`);
}

/** Passes when the missing guarantee is seen. */
async function drillPlanted({ name, fault: faultName, plant }: Plant): Promise<void> {
  const fault = FAULTS.find((each) => each.name === faultName);
  if (!fault?.name.includes(values.only)) return;
  const began = performance.now();
  const seen = await inWorld(false, async (world) => {
    await plant(world);
    for (let round = 0; round < PLANTED_ROUNDS; round++) {
      const violations = await drill(world, fault, { name: `${name} ${round}`, withinMs: PLANTED_WITHIN_MS });
      if (violations.length > 0) return violations;
    }
    return [];
  });
  report(`${name}: seen when ${faultName}`, seen.length > 0 ? [] : ["nobody noticed"], began);
  for (const violation of seen.slice(0, 2)) console.log(`    ${violation.slice(0, 300)}`);
}
