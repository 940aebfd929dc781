import type { Caller } from "@sba/platform/caller";
import { ALL_PERMISSIONS, type Permission } from "@sba/platform/permissions";
import { errors } from "../errors.ts";

export type RoleKey = "owner" | "admin" | "operator" | "viewer" | "partner";

/** A named set of permissions. Members and API keys have any number of roles and hold what any of them grants. */
export interface Role {
  readonly key: RoleKey;
  readonly name: string;
  readonly permissions: readonly Permission[];
}

// What an outsider or a mere reader has no business with, although it ends in :read.
const NOT_FOR_VIEWERS: ReadonlySet<Permission> = new Set(["audit:read"]);

const READS = ALL_PERMISSIONS.filter((permission) => permission.endsWith(":read") && !NOT_FOR_VIEWERS.has(permission));

const OPERATES: readonly Permission[] = [
  "knowledge:write",
  "run:start",
  "run:cancel",
  "run:operate",
  "toolcall:resolve",
  "document:render",
  "webhook:send",
  "task:create",
  "note:write",
  "approval:decide",
  "workflow:start",
];

/** The built-in roles, the same in every tenant. */
export const ROLES: Readonly<Record<RoleKey, Role>> = {
  owner: { key: "owner", name: "Owner", permissions: ALL_PERMISSIONS },
  admin: {
    key: "admin",
    name: "Administrator",
    permissions: ALL_PERMISSIONS.filter((permission) => permission !== "tenant:manage"),
  },
  operator: { key: "operator", name: "Operator", permissions: [...READS, ...OPERATES] },
  viewer: { key: "viewer", name: "Viewer", permissions: READS },
  partner: { key: "partner", name: "Partner", permissions: ["usage:read"] },
};

export const ROLE_KEYS = Object.keys(ROLES) as readonly RoleKey[];

export function isRoleKey(value: string): value is RoleKey {
  return Object.hasOwn(ROLES, value);
}

/** The role of a key, undefined for one that this deployment does not know. */
export function findRole(key: string): Role | undefined {
  return isRoleKey(key) ? ROLES[key] : undefined;
}

/** The roles of stored keys; keys of a newer or older deployment are dropped: whoever has them can only lose by it. */
export function rolesOf(keys: readonly string[]): Role[] {
  return keys.flatMap((key) => findRole(key) ?? []);
}

/** The keys of known roles. @throws IDENTITY_ROLE_UNKNOWN naming those that are not. */
export function toRoleKeys(keys: readonly string[]): RoleKey[] {
  const unknown = keys.filter((key) => !isRoleKey(key));
  if (unknown.length > 0) throw errors.IDENTITY_ROLE_UNKNOWN({ details: { unknown, known: ROLE_KEYS } });
  return keys.filter(isRoleKey);
}

/** Everything that these roles grant. */
export function permissionsOf(roleKeys: readonly string[]): Set<Permission> {
  return new Set(rolesOf(roleKeys).flatMap(({ permissions }) => permissions));
}

/** @throws IDENTITY_PERMISSION_NOT_HELD when something is to be granted that the caller does not hold. */
export function requireHeld(caller: Caller, granted: Iterable<Permission>): void {
  const missing = [...granted].filter((permission) => !caller.permissions.has(permission));
  if (missing.length > 0) throw errors.IDENTITY_PERMISSION_NOT_HELD({ details: { missing } });
}
