import { defineJob } from "@sba/platform/jobs";
import { z } from "zod";

/** Says once more, from a worker, that rights were taken away: for when the process that committed it died before it could. */
export const repeatRevocationJob = defineJob(
  "identity.revocation.repeat",
  z.object({ principalId: z.uuid().optional() }),
  { queue: "reactions" },
);
