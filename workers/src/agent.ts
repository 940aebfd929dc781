import { advanceRun } from "@sba/agent/index";
import { advanceRunJob } from "@sba/agent/jobs";
import { handle } from "@sba/platform/jobs";

export const handlers = [handle(advanceRunJob, advanceRun)];
