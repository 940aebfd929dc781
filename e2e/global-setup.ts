import type { TestProject } from "vitest/node";
import { startSlowModel } from "./slow-model.ts";
import { launchSystem } from "./system.ts";

/**
 * One system for all stories that leave it as they found it, as one business day leaves it: started once per run. It gets ready
 * while other tests run; stories wait for it.
 */

declare module "vitest" {
  export interface ProvidedContext {
    readyFile: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const model = await startSlowModel();
  const system = await launchSystem(model.env);
  project.provide("readyFile", system.readyFile);
  return async () => {
    await system.stop();
    await model.close();
  };
}
