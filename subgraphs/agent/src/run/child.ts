import { leastRunLimit, linkRun, readStartLimits, type StartLimits } from "@sba/billing/index";
import { refuseCall, type ToolCall, type ToolOutcome } from "@sba/integrations/index";
import type { Caller } from "@sba/platform/caller";
import { json, withTenant, type Tx } from "@sba/platform/db";
import { ensureAppError, platformErrors } from "@sba/platform/errors";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { encodeId } from "@sba/platform/ids";
import { getAgentForRun, pinVersion, type ToolHashes } from "../agent/version.ts";
import { errors } from "../errors.ts";
import type { DelegateParams } from "../tool/agent-delegate.ts";
import { insertRun } from "./accept.ts";
import { admitRun } from "./admission.ts";
import { leftOfOwn, requireStartBudget, toolCallCost } from "./budget.ts";
import { deadlineOf } from "./deadline.ts";
import { lockRun } from "./lock.ts";
import { DEFAULT_MAX_STEPS, type RunOptions, type RunStart } from "./run.ts";
import { isEnded } from "./run.state.ts";
import type { Session } from "./session.ts";

/**
 * A run that another one delegates a part of its work to, by a call of `agent.delegate` whose id is its own. It acts for who started
 * the other, and what it may do, spend and take is what the other may, or less. Who had told the other what to do has told it as well. The
 * other waits for it as for an approval.
 */

/** Runs above a run at the most, and runs that one run delegates over its life. */
export const MAX_DEPTH = 3;
export const MAX_CHILDREN = 10;

/**
 * Begins the work of a call; repeating it changes nothing. What keeps it from being begun is an outcome that the model sees.
 * @throws OPERATION_CANCELLED when the run is being cancelled, and what is worth another attempt
 */
export async function beginDelegation(session: Session, call: ToolCall): Promise<ToolOutcome> {
  try {
    await withTenant(session.caller, (tx) => startChild(tx, session, call));
    return { ok: true, result: { runId: encodeId("Run", call.id), output: null }, durationMs: 0 };
  } catch (thrown) {
    const error = ensureAppError(thrown);
    if (error.retryable || error.kind === "cancelled" || error.kind === "internal") throw error;
    return refuseCall(error);
  }
}

async function startChild(tx: Tx, { caller, run: { id: parentId }, calls }: Session, call: ToolCall): Promise<void> {
  const parent = await lockRun(tx, parentId);
  const [begun] = await tx.sql<{ id: string }>`SELECT id FROM agent.run WHERE id = ${call.id}`;
  if (begun) return;
  if (isEnded(parent.status) || parent.status === "CANCELLING") throw platformErrors.OPERATION_CANCELLED();
  if (parent.depth >= MAX_DEPTH) throw errors.AGENT_DELEGATION_TOO_DEEP({ details: { limit: MAX_DEPTH } });
  if (parent.childCount >= MAX_CHILDREN) throw errors.AGENT_DELEGATION_TOO_MANY({ details: { limit: MAX_CHILDREN } });
  const params = call.params as DelegateParams;
  const [agent, limits] = await Promise.all([getAgentForRun(tx, params.agentKey), readStartLimits(tx, caller)]);
  const options = narrowOptions(parent, params, await mayLend(tx, caller, parent, { limits, openCalls: calls.size }));
  requireStartBudget(options);
  const start = { id: call.id, input: { prompt: params.prompt, options }, agent, threadId: undefined, isChild: true };
  const admission = await admitRun(tx, caller, start, limits);
  await insertChild(tx, caller, parent, { start, admission, options });
}

interface Child {
  readonly start: RunStart;
  readonly admission: Awaited<ReturnType<typeof admitRun>>;
  readonly options: RunOptions;
}

async function insertChild(
  tx: Tx,
  caller: Caller,
  parent: RunRow,
  { start, admission, options }: Child,
): Promise<void> {
  void insertRun(tx, caller, start, { admission, announcesEnd: false });
  void tx.sql`
    UPDATE agent.run SET parent_run_id = ${parent.id}, depth = ${parent.depth + 1}, told_by = ${parent.toldBy}::uuid[],
           tool_hashes = ${json(commonTools(parent, start))}::jsonb
    WHERE id = ${start.id}`;
  linkRun(tx, caller, { runId: start.id, parentRunId: parent.id });
  // The worker that began this knows its run only as it was: it looks again before it commits.
  await tx.sql`
    UPDATE agent.run SET child_count = child_count + 1, children_micros = children_micros + ${lentTo(options)}, revision = revision + 1
    WHERE id = ${parent.id}`;
}

/** The tools of the version that the parent may use as well, as they are defined for both. */
function commonTools(parent: RunRow, { agent }: RunStart): ToolHashes {
  const own = parent.toolHashes as unknown as ToolHashes;
  return Object.fromEntries(
    Object.entries(pinVersion(agent.version).toolHashes).filter(([name, hash]) => own[name] === hash),
  );
}

/** What the parent may give away, undefined without any limit: its calls that are open are paid for first. */
async function mayLend(
  tx: Tx,
  caller: Caller,
  parent: RunRow,
  { limits, openCalls }: { readonly limits: StartLimits; readonly openCalls: number },
): Promise<bigint | undefined> {
  const limit = limits.hasBudgets ? await leastRunLimit(tx, caller, parent.id) : undefined;
  const left = [
    leftOfOwn({ run: parent }),
    limit === undefined ? undefined : limit - parent.spentMicros - parent.childrenMicros,
  ].filter((micros) => micros !== undefined);
  const [first, second = first] = left;
  if (first === undefined || second === undefined) return undefined;
  return (first < second ? first : second) - toolCallCost({ run: parent }) * BigInt(openCalls);
}

/** What is asked for as far as the parent has it; without a word about money half of what the parent has left. */
function narrowOptions(
  parent: RunRow,
  { budgetMicros, maxSteps, timeoutSeconds }: DelegateParams,
  lends: bigint | undefined,
): RunOptions {
  const { locale, topK, maxSteps: most = DEFAULT_MAX_STEPS } = parent.options as RunOptions;
  const asked = budgetMicros === undefined ? undefined : BigInt(budgetMicros);
  const budget = lends === undefined ? asked : asked === undefined ? lends / 2n : asked < lends ? asked : lends;
  const deadline = deadlineOf(parent);
  const remainingSeconds = deadline && Math.max(1, Math.floor((deadline.getTime() - Date.now()) / 1000));
  const seconds = Math.min(timeoutSeconds ?? Infinity, remainingSeconds ?? Infinity);
  return {
    ...(locale === undefined ? {} : { locale }),
    ...(topK === undefined ? {} : { topK }),
    maxSteps: Math.min(maxSteps ?? most, most),
    ...(budget === undefined ? {} : { budgetMicros: String(budget < 0n ? 0n : budget) }),
    ...(Number.isFinite(seconds) ? { timeoutSeconds: seconds } : {}),
  };
}

/** What is not its parent's to spend while the run is under way. */
export function lentTo({ budgetMicros = "0" }: RunOptions): bigint {
  return BigInt(budgetMicros);
}
