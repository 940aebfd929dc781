import type { Tool, ToolCall } from "@sba/integrations/index";
import { recordAudit } from "@sba/platform/audit";
import type { Caller } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import type { AppError } from "@sba/platform/errors";
import { appendToStreams, type NewEvent } from "@sba/platform/events";
import type { Approval, Run } from "@sba/platform/generated/prisma/client";
import { encodeId } from "@sba/platform/ids";
import { errors } from "../errors.ts";
import { approvalStream } from "../events.ts";
import {
  auditOf,
  estimateToolCall,
  insertApproval,
  isAsApproved,
  makeApproval,
  type RequestApprovalInput,
} from "./approval.ts";
import { inboxEvent, runEvents, type ApprovalChange, type CountedDecision } from "./change.ts";
import { rulesFor, type ApprovalPolicy, type PinnedRules } from "./policy.ts";

/**
 * Approvals as the loop of a run needs them: decided from what its session has loaded, written by statements that wait for no
 * answer.
 */

/** The approval of a call, and the decisions about it that count. */
export interface CallApproval extends Approval {
  readonly decisions: readonly CountedDecision[];
}

/** The approvals of a run's calls that stand: one a call. */
export function readApprovalsOfRun(tx: Tx, runId: string): Promise<CallApproval[]> {
  return tx.sql<CallApproval>`
    SELECT a.*, coalesce((
      SELECT json_agg(json_build_object('decision', d.decision, 'decidedBy', d.decided_by, 'decidedAt', d.decided_at, 'reason', d.reason)
                      ORDER BY d.decided_at, d.id)
      FROM agent.approval_decision d WHERE d.tenant_id = a.tenant_id AND d.approval_id = a.id AND d.round = a.round), '[]') AS decisions
    FROM agent.approval a WHERE a.run_id = ${runId} AND a.tool_call_id IS NOT NULL AND a.status <> 'SUPERSEDED'`;
}

/** What the model is told of a call that was not allowed. */
export function refusalOf({ status, decisions }: CallApproval): AppError {
  if (status === "EXPIRED") return errors.AGENT_APPROVAL_EXPIRED({ details: { reason: "expired" } });
  const reason = decisions.find(({ decision }) => decision === "DENIED")?.reason ?? null;
  return errors.AGENT_APPROVAL_DENIED(reason === null ? {} : { message: `A person denied this call: ${reason}` });
}

/** An approval that is asked for, or ends, with a step's commit. */
export interface Asked {
  readonly approval: CallApproval;
  /** Sends statements that wait for no answer, before the run's own events. */
  write(tx: Tx): void;
  /** For the run's own stream. */
  readonly events: readonly NewEvent[];
}

export interface AskInput {
  /** When it is asked. */
  readonly now: Date;
  readonly newId: () => string;
  readonly run: Pick<Run, "id" | "priceListVersion">;
  readonly tool: Tool;
  readonly call: Pick<ToolCall, "id" | "params">;
  /** As `readPolicies` gave them for the run's agent. */
  readonly policies: readonly ApprovalPolicy[];
}

/** Asks for a call what a person must agree to; undefined when nobody has to. Costs nothing then. */
export function askIfNeeded(caller: Caller, input: AskInput): Asked | undefined {
  const rules = rulesFor(input.tool, input.policies, estimateToolCall(input.run.priceListVersion).amountMicros);
  return rules && ask(caller, input, rules);
}

function ask(caller: Caller, input: AskInput, rules: PinnedRules, before?: CallApproval): Asked {
  const approval = makeApproval(caller, requestFor(input, rules));
  const changes: ApprovalChange[] = [{ change: "REQUESTED", approval, decisions: [] }];
  if (before) changes.unshift(supersession(before, approval));
  return {
    approval: { ...approval, decisions: [] },
    events: changes.flatMap(runEvents),
    write: (tx) => {
      send(insertApproval(tx, approval));
      if (before) send(writeSupersession(tx, caller, before, approval));
      const stream = approvalStream(caller.tenantId);
      send(
        appendToStreams(
          tx,
          caller,
          changes.map((change) => ({ stream, event: inboxEvent(change) })),
        ),
      );
    },
  };
}

