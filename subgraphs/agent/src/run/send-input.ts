import { requirePermission, type Caller } from "@sba/platform/caller";
import { withTenant, type Tx } from "@sba/platform/db";
import { appendEvents } from "@sba/platform/events";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { once, type IdempotentOperation } from "@sba/platform/idempotency";
import { errors } from "../errors.ts";
import { inputReceived, runStatusChanged, runStream } from "../events.ts";
import { lockThread } from "../thread/thread.ts";
import { acceptRun, prepareInThread, type RunOptions } from "./run.ts";
import { lockRun, requireMayTell } from "./lock.ts";
import { isEnded } from "./run.state.ts";
import { wakeRun } from "./wake.ts";

/**
 * What a person says to a run that is under way. STEER is for the run itself; QUEUE and INTERRUPT are for a run of their own in its
 * thread, which begins when this one has ended, by itself or because it is stopped.
 */
export const RUN_INPUT_MODES = ["STEER", "QUEUE", "INTERRUPT"] as const;
export type RunInputMode = (typeof RUN_INPUT_MODES)[number];

export interface SendRunInput {
  /** UUID. */
  readonly runId: string;
  readonly input: string;
  readonly mode: RunInputMode;
  readonly idempotencyKey?: string | undefined;
}

/** Inputs that a run may have unread at the most: they are told together. */
const MAX_UNREAD = 100;

/**
 * Sends a run what a person says, and returns the UUID of the run that answers it. Idempotent by key.
 *
 * STEER: the next model turn of the run is told, once and in the order of sending; a run that would end without takes one more
 * turn. QUEUE: a new run of the same agent and options waits for the thread, unless the run had asked the person, which is then
 * answered. INTERRUPT: the thread's runs are stopped and what they did is kept; a new run begins then. A run that has
 * ended takes no STEER; for the others it is as if it ended just before.
 * @throws AGENT_RUN_NOT_FOUND, AGENT_RUN_ENDED, AGENT_RUN_CANCELLING, AGENT_RUN_INPUTS_FULL, AGENT_THREAD_QUEUE_FULL,
 * BILLING_BUDGET_EXHAUSTED, BILLING_QUOTA_EXCEEDED, IDEMPOTENCY_KEY_REUSED, PERMISSION_MISSING
 */
export function sendRunInput(caller: Caller, { idempotencyKey, ...request }: SendRunInput): Promise<string> {
  const operation = { operation: "sendRunInput", key: idempotencyKey, input: request };
  requirePermission(caller, "run:start");
  return withTenant(caller, (tx) =>
    request.mode === "STEER" ? steer(tx, caller, request, operation) : goOn(tx, caller, request, operation),
  );
}

type Sent = Omit<SendRunInput, "idempotencyKey">;

async function steer(tx: Tx, caller: Caller, sent: Sent, operation: IdempotentOperation): Promise<string> {
  const run = await lockRun(tx, sent.runId);
  return once(tx, caller, operation, run.id, () => putIntoInbox(tx, caller, run, sent));
}

/** The run is locked. It is woken: what it waits for it may go on waiting for, and a question of its model is answered. */
async function putIntoInbox(tx: Tx, caller: Caller, run: RunRow, { input, mode }: Sent): Promise<void> {
  const { id, status } = run;
  if (isEnded(status)) throw errors.AGENT_RUN_ENDED({ details: { status } });
  if (status === "CANCELLING") throw errors.AGENT_RUN_CANCELLING({ details: { status } });
  await requireMayTell(tx, caller, run);
  if (run.unreadInputs >= MAX_UNREAD) throw errors.AGENT_RUN_INPUTS_FULL({ details: { limit: MAX_UNREAD } });
  const [added] = await tx.sql<{ ordinal: number }>`
    INSERT INTO agent.run_input (tenant_id, run_id, ordinal, text, sent_by)
    SELECT ${caller.tenantId}, ${id}, coalesce(max(ordinal), 0) + 1, ${input}, ${caller.principalId} FROM agent.run_input WHERE run_id = ${id}
    RETURNING ordinal`;
  const answers = status === "AWAITING_INPUT";
  await tx.sql`
    UPDATE agent.run SET unread_inputs = unread_inputs + 1, status = CASE WHEN ${answers} THEN 'EXECUTING' ELSE status END WHERE id = ${id}`;
  wakeRun(tx, id);
  await appendEvents(tx, caller, runStream(id), [
    inputReceived({ ordinal: added!.ordinal, mode, text: input, sentBy: caller.principalId, answeringRunId: id }),
    ...(answers ? [runStatusChanged({ from: status, to: "EXECUTING" })] : []),
  ]);
}

async function goOn(tx: Tx, caller: Caller, sent: Sent, operation: IdempotentOperation): Promise<string> {
  const { runId, input, mode } = sent;
  const [found] = await tx.sql<Pick<RunRow, "threadId">>`SELECT thread_id FROM agent.run WHERE id = ${runId}`;
  if (!found) throw errors.AGENT_RUN_NOT_FOUND();
  const thread = await lockThread(tx, found.threadId);
  const run = await lockRun(tx, runId);
  if (mode === "QUEUE" && run.status === "AWAITING_INPUT") {
    return once(tx, caller, operation, runId, () => putIntoInbox(tx, caller, run, sent));
  }
  const request = { agentKey: run.agentKey, prompt: input, options: run.options as RunOptions, threadId: thread.id };
  const policy = mode === "QUEUE" ? "ENQUEUE" : "INTERRUPT";
  const start = await prepareInThread(tx, caller, request, { thread, operation, policy });
  if (start.repeats) return start.id;
  if (!isEnded(run.status)) {
    const received = { ordinal: null, mode, text: input, sentBy: caller.principalId, answeringRunId: start.id };
    await appendEvents(tx, caller, runStream(runId), [inputReceived(received)]);
  }
  return acceptRun(tx, caller, start);
}
