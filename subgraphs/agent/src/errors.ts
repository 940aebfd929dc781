import { defineErrors } from "@sba/platform/errors";

export const errors = defineErrors("agent", {
  AGENT_AGENT_NOT_FOUND: { kind: "not_found", message: "There is no such agent." },
  AGENT_AGENT_TOOL_UNKNOWN: { kind: "invalid_input", message: "The agent names a tool that does not exist." },
  AGENT_THREAD_NOT_FOUND: { kind: "not_found", message: "There is no such thread." },
  AGENT_THREAD_BUSY: { kind: "conflict", message: "A run of this thread has not ended yet." },
  AGENT_THREAD_OF_OTHER_AGENT: { kind: "conflict", message: "This thread belongs to another agent." },
  AGENT_RUN_NOT_FOUND: { kind: "not_found", message: "There is no such run." },
  AGENT_RUN_ENDED: { kind: "conflict", message: "The run has ended." },
  AGENT_RUN_NOT_AWAITING_INPUT: { kind: "conflict", message: "The run does not wait for input." },
  AGENT_RUN_STEPS_EXHAUSTED: { kind: "conflict", message: "The run used all the steps it was allowed." },
  AGENT_RUN_ATTEMPTS_EXHAUSTED: { kind: "internal", message: "A step of the run failed every time it was tried." },
  AGENT_RUN_LEASE_LOST: { kind: "unavailable", message: "Another worker took the run over." },
  AGENT_MODEL_INTERRUPTED: { kind: "upstream_failed", message: "The model's answer ended before it was complete." },
  AGENT_TOOL_NOT_ALLOWED: { kind: "permission_denied", message: "The agent may not use this tool." },
  AGENT_TOOL_OUTCOME_UNKNOWN: { kind: "conflict", message: "The tool was interrupted and may not be called twice." },
  AGENT_APPROVAL_NOT_FOUND: { kind: "not_found", message: "There is no such approval." },
  AGENT_APPROVAL_ALREADY_DECIDED: { kind: "conflict", message: "The approval has been decided." },
  AGENT_APPROVAL_CHANGED: { kind: "conflict", message: "The approval changed since it was read: read it again." },
  AGENT_APPROVAL_DENIED: { kind: "permission_denied", message: "A person denied this call." },
  AGENT_APPROVAL_DRIFTED: { kind: "conflict", message: "What was approved is no longer what would run." },
  AGENT_APPROVAL_PARAMS_INVALID: { kind: "invalid_input", message: "The edited params do not fit the tool." },
});
