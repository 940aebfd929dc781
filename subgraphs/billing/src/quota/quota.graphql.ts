import { callerOf, defineLoader } from "@sba/platform/graphql";
import { decodeId, encodeId } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { Tenant } from "../plan/plan.graphql.ts";
import { listQuotas, QUOTA_KINDS, setQuotaPolicy, WHEN_FULL, type Quota } from "./quota.ts";

const QuotaKindRef = builder.enumType("QuotaKind", {
  description:
    "Tokens and tool calls of runs are those of the month of UTC; concurrent runs are those that have not ended.",
  values: QUOTA_KINDS,
});
const WhenFullRef = builder.enumType("WhenFull", {
  description: "What becomes of a start when all of the tenant's concurrent runs are under way.",
  values: WHEN_FULL,
});

const QuotaRef = builder.objectRef<Quota>("Quota").implement({
  description: "A limit of the tenant's plan: a start that would exceed it is refused with QUOTA_EXCEEDED.",
  fields: (t) => ({
    kind: t.field({ type: QuotaKindRef, resolve: ({ kind }) => kind }),
    limit: t.field({ type: "BigInt", resolve: ({ limit }) => limit }),
    used: t.field({ type: "BigInt", resolve: ({ used }) => used }),
    whenFull: t.field({
      type: WhenFullRef,
      nullable: true,
      description: "Of concurrent runs: whether a start is refused or waits for its turn.",
      resolve: ({ whenFull }) => whenFull,
    }),
  }),
});

// A caller sees one tenant, its own.
const quotasOfTenant = defineLoader(
  async (caller) => [{ tenantId: caller.tenantId, quotas: await listQuotas(caller) }],
  ({ tenantId }) => tenantId,
);

builder.objectField(Tenant, "quotas", (t) =>
  t.field({
    type: [QuotaRef],
    nullable: true,
    description: "The plan's quotas and what is used of them; none when the plan has no limits.",
    authScopes: { permission: "usage:read" },
    resolve: async ({ id }, _args, context) => (await quotasOfTenant(context).load(decodeId("Tenant", id)))?.quotas,
  }),
);

const SetQuotaPolicyInput = builder.inputType("SetQuotaPolicyInput", {
  fields: (t) => ({ whenFull: t.field({ type: WhenFullRef, required: true }) }),
});

builder.mutationField("setQuotaPolicy", (t) =>
  t.field({
    type: Tenant,
    description: "Sets what becomes of a start when all of the tenant's concurrent runs are under way.",
    authScopes: { permission: "budget:write" },
    args: { input: t.arg({ type: SetQuotaPolicyInput, required: true }) },
    resolve: async (_root, { input }, context) => {
      const caller = callerOf(context);
      await setQuotaPolicy(caller, input.whenFull);
      quotasOfTenant(context).clear(caller.tenantId);
      return { id: encodeId("Tenant", caller.tenantId) };
    },
  }),
);
