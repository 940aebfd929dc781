import { toSubgraphSchema } from "@sba/platform/graphql";
import { builder } from "./builder.ts";
import "./api-key/api-key.graphql.ts";
import "./audit/audit.graphql.ts";
import "./membership/membership.graphql.ts";
import "./principal/principal.graphql.ts";
import "./role/role.graphql.ts";
import "./session/session.graphql.ts";
import "./session/socket-session.graphql.ts";
import "./tenant/origins.graphql.ts";
import "./tenant/suspend.graphql.ts";
import "./tenant/tenant.graphql.ts";

export const schema = toSubgraphSchema(builder);
