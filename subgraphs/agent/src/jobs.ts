import { defineJob } from "@sba/platform/jobs";
import { z } from "zod";

/** Wakes the run up: whoever takes it looks at the run and does what is due. Lost or doubled, nothing happens to the run. */
export const advanceRunJob = defineJob("agent.run.advance", z.object({ runId: z.uuid() }), {
  queue: "agent",
  attempts: 3,
});
