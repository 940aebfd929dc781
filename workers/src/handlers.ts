import type { JobHandler } from "@sba/platform/jobs";
import { handlers as identity } from "./identity.ts";
import { handlers as knowledge } from "./knowledge.ts";
import { reactions, reactionsHandler } from "./reactions.ts";
import { handlers as workflow } from "./workflow.ts";

/** Every job that workers do. */
export const handlers: readonly JobHandler[] = [...identity, ...knowledge, ...workflow, reactionsHandler(reactions)];
