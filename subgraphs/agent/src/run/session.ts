import { callerOfStarter, type Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import type { NewEvent } from "@sba/platform/events";
import type { AgentVersion, Message, Run as RunRow, RunInput } from "@sba/platform/generated/prisma/client";
import { openGroupRead } from "@sba/platform/group";
import { newId } from "@sba/platform/ids";
import { findSlice, type Slice } from "@sba/billing/index";
import { readToolCalls, type ToolCall } from "@sba/integrations/index";
import { getAgentVersion } from "../agent/version.ts";
import { readApprovalsOfRun, type CallApproval } from "../approval/of-run.ts";
import { readPolicies, type ApprovalPolicy } from "../approval/policy.ts";
import { errors } from "../errors.ts";
import { readUnfinished, type Unfinished } from "../step/step.ts";
import { openCallIds, readHistories, readHistory, readInbox, type NewMessage } from "../thread/message.ts";
import { DELEGATE } from "../tool/agent-delegate.ts";
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

/** What a worker finds when it has leased a run: everything that it decides from. */
export async function openSession(run: RunRow): Promise<Session> {
  const caller = callerOfStarter(run);
  if (isNew(run) && !run.budgeted && run.unreadInputs === 0) return { ...(await readBasis(run, run)), caller, run };
  return withTenant(caller, async (tx) => readSession(tx, caller, run));
}

/** Nothing was asked of anybody yet, and nothing is left unfinished. */
function isNew({ stepNumber, forkedFromSeq }: RunRow): boolean {
  return stepNumber === 0 && forkedFromSeq === null;
}

/** What new runs decide from; read for all that the tenant begins at one moment. */
const readBasis = openGroupRead<RunRow, Omit<Session, "caller" | "run">>(async (tx, runs) => {
  const versionIds = [...new Set(runs.map(({ agentVersionId }) => agentVersionId))];
  const agentKeys = [...new Set(runs.map(({ agentKey }) => agentKey))];
  const [histories, versions, policies] = await Promise.all([
    readHistories(tx, runs),
    byKey(versionIds, (id) => getAgentVersion(tx, id)),
    byKey(agentKeys, (key) => readPolicies(tx, key)),
  ]);
  return runs.map((run) => ({
    version: versions.get(run.agentVersionId)!,
    history: histories.get(run.id) ?? [],
    policies: policies.get(run.agentKey)!,
    ...{
      calls: new Map(),
      approvals: new Map(),
      children: new Map(),
      unfinished: undefined,
      slice: undefined,
      inbox: [],
    },
  }));
});

async function byKey<Value>(
  keys: readonly string[],
  read: (key: string) => Promise<Value>,
): Promise<Map<string, Value>> {
  return new Map(await Promise.all(keys.map(async (key): Promise<[string, Value]> => [key, await read(key)])));
}

/** The same, after somebody else changed the run. @throws AGENT_RUN_LEASE_LOST */
export async function reopenSession({ caller, run: { id, fence } }: Session): Promise<Session> {
  return withTenant(caller, async (tx) => {
    const [run] = await tx.sql<RunRow>`SELECT * FROM agent.run WHERE id = ${id} AND fence = ${fence}`;
    if (!run) throw errors.AGENT_RUN_LEASE_LOST();
    return readSession(tx, caller, run);
  });
}

async function readSession(tx: Tx, caller: Caller, run: RunRow): Promise<Session> {
  const [version, history, policies, approvals, unfinished, slice, inbox] = await Promise.all([
    getAgentVersion(tx, run.agentVersionId),
    readHistory(tx, run),
    readPolicies(tx, run.agentKey),
    isNew(run) ? [] : readApprovalsOfRun(tx, run.id),
    isNew(run) ? undefined : readUnfinished(tx, run),
    run.budgeted ? findSlice(tx, caller, run.id) : undefined,
    readInbox(tx, run),
  ]);
  const open = openCallIds(history, run.id);
  const calls = open.length === 0 ? [] : await readToolCalls(tx, caller, open);
  const delegated = calls.filter(({ name }) => name === DELEGATE).map(({ id }) => id);
  const children = delegated.length === 0 ? [] : await readChildren(tx, delegated);
  return {
    ...{ caller, run, version, history, policies, unfinished, slice, inbox },
    calls: new Map(calls.map((call) => [call.id, call])),
    approvals: new Map(approvals.map((approval) => [approval.toolCallId!, approval])),
    children: new Map(children.map((child) => [child.id, child])),
  };
}
