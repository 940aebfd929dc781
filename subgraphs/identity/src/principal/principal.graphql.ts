import { callerOf, defineLoader } from "@sba/platform/graphql";
import { decodeId, encodeId, isUuid } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { errors } from "../errors.ts";
import { RoleRef } from "../role/role.graphql.ts";
import { rolesOf } from "../role/role.ts";
import { tenantById, TenantRef } from "../tenant/tenant.graphql.ts";
import { findGrants, findGrantsByApiKey, findPrincipals, type Grants, type Principal } from "./principal.ts";

const PrincipalKind = builder.enumType("PrincipalKind", { values: ["USER", "SERVICE_ACCOUNT", "API_KEY"] as const });

export const principalById = defineLoader(findPrincipals, (principal) => principal.id);

export const PrincipalRef = builder.objectRef<Principal>("Principal").implement({
  description: "Whoever can act in a tenant: a person, a service account or an API key.",
  fields: (t) => ({
    id: t.id({ resolve: ({ id }) => encodeId("Principal", id) }),
    kind: t.field({ type: PrincipalKind, resolve: ({ kind }) => kind }),
    displayName: t.exposeString("displayName"),
  }),
});

builder.asEntity(PrincipalRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => principalById(context).load(decodeId("Principal", id)),
});

const Me = builder.objectRef<Principal>("Me").implement({
  description: "The principal that asks, and what it may do.",
  fields: (t) => ({
    id: t.id({ resolve: ({ id }) => encodeId("Principal", id) }),
    kind: t.field({ type: PrincipalKind, resolve: ({ kind }) => kind }),
    email: t.exposeString("email", { nullable: true, description: "Null for what is not a person." }),
    displayName: t.exposeString("displayName"),
    tenant: t.field({
      type: TenantRef,
      resolve: async (_me, _args, context) => {
        const tenant = await tenantById(context).load(callerOf(context).tenantId);
        if (!tenant) throw errors.IDENTITY_PRINCIPAL_NOT_FOUND();
        return tenant;
      },
    }),
    roles: t.field({ type: [RoleRef], resolve: ({ roles }) => rolesOf(roles) }),
    permissions: t.stringList({
      description: "What the credentials of this request may do.",
      resolve: (_me, _args, context) => [...callerOf(context).permissions],
    }),
  }),
});

builder.queryField("me", (t) =>
  t.field({
    type: Me,
    description: "Who is asking.",
    authScopes: { authenticated: true },
    tag: "partner",
    resolve: async (_root, _args, context) => {
      const principal = await principalById(context).load(callerOf(context).principalId);
      if (!principal) throw errors.IDENTITY_PRINCIPAL_NOT_FOUND();
      return principal;
    },
  }),
);

const GrantsRef = builder.objectRef<Grants>("Grants").implement({
  inaccessible: true,
  description: "What a principal may do, for the gateway. Ids are UUIDs, as in tokens.",
  fields: (t) => ({
    tenantId: t.exposeID("tenantId"),
    principalId: t.exposeID("principalId"),
    principalKind: t.field({ type: PrincipalKind, resolve: (grants) => grants.principalKind }),
    permissions: t.stringList({ resolve: ({ permissions }) => [...permissions] }),
    expiresAt: t.field({ type: "DateTime", nullable: true, resolve: ({ expiresAt }) => expiresAt }),
    isSuspended: t.exposeBoolean("isSuspended"),
  }),
});

builder.queryField("principalGrants", (t) =>
  t.field({
    type: GrantsRef,
    nullable: true,
    inaccessible: true,
    description:
      "The grants of a principal whose token was verified; null when unknown, suspended, removed, revoked or signed out.",
    authScopes: { internal: true },
    args: {
      tenantId: t.arg.id({ required: true, validate: { refine: isUuid } }),
      principalId: t.arg.id({ required: true, validate: { refine: isUuid } }),
      sessionId: t.arg.id({ validate: { refine: isUuid }, description: "Of the token, when it names one." }),
    },
    resolve: (_root, { tenantId, principalId, sessionId }) =>
      findGrants({ tenantId }, principalId, sessionId ?? undefined),
  }),
);

builder.queryField("apiKeyGrants", (t) =>
  t.field({
    type: GrantsRef,
    nullable: true,
    inaccessible: true,
    description: "The grants of whoever sends this API key; null when it is not one of ours, revoked or expired.",
    authScopes: { internal: true },
    args: { key: t.arg.string({ required: true, validate: { maxLength: 200 } }) },
    resolve: (_root, { key }) => findGrantsByApiKey(key),
  }),
);
