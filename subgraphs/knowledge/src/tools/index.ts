import type { Tool } from "@sba/integrations/index";
import { knowledgeSearch } from "./knowledge-search.ts";

/** The tools that knowledge offers to agents and workflows. Add one: a file here and a line below. */
export const knowledgeTools: readonly Tool[] = [knowledgeSearch];
