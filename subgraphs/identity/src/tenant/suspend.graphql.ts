import type { Suspension } from "@sba/platform/generated/prisma/client";
import { callerOf, defineListLoader } from "@sba/platform/graphql";
import { findSuspensions } from "@sba/platform/suspension";
import { builder } from "../builder.ts";
import { resumeTenant, suspendTenant } from "./suspend.ts";
import { getOwnTenant, TenantRef } from "./tenant.graphql.ts";

const suspensionsOf = defineListLoader(
  (caller, _ids: readonly string[]) => findSuspensions(caller),
  ({ tenantId }) => tenantId,
);

const SuspendedBy = builder.enumType("SuspendedBy", {
  description: "OWNER: the tenant itself, which may resume. PLATFORM: whoever operates the platform, who alone may.",
  values: ["OWNER", "PLATFORM"] as const,
});

const SuspensionRef = builder.objectRef<Suspension>("Suspension").implement({
  description: "Why a tenant's work rests.",
  fields: (t) => ({
    by: t.field({
      type: SuspendedBy,
      resolve: ({ suspendedBy }) => (suspendedBy === "OWNER" ? "OWNER" : "PLATFORM"),
    }),
    reason: t.exposeString("reason"),
    suspendedAt: t.field({ type: "DateTime", resolve: ({ suspendedAt }) => suspendedAt }),
  }),
});

builder.objectField(TenantRef, "suspension", (t) =>
  t.field({
    type: SuspensionRef,
    nullable: true,
    description: "Null while the tenant works. The platform's goes before the owner's.",
    resolve: async ({ tenantId }, _args, context) => (await suspensionsOf(context).load(tenantId))[0],
  }),
);

const SuspendTenantInput = builder.inputType("SuspendTenantInput", {
  fields: (t) => ({ reason: t.string({ required: true, validate: { minLength: 1, maxLength: 500 } }) }),
});

builder.mutationFields((t) => ({
  suspendTenant: t.field({
    type: TenantRef,
    description:
      "Stops everything in your tenant: runs are put aside and lose nothing, streams end with TENANT_SUSPENDED, nothing is begun.",
    authScopes: { permission: "tenant:manage" },
    args: { input: t.arg({ type: SuspendTenantInput, required: true }) },
    resolve: async (_root, { input: { reason } }, context) => {
      await suspendTenant(callerOf(context), { by: "OWNER", reason });
      return getOwnTenant(context);
    },
  }),
  resumeTenant: t.field({
    type: TenantRef,
    description: "Lets your tenant go on where it was stopped.",
    authScopes: { permission: "tenant:manage" },
    resolve: async (_root, _args, context) => {
      await resumeTenant(callerOf(context), { by: "OWNER" });
      return getOwnTenant(context);
    },
  }),
}));
