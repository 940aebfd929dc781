import { z } from "zod";
import { subscribeToPlan } from "@sba/billing/index";
import { recordAudit } from "@sba/platform/audit";
import type { Caller, TenantScope } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { appendEvents, streamOf } from "@sba/platform/events";
import type { Tenant } from "@sba/platform/generated/prisma/client";
import { encodeId, newId } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import { errors } from "../errors.ts";
import { tenantProvisioned } from "../events.ts";
import { insertMember } from "../membership/membership.ts";
import { ROLES } from "../role/role.ts";
import { draftUser, ensureUser, type UserDraft, type UserInput } from "../user/user.ts";

export interface TenantInput {
  /** UUID; makes a repeat harmless. A new one by default. */
  readonly id?: string;
  /** 1 to 200 characters. */
  readonly name: string;
  /** A plan of billing; its free plan by default. */
  readonly planKey?: string;
  /** A person known by e-mail address keeps their name and password. */
  readonly owner: UserInput;
}

export interface ProvisionedTenant {
  readonly tenantId: string;
  readonly ownerId: string;
  /** False when the tenant existed, with this owner: then nothing was changed. */
  readonly created: boolean;
  /** The owner as a caller, to go on setting up. */
  readonly caller: Caller;
}

const nameSchema = z.string().trim().min(1).max(200);

/**
 * Creates a tenant with its owner and its plan, in one transaction, and announces `identity.tenant.provisioned`.
 * Idempotent by `id`. Not for clients: whoever may call this may create tenants.
 * @throws IDENTITY_TENANT_INVALID, IDENTITY_USER_INVALID
 * @throws IDENTITY_TENANT_EXISTS when the id is that of a tenant which this person does not own.
 * @throws BILLING_PLAN_NOT_FOUND
 */
export async function provisionTenant({ owner, ...input }: TenantInput): Promise<ProvisionedTenant> {
  const name = nameSchema.safeParse(input.name);
  if (!name.success)
    throw errors.IDENTITY_TENANT_INVALID({ message: `name: ${name.error.issues[0]?.message ?? "invalid"}` });
  return provisionTenantFor(await draftUser(owner), { ...input, name: name.data });
}

/** As provisionTenant, for an owner whose password is hashed already. */
export function provisionTenantFor(
  owner: UserDraft,
  { id: tenantId = newId(), ...input }: Omit<TenantInput, "owner">,
): Promise<ProvisionedTenant> {
  return withTenant({ tenantId }, async (tx) => {
    const [inserted] = await tx.sql`
      INSERT INTO identity.tenant (tenant_id, name) VALUES (${tenantId}, ${input.name}) ON CONFLICT (tenant_id) DO NOTHING RETURNING tenant_id`;
    const ownerId = inserted ? await ensureUser(tx, owner) : await getOwnerId(tx, owner.email);
    const caller = ownerCaller(tenantId, ownerId);
    if (inserted) await furnish(tx, caller, input);
    return { tenantId, ownerId, created: inserted !== undefined, caller };
  });
}

async function getOwnerId(tx: Tx, email: string): Promise<string> {
  const [owner] = await tx.sql<{ id: string }>`
    SELECT person.id FROM identity.membership JOIN identity.user AS person ON person.id = membership.user_id
    WHERE person.email = ${email} AND membership.status = 'ACTIVE' AND 'owner' = ANY(membership.roles)`;
  if (!owner) throw errors.IDENTITY_TENANT_EXISTS();
  return owner.id;
}

function ownerCaller(tenantId: string, ownerId: string): Caller {
  return {
    tenantId,
    principalId: ownerId,
    principalKind: "USER",
    permissions: new Set(ROLES.owner.permissions),
    requestId: newId(),
  };
}

async function furnish(tx: Tx, caller: Caller, { name, planKey }: Omit<TenantInput, "owner">): Promise<void> {
  const { tenantId, principalId: ownerId } = caller;
  if (planKey !== undefined) await subscribeToPlan(tx, caller, planKey);
  await recordAudit(tx, caller, {
    action: "identity.tenant.provisioned",
    target: encodeId("Tenant", tenantId),
    details: { name },
  });
  await insertMember(tx, caller, { userId: ownerId, roles: ["owner"] });
  await appendEvents(tx, caller, streamOf("tenant", tenantId), [tenantProvisioned({ tenantId, name, ownerId })]);
}

/** The caller's own tenant, if it is among these: there is no other that it can see. */
export async function listTenants(scope: TenantScope, tenantIds: readonly string[]): Promise<Tenant[]> {
  return reader(scope).tenant.findMany({ where: { tenantId: { in: [...tenantIds] } } });
}
