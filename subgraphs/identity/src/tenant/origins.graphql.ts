import { callerOf } from "@sba/platform/graphql";
import { isUuid } from "@sba/platform/ids";
import { builder } from "../builder.ts";
import { isOriginAllowed, setAllowedOrigins } from "./origins.ts";
import { getOwnTenant, TenantRef } from "./tenant.graphql.ts";

builder.objectField(TenantRef, "allowedOrigins", (t) =>
  t.stringList({
    description: "Origins whose pages may call the API for this tenant from a browser, beside the platform's own.",
    authScopes: { permission: "tenant:read" },
    resolve: ({ allowedOrigins }) => allowedOrigins,
  }),
);

const SetAllowedOriginsInput = builder.inputType("SetAllowedOriginsInput", {
  fields: (t) => ({
    origins: t.stringList({
      required: true,
      description: "All of them, as browsers send them: `https://app.example.com`, or `http://localhost:3000`.",
      validate: { maxLength: 1_000, items: { maxLength: 1_000 } },
    }),
  }),
});

builder.mutationField("setAllowedOrigins", (t) =>
  t.field({
    type: TenantRef,
    description:
      "Says whose pages may call the API for your tenant from a browser. One that is taken off is refused within a second, its sockets end.",
    authScopes: { permission: "tenant:manage" },
    args: { input: t.arg({ type: SetAllowedOriginsInput, required: true }) },
    resolve: async (_root, { input: { origins } }, context) => {
      const allowedOrigins = [...(await setAllowedOrigins(callerOf(context), origins))];
      return { ...(await getOwnTenant(context)), allowedOrigins };
    },
  }),
);

builder.queryField("isOriginAllowed", (t) =>
  t.boolean({
    inaccessible: true,
    description: "Whether pages of an origin may call for a tenant; without one, whether for any.",
    authScopes: { internal: true },
    args: {
      origin: t.arg.string({ required: true, validate: { maxLength: 300 } }),
      tenantId: t.arg.id({ validate: { refine: isUuid } }),
    },
    resolve: (_root, { origin, tenantId }) =>
      isOriginAllowed(origin, typeof tenantId === "string" ? { tenantId } : undefined),
  }),
);
