import type { Tool } from "../tool/tool.ts";
import { webhookSend } from "./webhook-send.ts";

/** The tools that integrations offers to agents and workflows. Add one: a file here and a line below. */
export const integrationTools: readonly Tool[] = [webhookSend];
