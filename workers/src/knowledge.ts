import { runIngestion } from "@sba/knowledge/index";
import { advanceIngestion } from "@sba/knowledge/jobs";
import { handle } from "@sba/platform/jobs";

export const handlers = [handle(advanceIngestion, runIngestion)];
