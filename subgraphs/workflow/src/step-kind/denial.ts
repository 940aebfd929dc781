import type { Caller } from "@sba/platform/caller";
import { findApprovals, findDecisions } from "@sba/agent/index";
import { encodeId } from "@sba/platform/ids";
import { z } from "zod";
import { errors } from "../errors.ts";
import type { StepState } from "./step-kind.ts";

/** What a denied step, or one that nobody decided in time, does to its workflow run: ends it, or counts as done with `approved: false`. */
export const onDenied = z.enum(["fail", "continue"]).default("fail");

/** Nobody waits for it: a lost wake-up of an approval costs a minute at most. */
export const APPROVAL_LOOK_AGAIN_MS = 60_000;

type Approval = Awaited<ReturnType<typeof findApprovals>>[number];

/** What a step knows of its approval. */
export interface ApprovalFindings {
  readonly approval: Approval;
  readonly decision: { readonly approved: boolean; readonly decidedBy: string | null; readonly reason: string | null };
}

/** The approval of a step and who decided it. */
export async function findApprovalOfStep(caller: Caller, approvalId: string): Promise<ApprovalFindings> {
  const [[approval], decisions] = await Promise.all([
    findApprovals(caller, [approvalId]),
    findDecisions(caller, [approvalId]),
  ]);
  if (!approval) throw new Error("the approval of a step is not there");
  const last = decisions.at(-1);
  return {
    approval,
    decision: {
      approved: approval.status === "APPROVED",
      decidedBy: last ? encodeId("Principal", last.decidedBy) : null,
      reason: last?.reason ?? null,
    },
  };
}

/** The state of a step whose approval ended without being given. */
export function notApproved({ approval, decision }: ApprovalFindings, policy: z.output<typeof onDenied>): StepState {
  if (policy === "continue" && ["DENIED", "EXPIRED"].includes(approval.status))
    return { kind: "done", output: decision };
  const { code, message } =
    approval.status === "DENIED" ? errors.WORKFLOW_STEP_DENIED() : errors.WORKFLOW_STEP_APPROVAL_WITHDRAWN();
  const reason = decision.reason === null ? "" : ` ${decision.reason}`;
  return { kind: "failed", error: { code, message: message + reason } };
}
