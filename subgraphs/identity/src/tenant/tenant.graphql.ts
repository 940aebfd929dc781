import type { Tenant } from "@sba/platform/generated/prisma/client";
import { callerOf, defineLoader, type GraphContext } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { errors } from "../errors.ts";
import { listTenants } from "./tenant.ts";

export const tenantById = defineLoader(listTenants, (tenant) => tenant.tenantId);

export const TenantRef = builder.objectRef<Tenant>("Tenant").implement({
  description: "A customer: the unit of isolation.",
  fields: (t) => ({
    id: t.id({ tag: "partner", resolve: ({ tenantId }) => encodeId("Tenant", tenantId) }),
    name: t.exposeString("name", { tag: "partner" }),
  }),
});

builder.asEntity(TenantRef, {
  key: builder.selection<{ id: string }>("id"),
  resolveReference: ({ id }, context) => tenantById(context).load(decodeId("Tenant", id)),
});

/** The tenant of who asks. @throws IDENTITY_TENANT_NOT_FOUND */
export async function getOwnTenant(context: GraphContext): Promise<Tenant> {
  const tenant = await tenantById(context).load(callerOf(context).tenantId);
  if (!tenant) throw errors.IDENTITY_TENANT_NOT_FOUND();
  return tenant;
}
