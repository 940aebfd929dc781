import type { Caller, TenantScope } from "@sba/platform/caller";
import { recordAudit } from "@sba/platform/audit";
import { withTenant, type Tx } from "@sba/platform/db";
import type { Membership } from "@sba/platform/generated/prisma/client";
import { encodeId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { reader } from "@sba/platform/reader";
import { errors } from "../errors.ts";
import { announceRevocation } from "../principal/revocation.ts";
import { permissionsOf, requireHeld, type RoleKey } from "../role/role.ts";

export type MemberStatus = "ACTIVE" | "SUSPENDED" | "REMOVED";

export interface MemberInput {
  /** UUID. */
  readonly userId: string;
  readonly roles: readonly RoleKey[];
}

/**
 * Makes a user a member of the caller's tenant. A repeat with the same roles changes nothing; who was removed comes back.
 * @throws IDENTITY_USER_NOT_FOUND
 * @throws IDENTITY_MEMBER_EXISTS when they are a member with other roles: use setMemberRoles.
 * @throws IDENTITY_PERMISSION_NOT_HELD when a role grants what the caller does not hold.
 */
export async function addMember(caller: Caller, input: MemberInput): Promise<void> {
  requireHeld(caller, permissionsOf(input.roles));
  await withTenant(caller, (tx) => insertMember(tx, caller, input));
}

/** As addMember, in the caller's transaction; whether the caller may grant the roles is for the caller's caller to say. */
export async function insertMember(tx: Tx, caller: Caller, { userId, roles }: MemberInput): Promise<void> {
  const [user] = await tx.sql`SELECT id FROM identity.user WHERE id = ${userId}`;
  if (!user) throw errors.IDENTITY_USER_NOT_FOUND();
  const [joined] = await tx.sql<{ cameBack: boolean }>`
    INSERT INTO identity.membership AS membership (tenant_id, user_id, roles, status)
    VALUES (${caller.tenantId}, ${userId}, ${roles}::text[], 'ACTIVE')
    ON CONFLICT (tenant_id, user_id) DO UPDATE SET roles = excluded.roles, status = 'ACTIVE'
    WHERE membership.status = 'REMOVED' RETURNING xmax <> 0 AS came_back`;
  if (!joined) return requireSameRoles(tx, caller, { userId, roles });
  await openTenantToUser(tx, caller, userId);
  await recordAudit(tx, caller, {
    action: "identity.member.added",
    target: encodeId("Principal", userId),
    details: { roles },
  });
  // Who comes back may be remembered as gone.
  if (joined.cameBack) await announceRevocation(tx, caller, { principalId: userId });
}

async function requireSameRoles(tx: Tx, caller: Caller, { userId, roles }: MemberInput): Promise<void> {
  const [same] = await tx.sql`
    SELECT user_id FROM identity.membership
    WHERE tenant_id = ${caller.tenantId} AND user_id = ${userId} AND roles @> ${roles}::text[] AND roles <@ ${roles}::text[]`;
  if (!same) throw errors.IDENTITY_MEMBER_EXISTS();
}

/**
 * Gives a member other roles instead of those they have.
 * @throws IDENTITY_MEMBER_NOT_FOUND
 * @throws IDENTITY_PERMISSION_NOT_HELD when an old or new role grants what the caller does not hold.
 * @throws IDENTITY_LAST_OWNER
 */
export async function setMemberRoles(caller: Caller, { userId, roles }: MemberInput): Promise<void> {
  requireHeld(caller, permissionsOf(roles));
  await withTenant(caller, async (tx) => {
    const member = await lockMember(tx, caller, userId);
    await tx.sql`UPDATE identity.membership SET roles = ${roles}::text[] WHERE tenant_id = ${caller.tenantId} AND user_id = ${userId}`;
    await requireOwner(tx, caller);
    await recordAudit(tx, caller, {
      action: "identity.member.rolesSet",
      target: encodeId("Principal", userId),
      details: { roles, before: member.roles },
    });
    await announceRevocation(tx, caller, { principalId: userId });
  });
}

/**
 * Suspends a member, removes them, or lets them in again. Suspended and removed members lose their sessions at once.
 * @throws IDENTITY_MEMBER_NOT_FOUND
 * @throws IDENTITY_PERMISSION_NOT_HELD when the member holds what the caller does not.
 * @throws IDENTITY_LAST_OWNER
 */
export function setMemberStatus(caller: Caller, userId: string, status: MemberStatus): Promise<void> {
  return withTenant(caller, async (tx) => {
    const member = await lockMember(tx, caller, userId);
    if (member.status === status) return;
    await tx.sql`UPDATE identity.membership SET status = ${status} WHERE tenant_id = ${caller.tenantId} AND user_id = ${userId}`;
    await requireOwner(tx, caller);
    await (status === "ACTIVE" ? openTenantToUser(tx, caller, userId) : closeTenantToUser(tx, caller, userId));
    await recordAudit(tx, caller, {
      action: "identity.member.statusSet",
      target: encodeId("Principal", userId),
      details: { status, before: member.status },
    });
    await announceRevocation(tx, caller, { principalId: userId });
  });
}

/** As setMemberStatus with REMOVED: the member is gone, what they did keeps their name. */
export function removeMember(caller: Caller, userId: string): Promise<void> {
  return setMemberStatus(caller, userId, "REMOVED");
}

// The tenant's row is the lock on who owns it: two owners cannot both leave, each believing in the other.
async function lockMember(tx: Tx, caller: Caller, userId: string): Promise<Membership> {
  await tx.sql`SELECT tenant_id FROM identity.tenant WHERE tenant_id = ${caller.tenantId} FOR NO KEY UPDATE`;
  const [member] = await tx.sql<Membership>`
    SELECT * FROM identity.membership WHERE tenant_id = ${caller.tenantId} AND user_id = ${userId} AND status <> 'REMOVED'`;
  if (!member) throw errors.IDENTITY_MEMBER_NOT_FOUND();
  requireHeld(caller, permissionsOf(member.roles));
  return member;
}

async function requireOwner(tx: Tx, caller: Caller): Promise<void> {
  const [owner] = await tx.sql`
    SELECT user_id FROM identity.membership
    WHERE tenant_id = ${caller.tenantId} AND status = 'ACTIVE' AND 'owner' = ANY(roles) LIMIT 1`;
  if (!owner) throw errors.IDENTITY_LAST_OWNER();
}

// The global user row names the tenants to open at sign-in, since the application role cannot look for memberships across tenants.
async function openTenantToUser(tx: Tx, { tenantId }: TenantScope, userId: string): Promise<void> {
  await tx.sql`
    UPDATE identity.user SET tenant_ids = array_append(tenant_ids, ${tenantId}::uuid)
    WHERE id = ${userId} AND NOT ${tenantId}::uuid = ANY(tenant_ids)`;
}

async function closeTenantToUser(tx: Tx, { tenantId }: TenantScope, userId: string): Promise<void> {
  await tx.sql`UPDATE identity.user SET tenant_ids = array_remove(tenant_ids, ${tenantId}::uuid) WHERE id = ${userId}`;
  await tx.sql`
    UPDATE identity.session SET ended_at = clock_timestamp()
    WHERE tenant_id = ${tenantId} AND user_id = ${userId} AND ended_at IS NULL`;
}

/** A membership of someone who may act in the tenant now. */
export async function findActiveMembership(scope: TenantScope, userId: string): Promise<Membership | undefined> {
  const member = await reader(scope).membership.findUnique({
    where: { tenantId_userId: { tenantId: scope.tenantId, userId } },
  });
  return member?.status === "ACTIVE" ? member : undefined;
}

/** The keys of the roles that a person has in the tenant now, in the caller's transaction; none for whoever is no active member. */
export async function readMemberRoles(tx: Tx, scope: TenantScope, userId: string): Promise<readonly string[]> {
  return (await readRolesOfMembers(tx, scope, [userId])).get(userId) ?? [];
}

/** The same of several, by user's UUID. */
export async function readRolesOfMembers(
  tx: Tx,
  scope: TenantScope,
  userIds: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const members = await tx.sql<Pick<Membership, "userId" | "roles">>`
    SELECT user_id, roles FROM identity.membership
    WHERE tenant_id = ${scope.tenantId} AND user_id = ANY(${[...userIds]}::uuid[]) AND status = 'ACTIVE'`;
  return new Map(members.map(({ userId, roles }) => [userId, roles]));
}

/** The members with these users' UUIDs that the tenant has; who was removed is none. */
export function findMembers(scope: TenantScope, userIds: readonly string[]): Promise<Membership[]> {
  return reader(scope).membership.findMany({
    where: { tenantId: scope.tenantId, userId: { in: [...userIds] }, status: { not: "REMOVED" } },
  });
}

/** The members of the caller's tenant, suspended ones too, who joined the system last first. */
export async function listMembers(caller: Caller, { first, after }: PageRequest): Promise<Page<Membership>> {
  const position = decodeIdCursor(after);
  const rows = await reader(caller).membership.findMany({
    where: {
      tenantId: caller.tenantId,
      status: { not: "REMOVED" },
      ...(position === undefined ? {} : { userId: { lt: position } }),
    },
    orderBy: { userId: "desc" },
    take: first + 1,
  });
  return toPage(rows, first);
}
