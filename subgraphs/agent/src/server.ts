import type { Subgraph } from "@sba/platform/server";
import { runSubgraph } from "@sba/platform/subgraph-process";
import { decideApprovalRoute, showApprovalRoute } from "./approval/decision.route.ts";
import { artifactRoute } from "./artifact/download.ts";
import { configureAgent } from "./configure.ts";
import { schema } from "./schema.ts";

export const agentSubgraph: Subgraph = {
  name: "agent",
  schema,
  routes: [artifactRoute, showApprovalRoute, decideApprovalRoute],
};

if (import.meta.main) await runSubgraph(agentSubgraph, configureAgent);
