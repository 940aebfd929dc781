import type { Caller } from "@sba/platform/caller";
import { json, withTenant, type Tx } from "@sba/platform/db";
import { appendEvents } from "@sba/platform/events";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { once } from "@sba/platform/idempotency";
import { newId } from "@sba/platform/ids";
import { decodeIdCursor, toPage, type Page, type PageRequest } from "@sba/platform/pages";
import { recordUsage } from "@sba/billing/index";
import { getAgentForRun } from "../agent/agent.ts";
import { cancelApprovalsOfRun } from "../approval/approval.ts";
import { errors } from "../errors.ts";
import { runStatusChanged, runStream, usageRecorded } from "../events.ts";
import { resolveModelName } from "../model/index.ts";
import { appendMessage } from "../thread/message.ts";
import { openThread } from "../thread/thread.ts";
import { requireStartBudget, spend, START_USAGE } from "./budget.ts";
import { announceCancel } from "./cancel-signal.ts";
import { assertMove, isEnded, type RunStatus } from "./run.state.ts";
import { usageSnapshot } from "./usage.ts";
import { wakeRun } from "./wake.ts";

/** A run, and the seq of the last event that was committed when it was read: what follows is in the stream after it. */
export type Run = RunRow & { readonly lastSeq: number };

export interface RunOptions {
  /** BCP 47, what the answer should be written in. */
  readonly locale?: string;
  /** How many passages a look-up returns. */
  readonly topK?: number;
  readonly maxSteps?: number;
  /** What the run may cost at most; a step that could exceed it is not begun. */
  readonly budgetMicros?: string;
}

export const DEFAULT_MAX_STEPS = 50;

export interface StartRunInput {
  readonly agentKey: string;
  readonly prompt: string;
  readonly options?: RunOptions;
  /** Goes on with a thread whose last run has ended; a new thread when absent. */
  readonly threadId?: string;
  readonly idempotencyKey?: string | undefined;
}

/**
 * Accepts a run: its row, first event, first message, meter and wake-up in one transaction. Returns its UUID.
 * Idempotent by key.
 * @throws AGENT_AGENT_NOT_FOUND, AGENT_THREAD_NOT_FOUND, AGENT_THREAD_BUSY, AGENT_THREAD_OF_OTHER_AGENT, IDEMPOTENCY_KEY_REUSED,
 * BILLING_BUDGET_EXHAUSTED
 */
export function startRun(caller: Caller, input: StartRunInput): Promise<string> {
  return withTenant(caller, (tx) => startRunIn(tx, caller, input));
}

/** As `startRun`, in the caller's transaction. */
export function startRunIn(tx: Tx, caller: Caller, input: StartRunInput): Promise<string> {
  const { idempotencyKey, ...request } = input;
  return once(tx, caller, { operation: "startRun", key: idempotencyKey, input: request }, newId(), (id) =>
    insertRun(tx, caller, id, request),
  );
}

async function insertRun(tx: Tx, caller: Caller, id: string, input: StartRunInput): Promise<void> {
  requireStartBudget(input.options);
  const agent = await getAgentForRun(tx, input.agentKey);
  const threadId = await openThread(tx, caller, { threadId: input.threadId, agentId: agent.id });
  const inserted = tx.sql`
    INSERT INTO agent.run (tenant_id, id, thread_id, agent_id, agent_version_id, agent_key, model, status, prompt, options,
                           started_by, started_by_kind, permissions, request_id, due_at)
    VALUES (${caller.tenantId}, ${id}, ${threadId}, ${agent.id}, ${agent.version.id}, ${agent.key},
            ${resolveModelName(agent.version.model)}, 'CREATED', ${input.prompt}, ${json(input.options ?? {})}::jsonb,
            ${caller.principalId}, ${caller.principalKind}, ${[...caller.permissions]}::text[], ${caller.requestId}, clock_timestamp())`;
  // What does not wait for another's answer is sent together, in order: one round trip.
  const [usage] = await Promise.all([
    recordUsage(tx, caller, { key: `run:${id}`, lines: START_USAGE, runId: id, agentKey: agent.key }),
    inserted,
    appendMessage(tx, caller, { runId: id, role: "user", text: input.prompt }),
  ]);
  await Promise.all([
    spend(tx, id, usage),
    appendEvents(tx, caller, runStream(id), [
      runStatusChanged({ from: null, to: "CREATED" }),
      usageRecorded({ usage: usage.map(usageSnapshot) }),
    ]),
    wakeRun(tx, caller, id),
  ]);
}

/** The run, locked until the transaction ends. @throws AGENT_RUN_NOT_FOUND */
export async function lockRun(tx: Tx, runId: string): Promise<RunRow> {
  const [run] = await tx.sql<RunRow>`SELECT * FROM agent.run WHERE id = ${runId} FOR UPDATE`;
  if (!run) throw errors.AGENT_RUN_NOT_FOUND();
  return run;
}

