import { defineJob } from "@sba/platform/jobs";
import { z } from "zod";

/** Wakes the workflow run up: whoever takes it looks at it and does what is due. Lost or doubled, nothing happens to the run. */
export const advanceWorkflowRunJob = defineJob("workflow.run.advance", z.object({ workflowRunId: z.uuid() }), {
  queue: "workflow",
  attempts: 3,
});
