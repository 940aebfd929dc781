import type { Tx } from "@sba/platform/db";
import type { AppError } from "@sba/platform/errors";
import type { Approval } from "@sba/platform/generated/prisma/client";
import { errors } from "../errors.ts";

/** What was decided about a call, as the loop of its run needs it. */
export interface CallApproval extends Pick<Approval, "status"> {
  /** Of a denial. */
  readonly reason: string | null;
}

/** The decisions about a run's calls. */
export function approvalsOfRun(tx: Tx, runId: string): Promise<(CallApproval & { readonly toolCallId: string })[]> {
  return tx.sql<CallApproval & { readonly toolCallId: string }>`
    SELECT a.tool_call_id, a.status, (
      SELECT d.reason FROM agent.approval_decision d WHERE d.approval_id = a.id AND d.decision = 'DENIED' ORDER BY d.id LIMIT 1) AS reason
    FROM agent.approval a WHERE a.run_id = ${runId} AND a.tool_call_id IS NOT NULL AND a.status <> 'SUPERSEDED'`;
}

/** What the model is told of a call that a person did not allow. */
export function refusalOf({ reason }: CallApproval): AppError {
  return errors.AGENT_APPROVAL_DENIED(reason === null ? {} : { message: `A person denied this call: ${reason}` });
}
