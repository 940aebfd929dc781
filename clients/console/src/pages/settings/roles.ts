import { usePermission, type Permission } from "../../session/permission.tsx";

/** The roles that the platform has, the same in every tenant. */
const ROLE_KEYS = ["owner", "admin", "operator", "viewer", "partner"] as const;
type RoleKey = (typeof ROLE_KEYS)[number];

/** Those whose members may decide approvals. */
export const DECIDING_ROLES = ["owner", "admin", "operator"] as const satisfies readonly RoleKey[];

/** What an owner holds and nobody else. */
const OF_OWNERS: Permission = "tenant:manage";

/** The roles that the caller may give: none that grants what they do not hold. */
export function useGrantableRoles(): readonly RoleKey[] {
  const isOwner = usePermission(OF_OWNERS);
  return ROLE_KEYS.filter((key) => key !== "owner" || isOwner);
}

export function isRoleKey(key: string): key is RoleKey {
  return ROLE_KEYS.some((each) => each === key);
}
