import { addProvider } from "@sba/agent/model/registry";
import { startCpuProfile, stopCpuProfile } from "./cpu-profile.ts";
import { scriptedProvider } from "./model.ts";
import { answerParent, measureMemory } from "./child.ts";

/** The worker process as it is, with a model that costs nothing. */
addProvider(scriptedProvider);
answerParent({ memory: measureMemory, startCpuProfile, stopCpuProfile });
await import("@sba/workers/main");
