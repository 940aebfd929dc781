import { callerOfStarter, type Caller, type TenantScope } from "@sba/platform/caller";
import { withTenantOnce, type Tx } from "@sba/platform/db";
import type { NewEvent } from "@sba/platform/events";
import type { AgentVersion, Message, Run as RunRow, RunInput } from "@sba/platform/generated/prisma/client";
import { openGroupRead } from "@sba/platform/group-read";
import { newId } from "@sba/platform/ids";
import { findSlice, type Slice } from "@sba/billing/index";
import { readToolCalls, type ToolCall } from "@sba/integrations/index";
import { findVersionOnce } from "../agent/version.ts";
import { readApprovalsOfRun, type CallApproval } from "../approval/of-run.ts";
import { policiesFor, readPoliciesInForce, type ApprovalPolicy } from "../approval/policy.ts";
import { errors } from "../errors.ts";
import { readUnfinished, type Unfinished } from "../step/step.ts";
import { openCallIds, readHistories, readInbox, type NewMessage } from "../thread/message.ts";
import { readChildren, type ChildRun } from "./child-end.ts";
import { takeLeases } from "./lease.ts";

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

/** What a worker finds when it has leased a run: everything that it decides from. */
export async function openSession(run: RunRow): Promise<Session> {
  const caller = callerOfStarter(run);
  if (isPlain(run)) return openPlain(run, await readBasis(run, run.id));
  return complete(caller, run, await withTenantOnce(caller, (tx) => readState(tx, caller, run.id, run)));
}

/** The same, after somebody else changed the run. @throws AGENT_RUN_LEASE_LOST */
export async function reopenSession({ caller, run: { id, fence } }: Session): Promise<Session> {
  const [[run], state] = await withTenantOnce(caller, (tx) =>
    Promise.all([
      tx.sql<RunRow>`SELECT * FROM agent.run WHERE id = ${id} AND fence = ${fence}`,
      readState(tx, caller, id),
    ]),
  );
  if (!run) throw errors.AGENT_RUN_LEASE_LOST();
  return complete(caller, run, state);
}

/** A run that was leased just now, and what is known of it from the same round trip. */
export interface Claimed {
  readonly run: RunRow;
  open(): Promise<Session>;
}

/**
 * Leases a run that was accepted just now, with those that the tenant had accepted at the same moment, and reads what new runs decide
 * from: one round trip. Undefined when there is nothing to do.
 */
export const claimStarted = openGroupRead<string, Claimed | undefined>(async (tx, ids) => {
  const [runs, basisOf] = await Promise.all([takeLeases(tx, ids), readBases(tx, ids)]);
  const byId = new Map(runs.map((run) => [run.id, run]));
  return ids.map((id): Claimed | undefined => {
    const run = byId.get(id);
    return run && { run, open: () => (isPlain(run) ? openPlain(run, basisOf(id)) : openSession(run)) };
  });
});

/** The same of a run that had waited. */
export async function claimWoken(scope: TenantScope, id: string): Promise<Claimed | undefined> {
  const [[run], state] = await withTenantOnce(scope, (tx) =>
    Promise.all([takeLeases(tx, [id]), readState(tx, scope, id)]),
  );
  return run && { run, open: () => complete(callerOfStarter(run), run, state) };
}

/** Nothing was asked of anybody yet, nothing is left unfinished, and no money is held for it. */
function isPlain({ stepNumber, forkedFromSeq, budgeted, unreadInputs }: RunRow): boolean {
  return stepNumber === 0 && forkedFromSeq === null && !budgeted && unreadInputs === 0;
}

/** What new runs decide from. */
interface Basis {
  readonly history: readonly Message[];
  /** Of every agent. */
  readonly policies: readonly ApprovalPolicy[];
}

/** Read for all that the tenant begins at one moment. */
const readBasis = openGroupRead<string, Basis>(async (tx, ids) => ids.map(await readBases(tx, ids)));

async function readBases(tx: Tx, ids: readonly string[]): Promise<(id: string) => Basis> {
  const [histories, policies] = await Promise.all([readHistories(tx, ids), readPoliciesInForce(tx)]);
  return (id) => ({ history: histories.get(id) ?? [], policies });
}

async function openPlain(run: RunRow, { history, policies }: Basis): Promise<Session> {
  return {
    ...{ caller: callerOfStarter(run), run, history, policies: policiesFor(policies, run.agentKey) },
    version: await findVersionOnce(run, run.agentVersionId),
    ...{ calls: new Map(), approvals: new Map(), children: new Map() },
    ...{ unfinished: undefined, slice: undefined, inbox: [] },
  };
}

/** What any run decides from, as far as it can be read without having read the run. */
interface State extends Basis, Pick<Session, "unfinished" | "slice" | "inbox"> {
  readonly approvals: readonly CallApproval[];
}

/** Issues its statements at once; of a run that was read, none for what it has not got. */
async function readState(tx: Tx, scope: TenantScope, id: string, run?: RunRow): Promise<State> {
  const [basisOf, approvals, unfinished, slice, inbox] = await Promise.all([
    readBases(tx, [id]),
    readApprovalsOfRun(tx, id),
    readUnfinished(tx, id),
    run?.budgeted === false ? undefined : findSlice(tx, scope, id),
    run?.unreadInputs === 0 ? [] : readInbox(tx, id),
  ]);
  return { ...basisOf(id), approvals, unfinished, slice, inbox };
}

async function complete(caller: Caller, run: RunRow, { approvals, policies, ...state }: State): Promise<Session> {
  const open = openCallIds(state.history, run.id);
  const [version, [calls, children]] = await Promise.all([
    findVersionOnce(run, run.agentVersionId),
    open.length === 0 ? NO_CALLS : readCalls(caller, open),
  ]);
  return {
    ...{ caller, run, version, ...state, policies: policiesFor(policies, run.agentKey) },
    calls: new Map(calls.map((call) => [call.id, call])),
    approvals: new Map(approvals.map((approval) => [approval.toolCallId!, approval])),
    children: new Map(children.map((child) => [child.id, child])),
  };
}

type Calls = readonly [calls: readonly ToolCall[], children: readonly ChildRun[]];
const NO_CALLS: Calls = [[], []];

/** These calls, and the runs that they delegated. */
function readCalls(caller: Caller, ids: readonly string[]): Promise<Calls> {
  return withTenantOnce(caller, (tx) => Promise.all([readToolCalls(tx, caller, ids), readChildren(tx, ids)]));
}
