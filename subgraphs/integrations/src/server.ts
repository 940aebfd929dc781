import type { Subgraph } from "@sba/platform/server";
import { runSubgraph } from "@sba/platform/subgraph-process";
import { schema } from "./schema.ts";

export const integrationsSubgraph: Subgraph = { name: "integrations", schema, routes: [] };

if (import.meta.main) await runSubgraph(integrationsSubgraph);
