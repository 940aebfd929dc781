import {
  cancelApprovalsOfSubject,
  estimateToolCall,
  findTool,
  isAsApproved,
  readPolicies,
  requestApproval,
  rulesFor,
} from "@sba/agent/index";
import {
  listToolCalls,
  recordToolOutcome,
  refuseCall,
  requestToolCall,
  runToolCall,
  unknownOutcome,
  type Tool,
  type ToolCall,
  type ToolOutcome,
} from "@sba/integrations/index";
import type { Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { platformErrors, type AppError } from "@sba/platform/errors";
import { encodeId, newId } from "@sba/platform/ids";
import { z } from "zod";
import { errors } from "../../errors.ts";
import { APPROVAL_LOOK_AGAIN_MS, findApprovalOfStep, notApproved, onDenied } from "../denial.ts";
import { defineStepKind, stepSubject, type StepRun, type StepState } from "../step-kind.ts";

const config = z.strictObject({
  /** The name of a registered tool; no references. */
  tool: z.string().min(1).max(100),
  params: z.record(z.string().max(100), z.unknown()).default({}),
  onDenied,
});

export const toolCall = defineStepKind({
  name: "tool-call",
  description: "Calls a tool and goes on with its result; a tool that needs approval is called when a person agreed.",
  config,
  example: { tool: "knowledge.search", params: { query: "{{input.query}}" } },
  problems: ({ tool }) => (findTool(tool) ? [] : [`there is no tool named ${tool}`]),
  begin: async (tx, caller, step, { tool: name, params }) => {
    const tool = findTool(name);
    if (!tool) throw errors.WORKFLOW_STEP_TOOL_UNKNOWN({ details: { tool: name } });
    // The intent is committed with the step, so every attempt of it carries the same call id.
    const [call, policies] = await Promise.all([
      requestToolCall(tx, caller, { id: newId(), tool, params, stepNumber: step.number }),
      readPolicies(tx, null),
    ]);
    const rules = rulesFor(tool, policies, estimateToolCall().amountMicros);
    if (!rules) return { kind: "perform", links: { toolCallId: call.id } };
    const approvalId = await askFirst(tx, caller, step, { tool, call, rules });
    return { kind: "wait", lookAgainMs: APPROVAL_LOOK_AGAIN_MS, links: { toolCallId: call.id, approvalId } };
  },
  look: async (caller, step, { onDenied: policy }) => {
    const call = await getCall(caller, step);
    // It was called, and may have been resolved since.
    if (call.status !== "REQUESTED") return stateOf(call);
    if (call.unknownAt !== null || step.approvalId === null) return { kind: "perform" };
    const findings = await findApprovalOfStep(caller, step.approvalId);
    if (findings.approval.status === "PENDING") return { kind: "wait", lookAgainMs: APPROVAL_LOOK_AGAIN_MS };
    if (findings.decision.approved) return { kind: "perform" };
    await record(caller, call, refuseCall(errors.WORKFLOW_STEP_DENIED()));
    return notApproved(findings, policy);
  },
  perform: async (caller, step, _config, signal) => {
    const call = await getCall(caller, step);
    if (call.status !== "REQUESTED") return stateOf(call);
    return stateOf(await record(caller, call, await attempt(caller, step, call, signal)));
  },
  cancel: async (caller, step) => {
    await withTenant(caller, (tx) => cancelApprovalsOfSubject(tx, caller, stepSubject(step)));
    const call = await getCall(caller, step);
    // A tool that must not be called twice may have been.
    await record(
      caller,
      call,
      call.begunAt === null ? refuseCall(platformErrors.OPERATION_CANCELLED()) : unknownOutcome(),
    );
    return true;
  },
});

/** Nobody waits for it: a lost wake-up costs a minute at most. */
const OPERATOR_LOOK_AGAIN_MS = 60_000;

function askFirst(
  tx: Tx,
  caller: Caller,
  step: StepRun,
  { tool, call, rules }: { readonly tool: Tool; readonly call: ToolCall; readonly rules: ReturnType<typeof rulesFor> },
): Promise<string> {
  return requestApproval(tx, caller, {
    subject: stepSubject(step),
    toolCallId: call.id,
    action: tool.name,
    params: call.params,
    editableParams: Object.keys(call.params ?? {}),
    definitionHash: tool.definitionHash,
    scope: [encodeId("WorkflowRun", step.workflowRunId)],
    requires: tool.requires,
    costEstimate: estimateToolCall(),
    rules,
  });
}

/** Calls the tool, if it is still what was asked for and approved. */
async function attempt(caller: Caller, step: StepRun, call: ToolCall, signal: AbortSignal): Promise<ToolOutcome> {
  const tool = findTool(call.name);
  const refusal = tool ? await refusalOf(caller, step, { tool, call }) : errors.WORKFLOW_STEP_TOOL_UNKNOWN();
  if (!tool || refusal) return refuseCall(refusal ?? errors.WORKFLOW_STEP_TOOL_UNKNOWN());
  const outcome = await runToolCall(caller, tool, call, { signal });
  // Draining or cancelled: not the tool's outcome, so it is left to the step's next attempt or to the run's end.
  const wasCutOff = signal.aborted && !outcome.ok && outcome.unknown !== true;
  if (wasCutOff && (await tool.isRepeatable(caller, call.params))) throw platformErrors.OPERATION_CANCELLED();
  return outcome;
}

async function refusalOf(
  caller: Caller,
  step: StepRun,
  { tool, call }: { readonly tool: Tool; readonly call: ToolCall },
): Promise<AppError | undefined> {
  if (step.approvalId === null) return tool.approval === "NEVER" ? undefined : errors.WORKFLOW_STEP_APPROVAL_DRIFTED();
  const { approval } = await findApprovalOfStep(caller, step.approvalId);
  const stands = isAsApproved(approval, { tool, params: call.params, costEstimate: estimateToolCall() });
  return stands ? undefined : errors.WORKFLOW_STEP_APPROVAL_DRIFTED();
}

async function getCall(caller: Caller, step: StepRun): Promise<ToolCall> {
  const [call] = await listToolCalls(caller, step.toolCallId === null ? [] : [step.toolCallId]);
  if (!call) throw new Error("the tool call of a step is not there");
  return call;
}

function record(caller: Caller, call: ToolCall, outcome: ToolOutcome): Promise<ToolCall> {
  return withTenant(caller, (tx) => recordToolOutcome(tx, caller, call.id, outcome));
}

function stateOf(call: ToolCall): StepState {
  if (call.status === "SUCCEEDED") return { kind: "done", output: call.result };
  // A reaction wakes the run when an operator has said what became of it.
  if (call.status === "UNKNOWN") return { kind: "wait", lookAgainMs: OPERATOR_LOOK_AGAIN_MS };
  const { code, message } = call.error ?? errors.WORKFLOW_STEP_TOOL_UNKNOWN();
  return { kind: "failed", error: { code, message } };
}
