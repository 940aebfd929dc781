import type { PrincipalKind, TenantScope } from "@sba/platform/caller";
import { callerOf, createBuilder, defineLoader, toSubgraphSchema } from "@sba/platform/graphql";
import { newId } from "@sba/platform/ids";
import type { Permission } from "@sba/platform/permissions";
import { pubsub } from "@sba/platform/pubsub";
import type { Subgraph } from "@sba/platform/server";
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from "jose";

/** The identity of the tests' federated world: it knows the principals it was told, signs for them and answers for them. */

export interface Member extends TenantScope {
  readonly principalId: string;
  /** A token of the local issuer; claims and header fields replace those of a good one. */
  token(claims?: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): Promise<string>;
  /** The key of an API key, if it is one. */
  readonly apiKey: string | undefined;
}

interface Standing {
  tenantId: string;
  principalKind: PrincipalKind;
  permissions: Set<Permission>;
}

interface Keys {
  readonly jwk: JWK;
  readonly privateKey: CryptoKey;
}

export interface IdentityState {
  keys: Keys;
  readonly standings: Map<string, Standing>;
  readonly apiKeys: Map<string, string>;
  readonly suspended: Set<string>;
  readonly endedSessions: Set<string>;
  readonly allowedOrigins: Map<string, readonly string[]>;
}

/** As identity does when somebody may do less, or more. */
export function announce(revocation: { readonly tenantId: string; readonly principalId?: string }): void {
  pubsub().publish("identity.revoked", JSON.stringify(revocation));
}

export async function makeKeys(): Promise<Keys> {
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), kid: newId(), alg: "ES256", use: "sig" } };
}

export function join(
  identity: IdentityState,
  permissions: readonly Permission[],
  { tenantId = newId(), apiKey = false }: { readonly tenantId?: string; readonly apiKey?: boolean } = {},
): Member {
  const principalId = newId();
  identity.standings.set(principalId, {
    tenantId,
    principalKind: apiKey ? "API_KEY" : "USER",
    permissions: new Set(permissions),
  });
  const key = apiKey ? `sba_${newId().replaceAll("-", "")}` : undefined;
  if (key !== undefined) identity.apiKeys.set(key, principalId);
  return {
    tenantId,
    principalId,
    apiKey: key,
    token: (claims = {}, header = {}) => {
      const nowS = Math.floor(Date.now() / 1000);
      return new SignJWT({
        iss: "sba-identity",
        aud: "sba",
        sub: principalId,
        tid: tenantId,
        iat: nowS,
        nbf: nowS,
        exp: nowS + 900,
        ...claims,
      })
        .setProtectedHeader({ alg: "ES256", kid: identity.keys.jwk.kid ?? "", ...header })
        .sign(identity.keys.privateKey);
    },
  };
}

export function setPermissions(
  { standings }: IdentityState,
  { principalId }: Member,
  permissions: readonly Permission[] | undefined,
): void {
  const standing = standings.get(principalId);
  if (permissions === undefined) standings.delete(principalId);
  else if (standing) standing.permissions = new Set(permissions);
}

/** What tests see and hold up of it. */
interface Watched {
  readonly asked: { identity: number };
  readonly beforeGrants: () => Promise<void>;
}

