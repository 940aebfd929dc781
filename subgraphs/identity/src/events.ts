import { z } from "zod";
import { defineEvent } from "@sba/platform/events";

/** On the stream `tenant:<uuid>`. */
export const tenantProvisioned = defineEvent({
  type: "identity.tenant.provisioned",
  version: 1,
  description: "A tenant exists, with its owner; higher domains give it their built-ins.",
  payload: z.object({ tenantId: z.uuid(), name: z.string(), ownerId: z.uuid() }),
  announced: true,
});
