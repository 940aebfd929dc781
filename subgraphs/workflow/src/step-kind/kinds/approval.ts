import { estimateCost } from "@sba/billing/index";
import { cancelApprovalsOfSubject, requestApproval } from "@sba/agent/index";
import { withTenant } from "@sba/platform/db";
import { encodeId } from "@sba/platform/ids";
import { z } from "zod";
import { APPROVAL_LOOK_AGAIN_MS, findApprovalOfStep, notApproved, onDenied } from "../denial.ts";
import { defineStepKind, stepSubject } from "../step-kind.ts";

export const approval = defineStepKind({
  name: "approval",
  description: "Asks a person and goes on when they have decided.",
  config: z.strictObject({
    /** What is to be allowed, as the person reads it. */
    action: z.string().min(1).max(200),
    /** What they are to know. */
    params: z.record(z.string().max(100), z.unknown()).default({}),
    onDenied,
  }),
  example: { action: "Send the offer", params: { offer: "{{input.offer}}" } },
  begin: async (tx, caller, step, { action, params }) => {
    const approvalId = await requestApproval(tx, caller, {
      subject: stepSubject(step),
      action,
      params,
      definitionHash: step.definitionHash,
      scope: [encodeId("WorkflowRun", step.workflowRunId)],
      requires: [],
      costEstimate: estimateCost([]),
    });
    return { kind: "wait", lookAgainMs: APPROVAL_LOOK_AGAIN_MS, links: { approvalId } };
  },
  look: async (caller, step, config) => {
    const findings = await findApprovalOfStep(caller, step.approvalId ?? "");
    if (findings.approval.status === "PENDING") return { kind: "wait", lookAgainMs: APPROVAL_LOOK_AGAIN_MS };
    return findings.decision.approved
      ? { kind: "done", output: findings.decision }
      : notApproved(findings, config.onDenied);
  },
  cancel: async (caller, step) => {
    await withTenant(caller, (tx) => cancelApprovalsOfSubject(tx, caller, stepSubject(step)));
    return true;
  },
});
