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

/** On the stream `tenant:<uuid>`. */
export const tenantSuspended = defineEvent({
  type: "identity.tenant.suspended",
  version: 1,
  description: "The tenant's work rests from here on: nothing of it is begun, and what was under way is put aside.",
  payload: z.object({ by: z.enum(["OWNER", "PLATFORM"]), reason: z.string() }),
});

/** On the stream `tenant:<uuid>`. */
export const tenantResumed = defineEvent({
  type: "identity.tenant.resumed",
  version: 1,
  description: "One suspension of the tenant was lifted; its work goes on unless there is another.",
  payload: z.object({ by: z.enum(["OWNER", "PLATFORM"]) }),
});
