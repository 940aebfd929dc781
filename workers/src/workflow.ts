import { handle } from "@sba/platform/jobs";
import { advanceWorkflowRun } from "@sba/workflow/index";
import { advanceWorkflowRunJob } from "@sba/workflow/jobs";

export const handlers = [handle(advanceWorkflowRunJob, advanceWorkflowRun)];
