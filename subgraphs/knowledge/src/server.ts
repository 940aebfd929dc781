import type { Subgraph } from "@sba/platform/server";
import { runSubgraph } from "@sba/platform/subgraph-process";
import { configureKnowledge } from "./configure.ts";
import { schema } from "./schema.ts";

export const knowledgeSubgraph: Subgraph = { name: "knowledge", schema, routes: [] };

if (import.meta.main) await runSubgraph(knowledgeSubgraph, configureKnowledge);
