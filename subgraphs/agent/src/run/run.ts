import type { Caller } from "@sba/platform/caller";
import { withTenant, withTenantOnce, type Tx } from "@sba/platform/db";
import { appendEvents } from "@sba/platform/events";
import type { Message } from "@sba/platform/generated/prisma/client";
import { openGroupRead } from "@sba/platform/group";
import { claimKey, once, type IdempotentOperation } from "@sba/platform/idempotency";
import { newId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { readStartLimits, type StartLimits } from "@sba/billing/index";
import type { BusyThreadPolicy } from "../agent/agent.ts";
import { getAgentForRun, type AgentForRun } from "../agent/version.ts";
import { errors } from "../errors.ts";
import { runStatusChanged, runStream } from "../events.ts";
import { appendInput } from "../thread/message.ts";
import { lockThread, nextRunId, requireThreadOf, type LockedThread } from "../thread/thread.ts";
import { insertRun } from "./accept.ts";
import { admitRun } from "./admission.ts";
import { requireStartBudget } from "./budget.ts";
import { joinThread } from "./busy-thread.ts";
import { lockRun, requireMayTell, tellersWith } from "./lock.ts";
import { readRuns, type Run } from "./read.ts";
import type { RunStatus } from "./run.state.ts";
import { rememberBasis, startTogether } from "./start-together.ts";
import { wakeRun } from "./wake.ts";

export interface RunOptions {
  /** BCP 47, what the answer should be written in. */
  readonly locale?: string;
  /** How many passages a look-up returns. */
  readonly topK?: number;
  readonly maxSteps?: number;
  /** What the run may cost at most; a step that could exceed it is not begun. */
  readonly budgetMicros?: string;
  /** How long it may take, waits included: after that it begins no step. */
  readonly timeoutSeconds?: number;
  /** What becomes of the run when its thread is busy; by default what its agent says. */
  readonly onBusyThread?: BusyThreadPolicy;
}

export const DEFAULT_MAX_STEPS = 50;

export interface StartRunInput {
  readonly agentKey: string;
  readonly prompt: string;
  readonly options?: RunOptions;
  /** Goes on with a thread, when its last run has ended or as `onBusyThread` says; a new thread when absent. */
  readonly threadId?: string;
  readonly idempotencyKey?: string | undefined;
}

/**
 * Accepts a run: its row, first event, first message, meter and wake-up in one transaction. Returns its UUID.
 * Idempotent by key.
 * @throws AGENT_AGENT_NOT_FOUND, AGENT_THREAD_NOT_FOUND, AGENT_THREAD_BUSY, AGENT_THREAD_QUEUE_FULL,
 * AGENT_THREAD_OF_OTHER_AGENT, IDEMPOTENCY_KEY_REUSED, BILLING_BUDGET_EXHAUSTED, BILLING_QUOTA_EXCEEDED, PERMISSION_MISSING,
 * TENANT_SUSPENDED
 */
export async function startRun(caller: Caller, input: StartRunInput): Promise<string> {
  return (await startTogether(caller, input))?.id ?? startAlone(caller, input);
}

/** The same, and the run as it was accepted: of the same round trip, when that was one. */
export async function startAndReadRun(caller: Caller, input: StartRunInput): Promise<Run> {
  return (await startTogether(caller, input)) ?? getRun(caller, await startAlone(caller, input));
}

function startAlone(caller: Caller, input: StartRunInput): Promise<string> {
  return withTenant(caller, async (tx) => {
    const start = await prepareStart(tx, caller, input);
    if (start.repeats) return start.id;
    const admission = await admitRun(tx, caller, start, start.limits);
    await tx.finish(() => {
      void insertRun(tx, caller, start, { admission, announcesEnd: false });
      return Promise.resolve();
    });
    if (admission.slot === null && !admission.budgeted) rememberBasis(caller, start);
    return start.id;
  });
}

/** As `startRun`, in the transaction of a higher domain, which hears of the run's end. */
export async function startRunIn(tx: Tx, caller: Caller, input: StartRunInput): Promise<string> {
  const start = await prepareStart(tx, caller, input);
  return start.repeats ? start.id : acceptRun(tx, caller, start, { announcesEnd: true });
}

/** Accepts what was prepared, in the transaction that prepared it. Returns the run's UUID. */
export async function acceptRun(
  tx: Tx,
  caller: Caller,
  start: PreparedStart,
  { announcesEnd = false }: { readonly announcesEnd?: boolean } = {},
): Promise<string> {
  const admission = await admitRun(tx, caller, start, start.limits);
  void insertRun(tx, caller, start, { admission, announcesEnd });
  return start.id;
}

/** A run that is to be accepted. */
export interface RunStart {
  readonly id: string;
  readonly input: Pick<StartRunInput, "prompt" | "options">;
  readonly agent: Pick<AgentForRun, "id" | "key" | "version">;
  /** Undefined for a new thread. */
  readonly threadId: string | undefined;
  /** What the run is told instead of its prompt alone. */
  readonly said?: readonly Message[];
  /** It begins when the runs of its thread before it have ended. */
  readonly waitsForThread?: boolean;
  /** Another run delegates it: it is under way on that run's slot. */
  readonly isChild?: boolean;
}

export interface PreparedStart extends RunStart {
  /** The same request made this run before. */
  readonly repeats: boolean;
  readonly limits: StartLimits;
}

async function prepareStart(tx: Tx, caller: Caller, input: StartRunInput): Promise<PreparedStart> {
  const { idempotencyKey, ...request } = input;
  requireStartBudget(input.options);
  const thread = input.threadId === undefined ? undefined : await lockThread(tx, input.threadId);
  const operation = { operation: "startRun", key: idempotencyKey, input: request };
  return prepareInThread(tx, caller, request, { thread, operation, policy: input.options?.onBusyThread });
}

export interface PrepareOptions {
  /** Undefined for a new thread. */
  readonly thread: LockedThread | undefined;
  readonly operation: IdempotentOperation;
  /** What becomes of it when the thread is busy; by default what the agent says. */
  readonly policy?: BusyThreadPolicy | undefined;
}

/**
 * What a start needs to be accepted, in a thread that is locked.
 * @throws AGENT_AGENT_NOT_FOUND, AGENT_THREAD_BUSY, AGENT_THREAD_QUEUE_FULL, AGENT_THREAD_OF_OTHER_AGENT, IDEMPOTENCY_KEY_REUSED,
 * PERMISSION_MISSING
 */
export async function prepareInThread(
  tx: Tx,
  caller: Caller,
  input: Omit<StartRunInput, "idempotencyKey">,
  { thread, operation, policy }: PrepareOptions,
): Promise<PreparedStart> {
  const id = thread ? nextRunId(thread) : newId();
  // What does not wait for another's answer is sent together, in order: one round trip.
  const [earlier, agent, limits] = await Promise.all([
    claimKey(tx, caller, operation, id),
    getAgentForRun(tx, input.agentKey),
    readStartLimits(tx, caller),
  ]);
  const start = { id: earlier ?? id, repeats: earlier !== undefined, input, agent, threadId: thread?.id, limits };
  if (!thread || start.repeats) return start;
  requireThreadOf(thread, agent.id);
  const joined = { thread, runId: id, policy: policy ?? (agent.onBusyThread as BusyThreadPolicy) };
  return { ...start, waitsForThread: await joinThread(tx, caller, joined) };
}

export interface ContinueRunInput {
  readonly runId: string;
  readonly input: string;
  readonly idempotencyKey?: string | undefined;
}

/**
 * Answers a run that asked for input.
 * @throws AGENT_RUN_NOT_FOUND, AGENT_RUN_NOT_AWAITING_INPUT, IDEMPOTENCY_KEY_REUSED, PERMISSION_MISSING
 */
export async function continueRun(caller: Caller, { runId, input, idempotencyKey }: ContinueRunInput): Promise<string> {
  return withTenant(caller, async (tx) => {
    const run = await lockRun(tx, runId);
    const operation = { operation: "continueRun", key: idempotencyKey, input: { runId, input } };
    return once(tx, caller, operation, runId, async () => {
      if (run.status !== "AWAITING_INPUT") {
        throw errors.AGENT_RUN_NOT_AWAITING_INPUT({ details: { status: run.status } });
      }
      await requireMayTell(tx, caller, run);
      await appendInput(tx, caller, runId, input);
      const toldBy = tellersWith(run, [caller.principalId]);
      await tx.sql`UPDATE agent.run SET status = 'EXECUTING', told_by = ${toldBy}::uuid[] WHERE id = ${runId}`;
      await appendEvents(tx, caller, runStream(runId), [runStatusChanged({ from: run.status, to: "EXECUTING" })]);
      wakeRun(tx, runId);
    });
  });
}

/** The run. @throws AGENT_RUN_NOT_FOUND */
export async function getRun(caller: Caller, runId: string): Promise<Run> {
  const run = await readRun(caller, runId);
  if (!run) throw errors.AGENT_RUN_NOT_FOUND();
  return run;
}

/** The runs with these UUIDs that the tenant has, each with its last seq, of one snapshot. */
export async function findRuns(caller: Caller, ids: readonly string[]): Promise<Run[]> {
  const runs = await Promise.all(ids.map((id) => readRun(caller, id)));
  return runs.filter((run) => run !== undefined);
}

const readRun = openGroupRead(readRuns);

/** What these runs (UUIDs) delegated, each with its last seq, oldest first. */
export function findChildrenOfRuns(caller: Caller, parentIds: readonly string[]): Promise<Run[]> {
  return withTenantOnce(
    caller,
    (tx) => tx.sql<Run>`
    SELECT r.*, s.last_seq FROM agent.run r JOIN platform.stream s ON s.id = 'run:' || r.id
    WHERE r.parent_run_id = ANY(${[...parentIds]}::uuid[]) ORDER BY r.id`,
  );
}

export interface RunFilter {
  readonly status?: readonly RunStatus[] | undefined;
  readonly agentKey?: string | undefined;
  readonly threadId?: string | undefined;
  readonly createdAfter?: Date | undefined;
  readonly createdBefore?: Date | undefined;
  /** UUID of a principal. */
  readonly startedBy?: string | undefined;
}

/** The tenant's runs, newest first. */
export async function listRuns(caller: Caller, page: PageRequest, filter: RunFilter = {}): Promise<Page<Run>> {
  const before = decodeIdCursor(page.after) ?? null;
  const status = filter.status ? [...filter.status] : null;
  const rows = await withTenantOnce(
    caller,
    (tx) => tx.sql<Run>`
    SELECT r.*, s.last_seq FROM agent.run r JOIN platform.stream s ON s.id = 'run:' || r.id
    WHERE (${before}::uuid IS NULL OR r.id < ${before}::uuid)
      AND (${status}::text[] IS NULL OR r.status = ANY(${status}::text[]))
      AND (${filter.agentKey ?? null}::text IS NULL OR r.agent_key = ${filter.agentKey ?? null}::text)
      AND (${filter.threadId ?? null}::uuid IS NULL OR r.thread_id = ${filter.threadId ?? null}::uuid)
      AND (${filter.createdAfter ?? null}::timestamptz IS NULL OR r.created_at > ${filter.createdAfter ?? null}::timestamptz)
      AND (${filter.createdBefore ?? null}::timestamptz IS NULL OR r.created_at < ${filter.createdBefore ?? null}::timestamptz)
      AND (${filter.startedBy ?? null}::uuid IS NULL OR r.started_by = ${filter.startedBy ?? null}::uuid)
    ORDER BY r.id DESC LIMIT ${page.first + 1}`,
  );
  return toPage(rows, page.first);
}
