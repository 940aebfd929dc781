import { defineErrors } from "@sba/platform/errors";

export const errors = defineErrors("workflow", {
  WORKFLOW_WORKFLOW_NOT_FOUND: { kind: "not_found", message: "There is no such workflow." },
  WORKFLOW_WORKFLOW_KEY_TAKEN: { kind: "conflict", message: "The tenant has a workflow of this key." },
  WORKFLOW_DEFINITION_INVALID: { kind: "invalid_input", message: "The workflow's definition is not valid." },
  WORKFLOW_INPUT_INVALID: { kind: "invalid_input", message: "The input of the workflow is not valid." },
  WORKFLOW_INPUT_INCOMPLETE: { kind: "invalid_input", message: "The workflow refers to input that was not given." },
  WORKFLOW_REFERENCE_UNKNOWN: {
    kind: "invalid_input",
    message: "A step refers to something that an earlier step did not give.",
  },
  WORKFLOW_RUN_NOT_FOUND: { kind: "not_found", message: "There is no such workflow run." },
  WORKFLOW_RUN_ENDED: { kind: "conflict", message: "The workflow run has ended." },
  WORKFLOW_RUN_LEASE_LOST: { kind: "unavailable", message: "Another worker took the workflow run over." },
  WORKFLOW_STEP_PARAMS_INVALID: {
    kind: "invalid_input",
    message: "With its references filled in, the step is not valid.",
  },
  WORKFLOW_STEP_DENIED: { kind: "permission_denied", message: "A person denied this step." },
  WORKFLOW_STEP_APPROVAL_WITHDRAWN: { kind: "conflict", message: "The approval ended without a decision." },
  WORKFLOW_STEP_APPROVAL_DRIFTED: { kind: "conflict", message: "What was approved is no longer what would run." },
  WORKFLOW_STEP_TOOL_UNKNOWN: { kind: "not_found", message: "The step's tool no longer exists." },
  WORKFLOW_STEP_RUN_FAILED: { kind: "conflict", message: "The step's run failed." },
  WORKFLOW_STEP_RUN_CANCELLED: { kind: "cancelled", message: "The step's run was cancelled." },
  WORKFLOW_STEP_KIND_UNKNOWN: { kind: "invalid_input", message: "The kind of this step no longer exists." },
  WORKFLOW_STEP_ATTEMPTS_EXHAUSTED: { kind: "internal", message: "The step failed every time it was tried." },
});