export function identitySubgraph(world: Watched, identity: IdentityState): Subgraph {
  const builder = createBuilder();
  const Tenant = builder.objectRef<{ id: string }>("Tenant").implement({
    fields: (t) => ({ id: t.exposeID("id"), name: t.string({ resolve: ({ id }) => `tenant ${id}` }) }),
  });
  const loadTenants = defineLoader(
    (_caller, ids) => {
      world.asked.identity++;
      return Promise.resolve(ids.map((id) => ({ id })));
    },
    ({ id }) => id,
  );
  builder.asEntity(Tenant, {
    key: builder.selection<{ id: string }>("id"),
    resolveReference: ({ id }, context) => loadTenants(context).load(id),
  });
  interface Grants extends Standing {
    readonly principalId: string;
  }
  const Kind = builder.enumType("PrincipalKind", { values: ["USER", "SERVICE_ACCOUNT", "API_KEY"] as const });
  const GrantsRef = builder.objectRef<Grants>("Grants").implement({
    inaccessible: true,
    fields: (t) => ({
      tenantId: t.exposeID("tenantId"),
      principalId: t.exposeID("principalId"),
      principalKind: t.field({ type: Kind, resolve: ({ principalKind }) => principalKind }),
      permissions: t.stringList({ resolve: ({ permissions }) => [...permissions] }),
      expiresAt: t.field({ type: "DateTime", nullable: true, resolve: () => null }),
      isSuspended: t.boolean({ resolve: ({ tenantId }) => identity.suspended.has(tenantId) }),
    }),
  });
  const grantsOf = (principalId: string | undefined): Grants | null => {
    const standing = principalId === undefined ? undefined : identity.standings.get(principalId);
    if (!standing || principalId === undefined) return null;
    const permissions = identity.suspended.has(standing.tenantId) ? new Set<Permission>() : standing.permissions;
    return { ...standing, permissions, principalId };
  };
  builder.queryField("principalGrants", (t) =>
    t.field({
      type: GrantsRef,
      nullable: true,
      inaccessible: true,
      authScopes: { internal: true },
      args: {
        tenantId: t.arg.id({ required: true }),
        principalId: t.arg.id({ required: true }),
        sessionId: t.arg.id(),
      },
      resolve: async (_root, { tenantId, principalId, sessionId }) => {
        const grants = grantsOf(principalId);
        await world.beforeGrants();
        const isOver = sessionId && identity.endedSessions.has(sessionId);
        return grants?.tenantId === tenantId && !isOver ? grants : null;
      },
    }),
  );
  builder.queryField("apiKeyGrants", (t) =>
    t.field({
      type: GrantsRef,
      nullable: true,
      inaccessible: true,
      authScopes: { internal: true },
      args: { key: t.arg.string({ required: true }) },
      resolve: (_root, { key }) => grantsOf(identity.apiKeys.get(key)),
    }),
  );
  builder.queryField("isOriginAllowed", (t) =>
    t.boolean({
      inaccessible: true,
      authScopes: { internal: true },
      args: { origin: t.arg.string({ required: true }), tenantId: t.arg.id() },
      resolve: (_root, { origin, tenantId }) => {
        world.asked.identity++;
        const allowed = tenantId
          ? (identity.allowedOrigins.get(tenantId) ?? [])
          : [...identity.allowedOrigins.values()].flat();
        return allowed.includes(origin);
      },
    }),
  );
  builder.queryField("whoAmI", (t) =>
    t.id({ authScopes: { authenticated: true }, resolve: (_root, _args, context) => callerOf(context).principalId }),
  );
  builder.queryField("greeting", (t) =>
    t.string({
      args: { name: t.arg.string({ required: true }) },
      resolve: (_root, { name }) => `Hello, ${name}`,
    }),
  );
  builder.queryField("ledger", (t) =>
    t.int({ tag: "partner", authScopes: { permission: "usage:read" }, resolve: () => 7 }),
  );
  builder.queryField("crash", (t) =>
    t.string({
      nullable: true,
      resolve: () => {
        throw new Error("the password is hunter2");
      },
    }),
  );
  return {
    name: "identity",
    schema: toSubgraphSchema(builder),
    routes: [
      {
        method: "GET",
        path: "/.well-known/jwks.json",
        handle: () =>
          Promise.resolve({
            status: 200,
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ keys: [identity.keys.jwk] }),
          }),
      },
      {
        method: "PUT",
        path: "/echo/:name",
        handle: async ({ params, body }) => ({
          status: 201,
          headers: { "content-type": "text/plain" },
          body: `${params["name"]}: ${(await body.toArray()).join("")}`,
        }),
      },
      {
        method: "GET",
        path: "/mine",
        authenticated: true,
        handle: ({ caller }) => Promise.resolve({ status: 200, body: caller?.principalId ?? "" }),
      },
    ],
  };
}