/** A statement that fails fails its transaction, and is reported by the commit. */
function send(statement: Promise<unknown>): void {
  statement.catch(() => undefined);
}

function requestFor({ now, newId, run, tool, call }: AskInput, rules: PinnedRules): RequestApprovalInput {
  return {
    ...{ id: newId(), at: now },
    ...{ runId: run.id, toolCallId: call.id, action: tool.name, params: call.params, rules },
    editableParams: Object.keys(call.params ?? {}),
    definitionHash: tool.definitionHash,
    scope: [encodeId("Run", run.id)],
    requires: tool.requires,
    costEstimate: estimateToolCall(run.priceListVersion),
  };
}

/**
 * Holds a call that is about to run against what was approved. Undefined: it may run. Otherwise it is asked again, about what
 * would run now, under the policy of now; what was approved before is superseded.
 */
export function askAgainIfDrifted(
  caller: Caller,
  input: AskInput,
  approval: CallApproval | undefined,
): Asked | undefined {
  if (!approval) return input.tool.approval === "ALWAYS" ? askIfNeeded(caller, input) : undefined;
  const costEstimate = estimateToolCall(input.run.priceListVersion);
  const planned = { tool: input.tool, params: input.call.params, costEstimate };
  if (isAsApproved(approval, planned)) return undefined;
  const rules = rulesFor(input.tool, input.policies, costEstimate.amountMicros) ?? pinnedRulesOf(approval);
  return ask(caller, input, rules, approval);
}

/** Nobody may be needed any more by the policy of now; who had to agree to something else is asked all the same. */
function pinnedRulesOf(approval: Approval): PinnedRules {
  const { policyId, policyVersion, quorum, approverRoles, approverIds, allowRequester, expiresAfterSeconds } = approval;
  return { policyId, policyVersion, quorum, approverRoles, approverIds, allowRequester, expiresAfterSeconds };
}

/** Ends an approval that its run does not wait for any more, since the run ends. */
export function cancelAsked(caller: Caller, { decisions, ...before }: CallApproval): Asked {
  const approval = { ...before, status: "CANCELLED", version: before.version + 1 };
  const change: ApprovalChange = { change: "CANCELLED", approval, decisions, reason: "cancelled" };
  return {
    approval: { ...approval, decisions },
    events: runEvents(change),
    write: (tx) => {
      const { id, status, version } = approval;
      send(tx.sql`UPDATE agent.approval SET status = ${status}, version = ${version} WHERE id = ${id}`);
      send(recordAudit(tx, caller, { action: "agent.approval.cancelled", ...auditOf(approval) }));
      const stream = approvalStream(caller.tenantId);
      send(appendToStreams(tx, caller, [{ stream, event: inboxEvent(change) }]));
    },
  };
}

function supersession({ decisions, ...before }: CallApproval, by: Approval): ApprovalChange {
  const approval = { ...before, status: "SUPERSEDED", version: before.version + 1, supersededBy: by.id };
  return { change: "SUPERSEDED", approval, decisions, reason: "drifted" };
}

async function writeSupersession(tx: Tx, caller: Caller, before: CallApproval, by: Approval): Promise<void> {
  const { approval } = supersession(before, by);
  await Promise.all([
    tx.sql`
      UPDATE agent.approval SET status = ${approval.status}, version = ${approval.version}, superseded_by = ${by.id}
      WHERE id = ${before.id}`,
    recordAudit(tx, caller, {
      action: "agent.approval.superseded",
      ...auditOf(approval, { supersededBy: encodeId("Approval", by.id), newFingerprint: by.fingerprint }),
    }),
  ]);
}
