import type { Caller } from "@sba/platform/caller";
import { newId } from "@sba/platform/ids";
import { ALL_PERMISSIONS, type Permission } from "@sba/platform/permissions";

export { eventually } from "./eventually.ts";

export interface CallerOptions extends Partial<Omit<Caller, "permissions">> {
  /** All of them when absent. */
  readonly permissions?: Iterable<Permission>;
}

/**
 * A user of a tenant that nobody else has, with every permission. There are no rows behind it: a test that shows names
 * or plans makes the tenant with `@sba/identity/testing`.
 */
export function aCaller({ permissions = ALL_PERMISSIONS, ...given }: CallerOptions = {}): Caller {
  return {
    tenantId: newId(),
    principalId: newId(),
    principalKind: "USER",
    requestId: `test-${newId()}`,
    ...given,
    permissions: new Set(permissions),
  };
}

/** Another caller of the same tenant, with other permissions when they are given. */
export function aColleagueOf(caller: Caller, permissions: Iterable<Permission> = caller.permissions): Caller {
  return aCaller({ tenantId: caller.tenantId, permissions });
}
