import {
  callerOf,
  connectionRef,
  defineLoader,
  idCursor,
  toConnection,
  type GraphContext,
} from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { MAX_PAGE_SIZE } from "@sba/platform/pages";
import { isPermission, type Permission } from "@sba/platform/permissions";
import { builder } from "../builder.ts";
import { shownPrefix } from "../credential.ts";
import { errors } from "../errors.ts";
import { principalById, PrincipalRef } from "../principal/principal.graphql.ts";
import { RoleRef } from "../role/role.graphql.ts";
import { rolesOf, toRoleKeys } from "../role/role.ts";
import { createApiKeyOnce, findApiKeys, grantedBy, listApiKeys, revokeApiKey, type ApiKeyInfo } from "./api-key.ts";

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

const apiKeyById = defineLoader(findApiKeys, ({ id }) => id);

builder.asEntity(ApiKeyRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => apiKeyById(context).load(decodeId("ApiKey", id)),
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

interface CreateApiKeyPayloadShape {
  readonly apiKey: ApiKeyInfo;
  readonly key: string | null;
}

const CreateApiKeyPayload = builder.objectRef<CreateApiKeyPayloadShape>("CreateApiKeyPayload").implement({
  fields: (t) => ({
    apiKey: t.field({ type: ApiKeyRef, resolve: ({ apiKey }) => apiKey }),
    key: t.exposeString("key", {
      nullable: true,
      description:
        "The text to send as Authorization: Bearer. It is shown this once: null when the request is repeated.",
    }),
  }),
});

const CreateApiKeyInput = builder.inputType("CreateApiKeyInput", {
  fields: (t) => ({
    name: t.string({ required: true, validate: { maxLength: 200 }, description: "For people: 1 to 100 characters." }),
    roles: t.idList({
      validate: { maxLength: 20 },
      description: "Keys of roles; none that grants more than you hold.",
    }),
    permissions: t.stringList({
      validate: { maxLength: 100 },
      description: "Beside those of the roles; none that you do not hold.",
    }),
    expiresAt: t.field({ type: "DateTime", description: "In the future; never by default." }),
    idempotencyKey: t.string({ validate: { minLength: 1, maxLength: 255 } }),
  }),
});

const RevokeApiKeyInput = builder.inputType("RevokeApiKeyInput", {
  fields: (t) => ({ apiKeyId: t.id({ required: true, validate: { maxLength: 64 } }) }),
});

builder.mutationFields((t) => ({
  createApiKey: t.field({
    type: CreateApiKeyPayload,
    description: "Makes a key by which a program acts in the tenant, with no more rights than yours.",
    authScopes: { permission: "apikey:manage" },
    args: { input: t.arg({ type: CreateApiKeyInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const draft = {
        name: input.name,
        roles: toRoleKeys(input.roles ?? []),
        permissions: toPermissions(input.permissions ?? []),
        ...(input.expiresAt ? { expiresAt: new Date(input.expiresAt) } : {}),
      };
      const { id, key } = await createApiKeyOnce(callerOf(context), draft, input.idempotencyKey ?? undefined);
      return { apiKey: await getApiKey(context, id), key };
    },
  }),
  revokeApiKey: t.field({
    type: ApiKeyRef,
    description: "Ends a key for good: what it has open ends within a second. A repeat changes nothing.",
    authScopes: { permission: "apikey:manage" },
    args: { input: t.arg({ type: RevokeApiKeyInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const id = decodeId("ApiKey", input.apiKeyId);
      await revokeApiKey(callerOf(context), id);
      return getApiKey(context, id);
    },
  }),
}));

function toPermissions(names: readonly string[]): Permission[] {
  const unknown = names.filter((name) => !isPermission(name));
  if (unknown.length > 0)
    throw errors.IDENTITY_API_KEY_INVALID({ message: `There is no permission ${unknown.join(", ")}.` });
  return names.filter(isPermission);
}

async function getApiKey(context: GraphContext, id: string): Promise<ApiKeyInfo> {
  const found = await apiKeyById(context).load(id);
  if (!found) throw errors.IDENTITY_API_KEY_NOT_FOUND();
  return found;
}
