import { toSubgraphSchema } from "@sba/platform/graphql";
import { builder } from "./builder.ts";
import "./tool-call/tool-statistics.graphql.ts";
import "./webhook-endpoint/webhook-endpoint.graphql.ts";

export const schema = toSubgraphSchema(builder);
