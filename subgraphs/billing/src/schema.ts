import { toSubgraphSchema } from "@sba/platform/graphql";
import { builder } from "./builder.ts";
import "./budget/alert.graphql.ts";
import "./budget/budget.graphql.ts";
import "./plan/plan.graphql.ts";
import "./quota/quota.graphql.ts";
import "./usage/usage.graphql.ts";

export const schema = toSubgraphSchema(builder);
