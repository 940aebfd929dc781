import type { Membership } from "@sba/platform/generated/prisma/client";
import { callerOf, connectionRef, toConnection } from "@sba/platform/graphql";
import { encodeId } from "@sba/platform/ids";
import { encodePageCursor, MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { principalById, PrincipalRef } from "../principal/principal.graphql.ts";
import { RoleRef } from "../role/role.graphql.ts";
import { rolesOf } from "../role/role.ts";
import { listMembers } from "./membership.ts";

const MemberStatus = builder.enumType("MemberStatus", { values: ["ACTIVE", "SUSPENDED"] as const });

const MemberRef = builder.objectRef<Membership>("Member").implement({
  description: "A person in the tenant.",
  fields: (t) => ({
    id: t.id({ resolve: ({ userId }) => encodeId("Membership", userId) }),
    principal: t.field({
      type: PrincipalRef,
      nullable: true,
      resolve: ({ userId }, _args, context) => principalById(context).load(userId),
    }),
    email: t.string({
      nullable: true,
      resolve: async ({ userId }, _args, context) => (await principalById(context).load(userId))?.email,
    }),
    roles: t.field({ type: [RoleRef], resolve: ({ roles }) => rolesOf(roles) }),
    status: t.field({ type: MemberStatus, resolve: ({ status }) => (status === "ACTIVE" ? "ACTIVE" : "SUSPENDED") }),
    joinedAt: t.field({ type: "DateTime", resolve: ({ joinedAt }) => joinedAt }),
  }),
});

const MemberConnection = connectionRef(builder, "Member", MemberRef);

builder.queryField("members", (t) =>
  t.field({
    type: MemberConnection,
    description: "The people of the tenant, suspended ones too.",
    authScopes: { permission: "member:read" },
    args: {
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg.string({ validate: { maxLength: 512 } }),
    },
    resolve: async (_root, { first, after }, context) =>
      toConnection(await listMembers(callerOf(context), { first, after }), {
        after,
        cursorOf: ({ userId }) => encodePageCursor(userId),
      }),
  }),
);
