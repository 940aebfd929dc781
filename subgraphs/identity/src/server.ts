import type { Subgraph } from "@sba/platform/server";
import { runSubgraph } from "@sba/platform/subgraph-process";
import { schema } from "./schema.ts";
import { jwksRoute } from "./signing-key/jwks.route.ts";

export const identitySubgraph: Subgraph = { name: "identity", schema, routes: [jwksRoute] };

if (import.meta.main) await runSubgraph(identitySubgraph);
