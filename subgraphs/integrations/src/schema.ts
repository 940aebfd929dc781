import { toSubgraphSchema } from "@sba/platform/graphql";
import { builder } from "./builder.ts";
import "./tool-call/tool-statistics.graphql.ts";

export const schema = toSubgraphSchema(builder);
