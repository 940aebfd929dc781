import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { endChild, runToEnd, startChild } from "./child.ts";
import type { DataFolder } from "./data-folder.ts";
import { seedMessageSchema, type DemoTenant } from "./messages.ts";
import type { StartOptions } from "./options.ts";
import { progressLine, say, step } from "./progress.ts";
import type { Teardown } from "./teardown.ts";

/** What makes a fresh system worth looking at: two tenants with a collection to ask, and the main job run once. */

const SEED = join(import.meta.dirname, "../../../prisma/seed.ts");
const DEMO = join(import.meta.dirname, "demo.ts");
const TASK_HEAP_MEGABYTES = 192;

/**
 * Begins to make the demo tenants and their sample collection, or finds them made, while the server and the worker start: what
 * it is made of takes as long to load as they do. What it returns waits for them, and says how far they are.
 */
export function seed(
  teardown: Teardown,
  folder: DataFolder,
  env: NodeJS.ProcessEnv,
): () => Promise<readonly DemoTenant[]> {
  let sayProgress: (done: number, total: number) => void = () => undefined;
  const seeding = runSeed(teardown, folder, env, (done, total) => {
    sayProgress(done, total);
  });
  seeding.catch(() => undefined); // heard by who waits for it
  return () =>
    step("Preparing two demo tenants and their sample collection", () => {
      sayProgress = progressLine((done, total) => `${done} of ${total} documents are ready to be searched`);
      return seeding;
    });
}

async function runSeed(
  teardown: Teardown,
  folder: DataFolder,
  env: NodeJS.ProcessEnv,
  onProgress: (done: number, total: number) => void,
): Promise<readonly DemoTenant[]> {
  const logFile = join(folder.path, "seed.log");
  const child = await teardown.hold(
    () => startChild({ name: "seed", entry: SEED, env, heapMegabytes: TASK_HEAP_MEGABYTES, logFile }),
    endChild,
  );
  let tenants: readonly DemoTenant[] | undefined;
  child.on("message", (value) => {
    const message = seedMessageSchema.parse(value);
    if (message.type === "progress") onProgress(message.done, message.total);
    else tenants = message.tenants;
  });
  if ((await runToEnd(child)) !== 0 || !tenants)
    throw new Error(`The demo tenants could not be prepared: the log is ${logFile}.`);
  return tenants;
}

export interface DemoSetting {
  readonly folder: DataFolder;
  readonly env: NodeJS.ProcessEnv;
  readonly options: StartOptions;
  /** Has the addresses and the tokens. */
  readonly readyFile: string;
}

/** Runs the main job in the terminal: on the first start of a data folder, or when it was asked for. */
export async function demonstrate(teardown: Teardown, { folder, env, options, readyFile }: DemoSetting): Promise<void> {
  const shown = join(folder.path, "demo-shown");
  const isWanted = options.demo === "ALWAYS" || (options.demo === "FIRST_START" && !existsSync(shown));
  if (!isWanted) return;
  const child = await teardown.hold(
    () => startChild({ name: "demo", entry: DEMO, args: [readyFile], env, heapMegabytes: TASK_HEAP_MEGABYTES }),
    endChild,
  );
  const code = await runToEnd(child);
  // It stays up all the same: the system works, and the words above say what did not.
  if (code === 0) writeFileSync(shown, "");
  else if (!teardown.stopping) say("The demonstration did not come to its end; npm start -- --demo runs it again.");
}
