import { callerOf, connectionRef, idCursor, toConnection } from "@sba/platform/graphql";
import { encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { builder } from "../builder.ts";
import { shownPrefix } from "../credential.ts";
import { principalById, PrincipalRef } from "../principal/principal.graphql.ts";
import { RoleRef } from "../role/role.graphql.ts";
import { rolesOf } from "../role/role.ts";
import { grantedBy, listApiKeys, type ApiKeyInfo } from "./api-key.ts";

const ApiKeyRef = builder.objectRef<ApiKeyInfo>("ApiKey").implement({
  description: "A key by which a program acts in the tenant. Its text was shown once, when it was made.",
  fields: (t) => ({
    id: t.id({ resolve: ({ id }) => encodeId("ApiKey", id) }),
    principal: t.field({
      type: PrincipalRef,
      nullable: true,
      description: "The key as one who acts.",
      resolve: ({ id }, _args, context) => principalById(context).load(id),
    }),
    name: t.exposeString("name"),
    prefix: t.string({ description: "How the key's text begins.", resolve: ({ id }) => shownPrefix("sba", id) }),
    roles: t.field({ type: [RoleRef], resolve: ({ roles }) => rolesOf(roles) }),
    permissions: t.stringList({
      description: "Its own and those of its roles.",
      resolve: (key) => [...grantedBy(key)],
    }),
    createdBy: t.field({
      type: PrincipalRef,
      nullable: true,
      resolve: ({ createdBy }, _args, context) => principalById(context).load(createdBy),
    }),
    createdAt: t.field({ type: "DateTime", resolve: ({ createdAt }) => createdAt }),
    expiresAt: t.field({ type: "DateTime", nullable: true, resolve: ({ expiresAt }) => expiresAt }),
    revokedAt: t.field({ type: "DateTime", nullable: true, resolve: ({ revokedAt }) => revokedAt }),
  }),
});

const ApiKeyConnection = connectionRef(builder, "ApiKey", ApiKeyRef);

builder.queryField("apiKeys", (t) =>
  t.field({
    type: ApiKeyConnection,
    description: "The tenant's API keys, revoked and expired ones too, newest first.",
    authScopes: { permission: "apikey:manage" },
    args: {
      first: t.arg.int({ required: true, defaultValue: 20, validate: { min: 1, max: MAX_PAGE_SIZE } }),
      after: t.arg.string({ validate: { maxLength: 512 } }),
    },
    resolve: async (_root, { first, after }, context) =>
      toConnection(await listApiKeys(callerOf(context), { first, after }), { after, cursorOf: idCursor }),
  }),
);
