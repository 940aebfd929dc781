import { defineLoader } from "@sba/platform/graphql";
import { decodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { getPlan, type Plan } from "./plan.ts";

const PlanRef = builder.objectRef<Plan>("Plan").implement({
  description: "What a customer buys.",
  fields: (t) => ({ key: t.exposeString("key"), name: t.exposeString("name") }),
});

// A caller sees one tenant, its own; the loader asks once however often that tenant appears in an answer.
const planOfTenant = defineLoader(
  async (caller) => [{ tenantId: caller.tenantId, plan: await getPlan(caller) }],
  ({ tenantId }) => tenantId,
);

/** identity's tenants; here they have a plan and its quotas. */
export const Tenant = builder.objectRef<{ readonly id: string }>("Tenant");

builder.asEntity(Tenant, { key: builder.selection<{ id: string }>("id"), resolveReference: ({ id }) => ({ id }) });

Tenant.implement({
  fields: (t) => ({
    id: t.exposeID("id"),
    plan: t.field({
      type: PlanRef,
      nullable: true,
      description: "The plan that the tenant is on.",
      authScopes: { authenticated: true },
      tag: "partner",
      resolve: async ({ id }, _args, context) => (await planOfTenant(context).load(decodeId("Tenant", id)))?.plan,
    }),
  }),
});