export interface ContinueRunInput {
  readonly runId: string;
  readonly input: string;
  readonly idempotencyKey?: string | undefined;
}

/**
 * Answers a run that asked for input.
 * @throws AGENT_RUN_NOT_FOUND, AGENT_RUN_NOT_AWAITING_INPUT, IDEMPOTENCY_KEY_REUSED
 */
export async function continueRun(caller: Caller, { runId, input, idempotencyKey }: ContinueRunInput): Promise<string> {
  return withTenant(caller, async (tx) => {
    const run = await lockRun(tx, runId);
    const operation = { operation: "continueRun", key: idempotencyKey, input: { runId, input } };
    return once(tx, caller, operation, runId, async () => {
      if (run.status !== "AWAITING_INPUT") {
        throw errors.AGENT_RUN_NOT_AWAITING_INPUT({ details: { status: run.status } });
      }
      await appendMessage(tx, caller, { runId, role: "user", text: input });
      await tx.sql`UPDATE agent.run SET status = 'EXECUTING', due_at = clock_timestamp() WHERE id = ${runId}`;
      await appendEvents(tx, caller, runStream(runId), [runStatusChanged({ from: run.status, to: "EXECUTING" })]);
      await wakeRun(tx, caller, runId);
    });
  });
}

export interface CancelRunInput {
  readonly runId: string;
  readonly reason?: string | undefined;
}

/**
 * Asks a run to end: it passes CANCELLING, what runs is aborted, what it has done is kept. Repeating it changes nothing.
 * @throws AGENT_RUN_NOT_FOUND, AGENT_RUN_ENDED
 */
export async function cancelRun(caller: Caller, { runId, reason }: CancelRunInput): Promise<void> {
  await withTenant(caller, async (tx) => {
    const run = await lockRun(tx, runId);
    if (run.status === "CANCELLING") return;
    if (isEnded(run.status)) throw errors.AGENT_RUN_ENDED({ details: { status: run.status } });
    assertMove(run.status, "CANCELLING");
    await tx.sql`
      UPDATE agent.run SET status = 'CANCELLING', cancel_reason = ${reason ?? null}, due_at = clock_timestamp() WHERE id = ${runId}`;
    await cancelApprovalsOfRun(tx, caller, runId);
    await appendEvents(tx, caller, runStream(runId), [runStatusChanged({ from: run.status, to: "CANCELLING" })]);
    await wakeRun(tx, caller, runId);
    tx.afterCommit(() => {
      announceCancel(runId);
    });
  });
}

/** The run. @throws AGENT_RUN_NOT_FOUND */
export async function getRun(caller: Caller, runId: string): Promise<Run> {
  const [run] = await findRuns(caller, [runId]);
  if (!run) throw errors.AGENT_RUN_NOT_FOUND();
  return run;
}

/** The runs with these UUIDs that the tenant has, each with its last seq, of one snapshot. */
export function findRuns(caller: Caller, ids: readonly string[]): Promise<Run[]> {
  return withTenant(
    caller,
    (tx) => tx.sql<Run>`
    SELECT r.*, s.last_seq FROM agent.run r JOIN platform.stream s ON s.id = 'run:' || r.id
    WHERE r.id = ANY(${[...ids]}::uuid[])`,
  );
}

export interface RunFilter {
  readonly status?: readonly RunStatus[] | undefined;
  readonly agentKey?: string | undefined;
  readonly threadId?: string | undefined;
  readonly createdAfter?: Date | undefined;
  readonly createdBefore?: Date | undefined;
}

/** The tenant's runs, newest first. */
export async function listRuns(caller: Caller, page: PageRequest, filter: RunFilter = {}): Promise<Page<Run>> {
  const before = decodeIdCursor(page.after) ?? null;
  const status = filter.status ? [...filter.status] : null;
  const rows = await withTenant(
    caller,
    (tx) => tx.sql<Run>`
    SELECT r.*, s.last_seq FROM agent.run r JOIN platform.stream s ON s.id = 'run:' || r.id
    WHERE (${before}::uuid IS NULL OR r.id < ${before}::uuid)
      AND (${status}::text[] IS NULL OR r.status = ANY(${status}::text[]))
      AND (${filter.agentKey ?? null}::text IS NULL OR r.agent_key = ${filter.agentKey ?? null}::text)
      AND (${filter.threadId ?? null}::uuid IS NULL OR r.thread_id = ${filter.threadId ?? null}::uuid)
      AND (${filter.createdAfter ?? null}::timestamptz IS NULL OR r.created_at > ${filter.createdAfter ?? null}::timestamptz)
      AND (${filter.createdBefore ?? null}::timestamptz IS NULL OR r.created_at < ${filter.createdBefore ?? null}::timestamptz)
    ORDER BY r.id DESC LIMIT ${page.first + 1}`,
  );
  return toPage(rows, page.first);
}
