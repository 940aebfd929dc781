/** The face of workflow: for the workers, and for what starts workflows. */
export { advanceWorkflowRun } from "./workflow-run/advance.ts";
export { reconcileWorkflowRuns } from "./workflow-run/reconcile.ts";
export {
  cancelWorkflowRun,
  findWorkflowRuns,
  getWorkflowRun,
  resumeAfterApproval,
  resumeAfterRun,
  resumeAfterToolCall,
  startWorkflowRun,
  type CancelWorkflowRunInput,
  type StartWorkflowRunInput,
  type WorkflowRun,
} from "./workflow-run/workflow-run.ts";
export {
  createBuiltInWorkflows,
  createWorkflow,
  publishWorkflowVersion,
  type CreateWorkflowInput,
  type PublishWorkflowVersionInput,
} from "./workflow/workflow.ts";
