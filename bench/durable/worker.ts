import { addProvider } from "@sba/agent/model/registry";
import { scriptedProvider } from "./model.ts";
import { answerParent, measureMemory } from "./child.ts";

/** The worker process as it is, with a model that costs nothing. */
addProvider(scriptedProvider);
answerParent({ memory: measureMemory });
await import("@sba/workers/main");
