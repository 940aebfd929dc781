import { readStartLimits } from "@sba/billing/index";
import { narrowCaller, requirePermission, type Caller } from "@sba/platform/caller";
import { json, withTenant, type Tx } from "@sba/platform/db";
import { lastSeq } from "@sba/platform/events";
import type { AgentVersion, Run as RunRow } from "@sba/platform/generated/prisma/client";
import { once } from "@sba/platform/idempotency";
import { newId } from "@sba/platform/ids";
import { getAgentVersion, readVersionByNumber } from "../agent/version.ts";
import { errors } from "../errors.ts";
import { runStream } from "../events.ts";
import { recordedMessages } from "../thread/fork.ts";
import { readHistory } from "../thread/message.ts";
import { admitRun } from "./admission.ts";
import { requireStartBudget } from "./budget.ts";
import { insertRun } from "./accept.ts";
import type { RunOptions, RunStart } from "./run.ts";

/**
 * A run that goes on from any event of another: with what was said and what tools had answered when that event was committed,
 * and nothing called again. What it does from there is its own. It begins a thread of its own, since the other's goes on
 * without it.
 */

export interface ForkRunInput {
  /** UUID of the run that it goes on from; that run may have ended or still be under way. */
  readonly runId: string;
  /** The last event that it knows, from 1. */
  readonly fromSeq: number;
  /** The version of the same agent that goes on; the run's own when absent. */
  readonly agentVersion?: number | undefined;
  /** What the person says from there: in place of what was said last if nothing had followed it, else after it. */
  readonly prompt?: string | undefined;
  readonly idempotencyKey?: string | undefined;
}

/**
 * Starts a fork of a run, on behalf of the caller, with no permission that the run did not have. Returns its UUID. Idempotent by
 * key.
 * @throws AGENT_RUN_NOT_FOUND, AGENT_FORK_SEQ_INVALID, AGENT_AGENT_VERSION_NOT_FOUND, BILLING_BUDGET_EXHAUSTED,
 * BILLING_QUOTA_EXCEEDED, IDEMPOTENCY_KEY_REUSED, PERMISSION_MISSING
 */
export async function forkRun(caller: Caller, { idempotencyKey, ...input }: ForkRunInput): Promise<string> {
  requirePermission(caller, "run:start");
  // What a fork answers tells what the run was told.
  requirePermission(caller, "run:read");
  return withTenant(caller, (tx) => {
    const operation = { operation: "forkRun", key: idempotencyKey, input };
    return once(tx, caller, operation, newId(), (id) => fork(tx, caller, id, input));
  });
}

async function fork(tx: Tx, caller: Caller, id: string, input: Omit<ForkRunInput, "idempotencyKey">): Promise<void> {
  const { runId, fromSeq, agentVersion, prompt } = input;
  const [run, seq] = await Promise.all([findRun(tx, runId), lastSeq(tx, runStream(runId))]);
  if (!run) throw errors.AGENT_RUN_NOT_FOUND();
  if (fromSeq < 1 || fromSeq > seq) throw errors.AGENT_FORK_SEQ_INVALID({ details: { fromSeq, lastSeq: seq } });
  const [version, history, limits] = await Promise.all([
    findVersion(tx, run, agentVersion),
    readHistory(tx, run, fromSeq),
    readStartLimits(tx, caller),
  ]);
  const options = run.options as RunOptions;
  requireStartBudget(options);
  const start: RunStart = {
    id,
    input: { prompt: prompt ?? run.prompt, options },
    agent: { id: run.agentId, key: run.agentKey, version },
    threadId: undefined,
    said: recordedMessages(history, { fromRunId: runId, toRunId: id, prompt }),
  };
  const admission = await admitRun(tx, caller, start, limits);
  void insertRun(tx, narrowCaller(caller, run.permissions), start, { admission, announcesEnd: false });
  await tx.sql`
    UPDATE agent.run SET forked_from_run_id = ${runId}, forked_from_seq = ${fromSeq},
           plan = ${run.plan === null ? null : json(run.plan)}::jsonb WHERE id = ${id}`;
}

async function findRun(tx: Tx, runId: string): Promise<RunRow | undefined> {
  const [run] = await tx.sql<RunRow>`SELECT * FROM agent.run WHERE id = ${runId}`;
  return run;
}

function findVersion(tx: Tx, run: RunRow, number: number | undefined): Promise<AgentVersion> {
  return number === undefined ? getAgentVersion(tx, run.agentVersionId) : readVersionByNumber(tx, run.agentId, number);
}
