import { repeatRevocation } from "@sba/identity/index";
import { repeatRevocationJob } from "@sba/identity/jobs";
import { handle } from "@sba/platform/jobs";

export const handlers = [handle(repeatRevocationJob, repeatRevocation)];
