import type { Subgraph } from "@sba/platform/server";
import { runSubgraph } from "@sba/platform/subgraph-process";
import { configureKnowledge } from "./configure.ts";
import { documentRoute } from "./document/download.route.ts";
import { schema } from "./schema.ts";
import { uploadRoute } from "./upload/upload.route.ts";

export const knowledgeSubgraph: Subgraph = { name: "knowledge", schema, routes: [uploadRoute, documentRoute] };

if (import.meta.main) await runSubgraph(knowledgeSubgraph, configureKnowledge);
