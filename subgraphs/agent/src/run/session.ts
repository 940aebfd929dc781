import { callerOfStarter, type Caller } from "@sba/platform/caller";
import { withTenantByKey, type Tx } from "@sba/platform/db";
import type { NewEvent } from "@sba/platform/events";
import type { AgentVersion, Message, Run as RunRow, RunInput } from "@sba/platform/generated/prisma/client";
import { openGroupRead } from "@sba/platform/group";
import { newId } from "@sba/platform/ids";
import { findSlice, type Slice } from "@sba/billing/index";
import { readToolCalls, type ToolCall } from "@sba/integrations/index";
import { findVersionOnce } from "../agent/version.ts";
import { readApprovalsOfRun, type CallApproval } from "../approval/of-run.ts";
import { policiesFor, readPoliciesOfRuns, type ApprovalPolicy } from "../approval/policy.ts";
import { errors } from "../errors.ts";
import { readUnfinished, type Unfinished } from "../step/step.ts";
import { openCallIds, readHistories, readInbox, type NewMessage } from "../thread/message.ts";
import { readChildren, type ChildRun } from "./child-end.ts";

/**
 * What the worker that leases a run knows of it, and how it writes. The lease makes it the only writer, so it decides from
 * memory what comes next and sends a step's end with the next one's beginning in one round trip. Whoever else changes the
 * run (a person who cancels, answers or decides) raises its revision: the write is then refused, and decided again from
 * what is committed.
 */
export interface Session {
  readonly caller: Caller;
  readonly run: RunRow;
  readonly version: AgentVersion;
  /** What a model turn is shown. */
  readonly history: readonly Message[];
  /** The calls that the model has no answer to yet, by id. */
  readonly calls: ReadonlyMap<string, ToolCall>;
  /** What was decided about calls, by call. */
  readonly approvals: ReadonlyMap<string, CallApproval>;
  /** What became of the runs that calls delegated, by call. */
  readonly children: ReadonlyMap<string, ChildRun>;
  /** Who must agree to which tools, when the session was opened. */
  readonly policies: readonly ApprovalPolicy[];
  /** The step that an earlier attempt began, and what readers were shown of it. */
  readonly unfinished: Unfinished | undefined;
  /** What it holds of the budgets above it; undefined when there are none, or when it holds nothing now. */
  readonly slice: Slice | undefined;
  /** What it was sent and its model has not been told. */
  readonly inbox: readonly RunInput[];
}

/** What one commit will write and what the session is after it; made by functions that decide, sent by `commit`. */
export interface Draft extends Circumstances {
  readonly caller: Caller;
  run: RunRow;
  readonly version: AgentVersion;
  readonly history: Message[];
  readonly calls: Map<string, ToolCall>;
  readonly approvals: Map<string, CallApproval>;
  readonly children: Map<string, ChildRun>;
  readonly policies: readonly ApprovalPolicy[];
  unfinished: Unfinished | undefined;
  slice: Slice | undefined;
  readonly inbox: RunInput[];
  /** Set when the lease ends with this commit: the run is due again after so many ms, or waits for somebody (null). */
  release: { readonly dueInMs: number | null } | undefined;
  readonly messages: Message[];
  /** Statements that wait for no answer. */
  readonly writes: ((tx: Tx) => void)[];
  /** The run's events, in order. */
  readonly journal: NewEvent[];
  /** Statements after everything else: rows are locked that other runs wait for. */
  readonly closing: ((tx: Tx) => void)[];
}

/** What of a decision is not of the session: with the same, the same is decided again (`replay`). */
export interface Circumstances {
  /** The time of everything that one commit writes. */
  readonly now: Date;
  readonly newId: () => string;
}

const HERE_AND_NOW = (): Circumstances => ({ now: new Date(), newId });

/** A draft that writes nothing yet. */
export function openDraft(
  { history, calls, approvals, children, inbox, ...session }: Session,
  circumstances = HERE_AND_NOW(),
): Draft {
  return {
    ...session,
    ...circumstances,
    history: [...history],
    inbox: [...inbox],
    calls: new Map(calls),
    approvals: new Map(approvals),
    children: new Map(children),
    release: undefined,
    ...{ messages: [], writes: [], journal: [], closing: [] },
  };
}

/** Adds a message at the end of the run's part of the thread. */
export function addMessage(draft: Draft, message: NewMessage): void {
  const { id: runId, tenantId } = draft.run;
  const last = draft.history.findLast((earlier) => earlier.runId === runId)?.ordinal ?? 0;
  const added: Message = {
    ...{ tenantId, runId, ordinal: last + 1, role: message.role, text: message.text },
    toolCalls: (message.toolCalls ?? null) as Message["toolCalls"],
    toolCallId: message.toolCallId ?? null,
    asksPerson: message.asksPerson ?? false,
    // The database's to give, when it is committed.
    seq: 0,
    createdAt: draft.now,
  };
  draft.history.push(added);
  draft.messages.push(added);
}

