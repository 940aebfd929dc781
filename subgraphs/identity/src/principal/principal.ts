import type { PrincipalKind, TenantScope } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import type { Permission } from "@sba/platform/permissions";
import { reader } from "@sba/platform/reader";
import { ALLOWED_WHILE_SUSPENDED, findSuspensions } from "@sba/platform/suspension";
import { grantedBy, isLive, verifyApiKey, type ApiKeyInfo } from "../api-key/api-key.ts";
import { findActiveMembership } from "../membership/membership.ts";
import { permissionsOf } from "../role/role.ts";
import { isSessionOpen } from "../session/session.ts";

/** Whoever can act in a tenant: people, service accounts and API keys have one kind of id. */
export interface Principal {
  /** UUID. */
  readonly id: string;
  readonly kind: PrincipalKind;
  readonly displayName: string;
  /** Null for what is not a person. */
  readonly email: string | null;
  readonly roles: readonly string[];
}

/**
 * The principals of the tenant among these ids (UUIDs), in any order. Those who left and keys that were revoked are
 * found too, since what they did stays.
 */
export function findPrincipals(scope: TenantScope, ids: readonly string[]): Promise<Principal[]> {
  return withTenant(
    scope,
    (tx) => tx.sql<Principal>`
    SELECT person.id, 'USER' AS kind, person.display_name, person.email, membership.roles
    FROM identity.membership JOIN identity.user AS person ON person.id = membership.user_id
    WHERE membership.tenant_id = ${scope.tenantId} AND membership.user_id = ANY(${ids}::uuid[])
    UNION ALL
    SELECT id, 'API_KEY', name, NULL, roles FROM identity.api_key
    WHERE tenant_id = ${scope.tenantId} AND id = ANY(${ids}::uuid[])`,
  );
}

/** What a principal may do now; the gateway makes a Caller of it. */
export interface Grants {
  readonly tenantId: string;
  readonly principalId: string;
  readonly principalKind: PrincipalKind;
  readonly permissions: ReadonlySet<Permission>;
  /** When the credential itself ends; null when it does not. */
  readonly expiresAt: Date | null;
  /** The tenant is suspended: the permissions are what that leaves. */
  readonly isSuspended: boolean;
}

/**
 * The grants of a principal of a tenant, in one of its sessions when the token names one; undefined when unknown, suspended,
 * removed, revoked, expired or signed out.
 */
export async function findGrants(
  scope: TenantScope,
  principalId: string,
  sessionId?: string | undefined,
): Promise<Grants | undefined> {
  const isOpen = sessionId === undefined || (await isSessionOpen(scope, { principalId, sessionId }));
  return isOpen ? ((await findGrantsOfMember(scope, principalId)) ?? findGrantsOfKey(scope, principalId)) : undefined;
}

async function findGrantsOfMember(scope: TenantScope, principalId: string): Promise<Grants | undefined> {
  const member = await findActiveMembership(scope, principalId);
  if (!member) return undefined;
  const permissions = permissionsOf(member.roles);
  return asFarAsTenantAllows({
    ...{ tenantId: scope.tenantId, principalId, principalKind: "USER" },
    ...{ permissions, expiresAt: null },
  });
}

async function findGrantsOfKey(scope: TenantScope, principalId: string): Promise<Grants | undefined> {
  const key = await reader(scope).apiKey.findUnique({
    where: { tenantId_id: { tenantId: scope.tenantId, id: principalId } },
  });
  return key && isLive(key) ? grantsOfKey(key) : undefined;
}

/** The grants of whoever sends this API key, undefined when it is not one of ours, revoked or expired. */
export async function findGrantsByApiKey(text: string): Promise<Grants | undefined> {
  const key = await verifyApiKey(text);
  return key && grantsOfKey(key);
}

function grantsOfKey(key: ApiKeyInfo): Promise<Grants> {
  return asFarAsTenantAllows({
    tenantId: key.tenantId,
    principalId: key.id,
    principalKind: "API_KEY",
    permissions: grantedBy(key),
    expiresAt: key.expiresAt,
  });
}

async function asFarAsTenantAllows(grants: Omit<Grants, "isSuspended">): Promise<Grants> {
  const isSuspended = (await findSuspensions(grants)).length > 0;
  if (!isSuspended) return { ...grants, isSuspended };
  const permissions = new Set([...grants.permissions].filter((each) => ALLOWED_WHILE_SUSPENDED.has(each)));
  return { ...grants, permissions, isSuspended };
}
