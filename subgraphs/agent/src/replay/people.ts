import type { NewEvent } from "@sba/platform/events";
import type { Approval } from "@sba/platform/generated/prisma/client";
import { deadlineAfter, estimateToolCall, fingerprintOf } from "../approval/approval.ts";
import { escalatedRoles, type ApprovalDecisionKind } from "../approval/approval.state.ts";
import { runEvents, type ApprovalChange, type CountedDecision } from "../approval/change.ts";
import { countDecision } from "../approval/decide.ts";
import type { CallApproval } from "../approval/of-run.ts";
import { ownMessages } from "../thread/message.ts";
import { approvalDecided, inputReceived, runStatusChanged, type ApprovalSnapshot } from "../events.ts";
import { poisonedEvents } from "../run/poison.ts";
import { assertMove, isRunStatus, type RunStatus } from "../run/run.state.ts";
import type { Session } from "../run/session.ts";
import type { Position } from "./position.ts";

/** What was done to a run by others than the worker that held it: people, deadlines, and whoever gave it up. */
export interface Intervention {
  readonly session: Session;
  readonly events: readonly NewEvent[];
}

/** What somebody did next, as it comes out for the run as it is by now; undefined when the run's own worker was next. */
export function intervene(at: Position): Intervention | undefined {
  const poisoned = poison(at);
  if (poisoned) return poisoned;
  if (at.next.type === approvalDecided.type)
    return decide(at, (at.next.payload as { approval: ApprovalSnapshot }).approval);
  if (at.next.type === inputReceived.type) return receive(at, at.next.payload as ReceivedInput);
  if (at.next.type !== runStatusChanged.type) return undefined;
  const to = destination(at, at.next.payload as { from: string | null; to: string });
  return to && move(hearAnswer(at), to);
}

/** A person answered the run's question: with a message that is committed with its going on. */
function hearAnswer({ recording, session, seq }: Position): Session {
  if (session.run.status !== "AWAITING_INPUT") return session;
  const { history, run } = session;
  const last = ownMessages(history, run.id).at(-1)?.ordinal ?? 0;
  const said = recording.messages.get(last + 1);
  return said?.role === "user" && said.seq === seq ? { ...session, history: [...history, said] } : session;
}

type ReceivedInput = Parameters<typeof inputReceived>[0];

/** Somebody sent it something: for itself, or for a run that answers after it. */
function receive({ recording, session }: Position, payload: ReceivedInput): Intervention | undefined {
  if (payload.ordinal === null) return { session, events: [inputReceived(payload)] };
  const input = recording.inputs.get(payload.ordinal);
  if (!input) return undefined;
  const { ordinal, text, sentBy } = input;
  const received = { ...payload, ordinal, text, sentBy, answeringRunId: session.run.id };
  return { session: { ...session, inbox: [...session.inbox, input] }, events: [inputReceived(received)] };
}

/** Where a person moves the run: paused, resumed, cancelled, answered, or its plan executed. */
function destination({ session: { run } }: Position, { from, to }: { from: string | null; to: string }) {
  if (to === "PAUSED" || to === "CANCELLING") return to;
  if (to === "FAILED") return undefined;
  if (from === "PAUSED") return run.pausedFrom !== null && isRunStatus(run.pausedFrom) ? run.pausedFrom : undefined;
  return from === "AWAITING_INPUT" || from === "PLANNING" ? "EXECUTING" : undefined;
}

function move(session: Session, to: RunStatus): Intervention {
  const { status: from } = session.run;
  assertMove(from, to);
  const run = { ...session.run, status: to, pausedFrom: to === "PAUSED" ? from : null };
  return { session: { ...session, run }, events: [runStatusChanged({ from, to })] };
}

/** Given up from its row alone, by whoever found that workers cannot even begin a step of it. */
function poison({ recording, session, next }: Position): Intervention | undefined {
  const { to } = next.payload as { to?: string };
  const isPoison = next.type === runStatusChanged.type && to === "FAILED";
  const { errorCode, endedAt } = recording.run;
  if (!isPoison || errorCode !== "AGENT_RUN_ATTEMPTS_EXHAUSTED" || endedAt === null) return undefined;
  return {
    session: { ...session, run: { ...session.run, status: to } },
    events: poisonedEvents(session.run, endedAt),
  };
}

function decide(at: Position, { id, status }: ApprovalSnapshot): Intervention | undefined {
  const asked = [...at.session.approvals.values()].find((approval) => approval.id === id);
  const recorded = at.recording.approvals.find((approval) => approval.id === id);
  if (!asked || !recorded || status === "SUPERSEDED" || (status === "CANCELLED" && isOfItsEnd(at))) return undefined;
  return end(at, asked, recorded);
}

/** A run that fails cancels what it asked by itself, in its last commit. */
function isOfItsEnd({ recording, next }: Position): boolean {
  const after = recording.journal.slice(next.seq).find(({ type }) => type !== approvalDecided.type);
  const isMove = after?.type === runStatusChanged.type;
  const isOthers = isMove && (after.payload as { to: string }).to === "CANCELLING";
  const isPoisons = isMove && recording.run.errorCode === "AGENT_RUN_ATTEMPTS_EXHAUSTED";
  return !isOthers && !isPoisons;
}

const REASONS: Readonly<Record<string, string>> = { EXPIRED: "expired", CANCELLED: "cancelled" };

function end({ recording, session }: Position, asked: CallApproval, recorded: Approval): Intervention {
  const voted = countVotes(escalate(asked, recorded), recorded, recording);
  const { status } = recorded;
  const reason = REASONS[status];
  const ended = reason === undefined ? voted : { ...voted, status, version: voted.version + 1 };
  const { decisions, ...approval } = ended;
  const change: ApprovalChange = {
    ...{ change: "DECIDED", approval, decisions },
    ...(reason === undefined ? {} : { reason }),
  };
  const callId = approval.toolCallId!;
  const [approvals, calls] = [new Map(session.approvals), new Map(session.calls)];
  approvals.set(callId, ended);
  const call = calls.get(callId);
  // What a person edited is what runs.
  if (call) calls.set(callId, { ...call, params: approval.params });
  return { session: { ...session, approvals, calls }, events: runEvents(change) };
}

function escalate(asked: CallApproval, { escalatedAt }: Approval): CallApproval {
  if (escalatedAt === null) return asked;
  const expiresAt = deadlineAfter(asked.expiresAfterSeconds, escalatedAt);
  return { ...asked, approverRoles: [...escalatedRoles(asked)], expiresAt, escalatedAt };
}

/** Counts the decisions that were given, each by the rules by which it was counted. */
function countVotes(asked: CallApproval, recorded: Approval, { decisions, run }: Position["recording"]): CallApproval {
  let { decisions: counted, ...approval }: { decisions: readonly CountedDecision[] } & Approval = asked;
  for (const given of decisions.filter(({ approvalId }) => approvalId === asked.id)) {
    const edited = given.round > approval.round ? edit(approval, recorded, run.priceListVersion) : approval;
    const kind = given.decision as ApprovalDecisionKind;
    const decided = countDecision({ approval, decisions: counted }, edited, { ...given, decision: kind });
    approval = decided.approval;
    counted = decided.decisions;
  }
  return { ...approval, decisions: counted };
}

function edit(approval: Approval, { params }: Approval, priceListVersion: number): Approval {
  const { amountMicros: costEstimateMicros, currency } = estimateToolCall(priceListVersion);
  const edited = { ...approval, params, costEstimateMicros, currency };
  return { ...edited, fingerprint: fingerprintOf(edited) };
}
