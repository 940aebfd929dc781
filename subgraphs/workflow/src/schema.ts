import { toSubgraphSchema } from "@sba/platform/graphql";
import { builder } from "./builder.ts";
import "./node/node.graphql.ts";
import "./workflow/workflow.graphql.ts";
import "./workflow-run/workflow-run.graphql.ts";
import "./workflow-run/workflow-run-events.graphql.ts";

export const schema = toSubgraphSchema(builder);
