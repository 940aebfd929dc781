import { defineErrors } from "@sba/platform/errors";

export const taskErrors = defineErrors("agent.task", {
  AGENT_TASK_NOT_FOUND: { kind: "not_found", message: "There is no such task." },
});
