import type { TestProject } from "vitest/node";
import { startSystem } from "./system.ts";

/** One system for all stories that leave it as they found it, as one business day leaves it: started once per run. */

declare module "vitest" {
  export interface ProvidedContext {
    readyFile: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const system = await startSystem();
  project.provide("readyFile", system.readyFile);
  return () => system.stop();
}
