import type { TenantScope } from "./caller.ts";
import { TENANT_SUSPENDED, withTenantOnce, type Tx } from "./db.ts";
import type { Suspension } from "./generated/prisma/client.ts";
import type { Permission } from "./permissions.ts";

/**
 * Tenants whose work rests (docs/adr/0017). A row says so from its commit on: no worker takes anything of theirs, what is under
 * way is put aside at the next renewal of its lease, nothing is begun. Nothing of it is changed, so nothing has to be put right
 * afterwards: what was due is due when the row is gone. Workers ask in the statement that takes the work, by `platform.suspension`.
 */

/** Who suspended: the tenant's owner, who may also resume, or the platform, whose word only the platform takes back. */
export type SuspendedBy = "OWNER" | "PLATFORM";

/** What is left of anybody's permissions in a suspended tenant: to see it, to put its people and keys in order, to let it go on. */
export const ALLOWED_WHILE_SUSPENDED: ReadonlySet<Permission> = new Set([
  "tenant:read",
  "tenant:manage",
  "member:read",
  "member:manage",
  "apikey:manage",
  "audit:read",
]);

export interface SuspensionInput {
  readonly by: SuspendedBy;
  /** For people. */
  readonly reason: string;
}

/** Suspends the tenant, and says whether that is new. */
export async function insertSuspension(
  tx: Tx,
  { tenantId }: TenantScope,
  { by, reason }: SuspensionInput,
): Promise<boolean> {
  const [inserted] = await tx.sql`
    INSERT INTO platform.suspension (tenant_id, suspended_by, reason) VALUES (${tenantId}, ${by}, ${reason})
    ON CONFLICT DO NOTHING RETURNING tenant_id`;
  return inserted !== undefined;
}

/** Takes a suspension back, and says whether there was one. */
export async function deleteSuspension(tx: Tx, { tenantId }: TenantScope, by: SuspendedBy): Promise<boolean> {
  const [deleted] = await tx.sql`
    DELETE FROM platform.suspension WHERE tenant_id = ${tenantId} AND suspended_by = ${by} RETURNING tenant_id`;
  return deleted !== undefined;
}

/** By whom the tenant is suspended, the platform first; empty when it is not. */
export function findSuspensions(scope: TenantScope): Promise<Suspension[]> {
  return withTenantOnce(scope, (tx) => readSuspensions(tx, scope));
}

/** As `findSuspensions`, in the caller's transaction. */
export function readSuspensions(tx: Tx, { tenantId }: TenantScope): Promise<Suspension[]> {
  return tx.sql<Suspension>`
    SELECT * FROM platform.suspension WHERE tenant_id = ${tenantId} ORDER BY suspended_by DESC`;
}

/** Fails the transaction with TENANT_SUSPENDED when the tenant's work rests. Needs no answer. */
export function requireNotSuspended(tx: Tx, { tenantId }: TenantScope): void {
  tx.gather(requireWork, [tenantId]);
}

function requireWork(tx: Tx, tenantIds: readonly string[]): Promise<unknown> {
  return tx.sql`
    SELECT platform.require(NOT EXISTS (SELECT FROM platform.suspension WHERE tenant_id = ANY(${[...new Set(tenantIds)]}::uuid[])), ${TENANT_SUSPENDED})`;
}
