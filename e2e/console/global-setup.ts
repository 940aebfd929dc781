import type { TestProject } from "vitest/node";
import { startSlowModel } from "../slow-model.ts";
import { launchSystem, untilReady } from "../system.ts";

/** One system for all of the console's checks; with READY_FILE the one that wrote it, so that a check is tried within seconds. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const running = process.env["READY_FILE"];
  if (running !== undefined) {
    project.provide("readyFile", running);
    return () => Promise.resolve();
  }
  const model = await startSlowModel();
  const system = await launchSystem(model.env);
  const stop = async (): Promise<void> => {
    await system.stop();
    await model.close();
  };
  // Nobody else would stop what has not become ready.
  await untilReady(system.readyFile).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  project.provide("readyFile", system.readyFile);
  return stop;
}
