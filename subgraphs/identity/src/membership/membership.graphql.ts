import type { Membership } from "@sba/platform/generated/prisma/client";
import { callerOf, connectionRef, defineLoader, toConnection, type GraphContext } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { encodePageCursor, MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { errors } from "../errors.ts";
import { principalById, PrincipalRef } from "../principal/principal.graphql.ts";
import { RoleRef } from "../role/role.graphql.ts";
import { rolesOf, toRoleKeys } from "../role/role.ts";
import { findMembers, listMembers, removeMember, setMemberRoles, setMemberStatus } from "./membership.ts";

const MemberStatus = builder.enumType("MemberStatus", { values: ["ACTIVE", "SUSPENDED"] as const });

const MemberRef = builder.objectRef<Membership>("Member").implement({
  description: "A person in the tenant.",
  fields: (t) => ({
    id: t.id({ resolve: ({ userId }) => encodeId("Member", userId) }),
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

const memberByUserId = defineLoader(findMembers, ({ userId }) => userId);

builder.asEntity(MemberRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => memberByUserId(context).load(decodeId("Member", id)),
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

const memberId = { required: true, validate: { maxLength: 64 } } as const;

const SetMemberRolesInput = builder.inputType("SetMemberRolesInput", {
  fields: (t) => ({
    memberId: t.id(memberId),
    roles: t.idList({
      required: true,
      validate: { maxLength: 20 },
      description: "Keys of roles, instead of those that the member has; with none the member may do nothing.",
    }),
  }),
});

const SetMemberStatusInput = builder.inputType("SetMemberStatusInput", {
  fields: (t) => ({ memberId: t.id(memberId), status: t.field({ type: MemberStatus, required: true }) }),
});

const RemoveMemberInput = builder.inputType("RemoveMemberInput", { fields: (t) => ({ memberId: t.id(memberId) }) });

builder.mutationFields((t) => ({
  setMemberRoles: t.field({
    type: MemberRef,
    description:
      "Gives a member other roles. Nobody grants what they do not hold, nor changes who holds more; the last owner stays one.",
    authScopes: { permission: "member:manage" },
    args: { input: t.arg({ type: SetMemberRolesInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const userId = decodeId("Member", input.memberId);
      await setMemberRoles(callerOf(context), { userId, roles: toRoleKeys(input.roles) });
      return getMember(context, userId);
    },
  }),
  setMemberStatus: t.field({
    type: MemberRef,
    description: "Suspends a member, whose sessions end within a second, or lets them in again.",
    authScopes: { permission: "member:manage" },
    args: { input: t.arg({ type: SetMemberStatusInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const userId = decodeId("Member", input.memberId);
      await setMemberStatus(callerOf(context), userId, input.status);
      return getMember(context, userId);
    },
  }),
  removeMember: t.field({
    type: PrincipalRef,
    description: "Removes a member, whose sessions end within a second. What they did keeps their name.",
    authScopes: { permission: "member:manage" },
    args: { input: t.arg({ type: RemoveMemberInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const userId = decodeId("Member", input.memberId);
      await removeMember(callerOf(context), userId);
      const principal = await principalById(context).load(userId);
      if (!principal) throw errors.IDENTITY_MEMBER_NOT_FOUND();
      return principal;
    },
  }),
}));

async function getMember(context: GraphContext, userId: string): Promise<Membership> {
  const member = await memberByUserId(context).load(userId);
  if (!member) throw errors.IDENTITY_MEMBER_NOT_FOUND();
  return member;
}
