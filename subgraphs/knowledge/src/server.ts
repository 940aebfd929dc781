import type { Subgraph } from "@sba/platform/server";
import { runSubgraph } from "@sba/platform/subgraph-process";
import { configureKnowledge } from "./configure.ts";
import { schema } from "./schema.ts";
import { uploadRoute } from "./upload/upload.route.ts";

export const knowledgeSubgraph: Subgraph = { name: "knowledge", schema, routes: [uploadRoute] };

if (import.meta.main) await runSubgraph(knowledgeSubgraph, configureKnowledge);
