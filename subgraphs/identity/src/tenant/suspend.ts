import { recordAudit } from "@sba/platform/audit";
import type { Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { appendEvents, streamOf } from "@sba/platform/events";
import { encodeId } from "@sba/platform/ids";
import {
  deleteSuspension,
  insertSuspension,
  readSuspensions,
  type SuspendedBy,
  type SuspensionInput,
} from "@sba/platform/suspension";
import { errors } from "../errors.ts";
import { tenantResumed, tenantSuspended } from "../events.ts";
import { announceRevocation } from "../principal/revocation.ts";

/**
 * A tenant that rests (docs/adr/0017). Its people and keys keep only what it takes to see the tenant and to put it in order, on
 * every gateway within a second; its runs are put aside, lose nothing, and go on when it is resumed.
 */

/**
 * Suspends the caller's tenant. A repeat by the same side changes nothing, the reason neither.
 * @throws IDENTITY_TENANT_NOT_FOUND
 */
export async function suspendTenant(caller: Caller, { by, reason }: SuspensionInput): Promise<void> {
  await withTenant(caller, async (tx) => {
    await lockTenant(tx, caller);
    if (!(await insertSuspension(tx, caller, { by, reason }))) return;
    await record(tx, caller, { action: "identity.tenant.suspended", details: { by, reason } });
    await appendEvents(tx, caller, streamOf("tenant", caller.tenantId), [tenantSuspended({ by, reason })]);
  });
}

/**
 * Lifts the suspension that this side laid on the caller's tenant. A repeat changes nothing.
 * @throws IDENTITY_TENANT_NOT_FOUND
 * @throws IDENTITY_TENANT_SUSPENDED_BY_PLATFORM when an owner resumes what the platform has suspended, too.
 */
export async function resumeTenant(caller: Caller, { by }: { readonly by: SuspendedBy }): Promise<void> {
  await withTenant(caller, async (tx) => {
    await lockTenant(tx, caller);
    const held = (await readSuspensions(tx, caller)).map(({ suspendedBy }) => suspendedBy);
    if (by === "OWNER" && held.includes("PLATFORM")) throw errors.IDENTITY_TENANT_SUSPENDED_BY_PLATFORM();
    if (!(await deleteSuspension(tx, caller, by))) return;
    await record(tx, caller, { action: "identity.tenant.resumed", details: { by } });
    await appendEvents(tx, caller, streamOf("tenant", caller.tenantId), [tenantResumed({ by })]);
  });
}

async function lockTenant(tx: Tx, { tenantId }: Caller): Promise<void> {
  const [tenant] = await tx.sql`SELECT tenant_id FROM identity.tenant WHERE tenant_id = ${tenantId} FOR NO KEY UPDATE`;
  if (!tenant) throw errors.IDENTITY_TENANT_NOT_FOUND();
}

interface Change {
  readonly action: string;
  readonly details: Readonly<Record<string, unknown>>;
}

async function record(tx: Tx, caller: Caller, change: Change): Promise<void> {
  await recordAudit(tx, caller, { ...change, target: encodeId("Tenant", caller.tenantId) });
  await announceRevocation(tx, caller, {});
}