/** What new runs decide from. */
export interface Basis {
  readonly history: readonly Message[];
  /** Of other agents too. */
  readonly policies: readonly ApprovalPolicy[];
}

/** What any run decides from, as far as its id alone tells where it is. */
interface State extends Basis, Pick<Session, "unfinished" | "slice" | "inbox"> {
  readonly approvals: readonly CallApproval[];
  readonly open: Calls;
}

/** Calls, and the runs to which they delegate. */
interface Calls {
  readonly calls: readonly ToolCall[];
  readonly children: readonly ChildRun[];
}

/** What a worker finds when it has leased a run: everything that it decides from. */
export async function openSession(run: RunRow): Promise<Session> {
  if (isPlain(run)) return openPlain(run, await readBasis(run, run.id));
  return complete(run, await withTenantByKey(run, (tx) => readState(tx, run.id)));
}

/** Nothing was asked of anybody yet, nothing is left unfinished, and no money is held for it. */
function isPlain({ stepNumber, forkedFromSeq, budgeted, unreadInputs }: RunRow): boolean {
  return stepNumber === 0 && forkedFromSeq === null && !budgeted && unreadInputs === 0;
}

/** Read for all that the tenant begins at one moment. */
const readBasis = openGroupRead(readBases);

/** What these new runs decide from, in their order; issues its statements at once. */
export async function readBases(tx: Tx, runIds: readonly string[]): Promise<Basis[]> {
  const [histories, policies] = await Promise.all([readHistories(tx, runIds), readPoliciesOfRuns(tx, runIds)]);
  return runIds.map((id) => ({ history: histories.get(id) ?? [], policies }));
}

/** The session of a new run that was leased. */
export async function openPlain(run: RunRow, { history, policies }: Basis): Promise<Session> {
  return {
    ...{ caller: callerOfStarter(run), run, history, policies: policiesFor(policies, run.agentKey) },
    version: await findVersionOnce(run, run.agentVersionId),
    ...{ calls: new Map(), approvals: new Map(), children: new Map() },
    ...{ unfinished: undefined, slice: undefined, inbox: [] },
  };
}

/** The same, after somebody else changed the run. @throws AGENT_RUN_LEASE_LOST */
export async function reopenSession({ run: { tenantId, id, fence } }: Session): Promise<Session> {
  // The run first: of what is changed while it is read, its revision tells.
  const [[run], state] = await withTenantByKey({ tenantId }, (tx) =>
    Promise.all([tx.sql<RunRow>`SELECT * FROM agent.run WHERE id = ${id} AND fence = ${fence}`, readState(tx, id)]),
  );
  if (!run) throw errors.AGENT_RUN_LEASE_LOST();
  return complete(run, state);
}

/** Of any run; issues its statements at once. `callId`: a call that may be open. */
export async function readState(tx: Tx, runId: string, callId?: string): Promise<State> {
  const [[basis], approvals, unfinished, slice, inbox, open] = await Promise.all([
    readBases(tx, [runId]),
    readApprovalsOfRun(tx, runId),
    readUnfinished(tx, runId),
    findSlice(tx, { tenantId: tx.tenantId! }, runId),
    readInbox(tx, runId),
    callId === undefined ? { calls: [], children: [] } : readCalls(tx, [callId]),
  ]);
  return { ...basis!, approvals, unfinished, slice, inbox, open };
}

async function readCalls(tx: Tx, ids: readonly string[]): Promise<Calls> {
  const scope = { tenantId: tx.tenantId! };
  const [calls, children] = await Promise.all([readToolCalls(tx, scope, ids), readChildren(tx, ids)]);
  return { calls, children };
}

/** The session of a run that was leased, from what was read of it since. */
export async function complete(run: RunRow, { approvals, policies, open, ...state }: State): Promise<Session> {
  const ids = openCallIds(state.history, run.id);
  const known = ids.every((id) => open.calls.some((call) => call.id === id));
  const [version, { calls, children }] = await Promise.all([
    findVersionOnce(run, run.agentVersionId),
    known ? open : withTenantByKey(run, (tx) => readCalls(tx, ids)),
  ]);
  return {
    ...{ caller: callerOfStarter(run), run, version, ...state, policies: policiesFor(policies, run.agentKey) },
    calls: new Map(calls.filter(({ id }) => ids.includes(id)).map((call) => [call.id, call])),
    approvals: new Map(approvals.map((approval) => [approval.toolCallId!, approval])),
    children: new Map(children.filter(({ id }) => ids.includes(id)).map((child) => [child.id, child])),
  };
}
