/** The face of agent: runs and approvals, for workflow and the workers. */
export { createBuiltInAgents, findAgents } from "./agent/agent.ts";
export { findVersions } from "./agent/version.ts";
export {
  cancelApprovalsOfSubject,
  estimateToolCall,
  findApprovals,
  findDecisions,
  isAsApproved,
  requestApproval,
  type RequestApprovalInput,
} from "./approval/approval.ts";
export { decideApproval, type DecideApprovalInput } from "./approval/decide.ts";
export { lapseApprovals } from "./approval/lapse.ts";
export { readPolicies, rulesFor, setApprovalPolicy } from "./approval/policy.ts";
export { configureAgent } from "./configure.ts";
export { findArtifacts } from "./artifact/artifact.ts";
export { forgetExpiredAnswers } from "./model/index.ts";
export { findNotes, forgetExpiredNotes } from "./note/note.ts";
export { advanceRun } from "./run/advance.ts";
export { letWaitingRunsIn } from "./run/admission.ts";
export { letRunsOfFreeThreadsIn } from "./run/busy-thread.ts";
export { cancelOrphans, cancelPart, cancelRun } from "./run/cancel.ts";
export { startDispatcher } from "./run/dispatch.ts";
export type { Run } from "./run/read.ts";
export { continueRun, findRuns, getRun, startRun, startRunIn, type StartRunInput } from "./run/run.ts";
export { isEnded } from "./run/run.state.ts";
export { findTask, findTasks } from "./task/task.ts";
export { findThreads } from "./thread/thread.ts";
export { findTool, tools } from "./tool/index.ts";
export { resolveToolCall } from "./tool-call/tool-call.ts";
export { findTenantOfRun } from "./replay/recording.ts";
export { replayRun, type Verdict as ReplayVerdict } from "./replay/replay.ts";
