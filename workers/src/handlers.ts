import type { JobHandler } from "@sba/platform/jobs";
import { handlers as knowledge } from "./knowledge.ts";
import { reactions, reactionsHandler } from "./reactions.ts";
import { handlers as workflow } from "./workflow.ts";

/** Every job that workers do. */
export const handlers: readonly JobHandler[] = [...knowledge, ...workflow, reactionsHandler(reactions)];
