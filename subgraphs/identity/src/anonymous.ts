import type { TenantScope } from "@sba/platform/caller";

/**
 * The scope of work before a tenant is known: signing in and the issuer's keys. No tenant has the nil UUID, so row level
 * security shows no tenant's rows; only the global tables can be touched.
 */
export const NO_TENANT: TenantScope = { tenantId: "00000000-0000-0000-0000-000000000000" };
