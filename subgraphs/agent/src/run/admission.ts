import {
  admitRuns,
  estimateCost,
  findAdmitted,
  releaseRunSlot,
  requireMonthlyQuotas,
  reserveSlice,
  returnSlice,
  shareRunSlot,
  takeRunSlot,
  type MeteredLine,
  type PlanQuotas,
  type StartLimits,
} from "@sba/billing/index";
import type { Caller, TenantScope } from "@sba/platform/caller";
import { systemTx, withTenant, type Tx } from "@sba/platform/db";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { logger } from "@sba/platform/log";
import { pinVersion } from "../agent/version.ts";
import { START_USAGE, TOOL_CALL_USAGE, turnUsage } from "./budget.ts";
import type { RunStart } from "./run.ts";
import { nudge } from "./wake.ts";

/**
 * What a run holds of its tenant's quotas and budgets from its start to its end: a slot of the concurrent runs, and a slice. Most
 * tenants have neither, and their runs ask for nothing.
 */
export interface Admission {
  /** Null when the plan has no quotas, or until its thread is free; a run that is WAITING is due when its turn comes. */
  readonly slot: "HELD" | "WAITING" | null;
  /** It holds a slice. */
  readonly budgeted: boolean;
}

/** A turn as it is reserved for with the start: the step that takes it knows better, and takes anew when it needs more. */
const TURN = { inputTokens: 4_000, outputTokens: 1_000 };
/** Turns and tool calls of a run as most are: one that stays within them takes its slice once. */
const MOST_RUNS = 2n;

/**
 * Takes what a run needs before it may be accepted. The last thing that its transaction waits for: others wait for this one.
 * @throws BILLING_QUOTA_EXCEEDED, BILLING_BUDGET_EXHAUSTED
 */
export async function admitRun(
  tx: Tx,
  caller: Caller,
  start: Pick<RunStart, "id" | "agent" | "input" | "waitsForThread" | "isChild">,
  { quotas, hasBudgets }: StartLimits,
): Promise<Admission> {
  const { id: runId, agent, input, waitsForThread = false } = start;
  const slot = quotas && (await takeSlot(tx, caller, start, quotas));
  const mayBegin = !waitsForThread && slot !== "WAITING";
  if (!hasBudgets) return { slot, budgeted: false };
  const { model, priceListVersion } = pinVersion(agent.version);
  const micros = (lines: readonly MeteredLine[]): bigint => estimateCost(lines, priceListVersion).amountMicros;
  const [begin, turn] = [micros(START_USAGE), micros(turnUsage(model, TURN.inputTokens, TURN.outputTokens))];
  const [word, toolCall] = [micros(turnUsage(model, Buffer.byteLength(input.prompt), 1)), micros(TOOL_CALL_USAGE)];
  const slice = await reserveSlice(tx, caller, {
    ...{ runId, agentId: agent.id, agentKey: agent.key, spentMicros: 0n },
    // One that waits holds no money that others could spend meanwhile; what could not pay for a word is not begun.
    wantMicros: mayBegin ? begin + MOST_RUNS * (turn + toolCall) : begin,
    enoughMicros: mayBegin ? begin + turn : begin,
    atLeastMicros: mayBegin ? begin + word : begin,
  });
  return { slot, budgeted: slice !== undefined };
}

async function takeSlot(
  tx: Tx,
  caller: Caller,
  { id: runId, waitsForThread, isChild }: Pick<RunStart, "id" | "waitsForThread" | "isChild">,
  quotas: PlanQuotas,
): Promise<Admission["slot"]> {
  if (isChild === true) {
    await shareRunSlot(tx, caller, { runId, quotas });
    return "HELD";
  }
  if (waitsForThread === true) {
    // It takes its slot when its thread is free.
    await requireMonthlyQuotas(tx, caller, quotas);
    return null;
  }
  return (await takeRunSlot(tx, caller, { runId, quotas })) ? "HELD" : "WAITING";
}

/** Gives back what a run holds, in the transaction that ends it, after everything else. Needs no answer; a repeat gives back nothing. */
export function giveBack(tx: Tx, scope: TenantScope, run: Pick<RunRow, "id" | "slot" | "budgeted">): void {
  if (run.slot !== null) {
    releaseRunSlot(tx, scope, { runId: run.id }).then(
      (othersWait) => {
        if (othersWait) letRunsInSoon(scope);
      },
      () => undefined, // the commit says so
    );
  }
  if (run.budgeted) returnSlice(tx, scope, run.id);
}

/** Waits, in the database, for the transaction that gives the slot back. What goes wrong here is done by the schedule. */
function letRunsInSoon(scope: TenantScope): void {
  letRunsIn(scope).catch((error: unknown) => {
    logger.warn({ err: error, "tenant.id": scope.tenantId }, "waiting runs could not be let in; tried again");
  });
}

const AT_A_TIME = 1_000;

/** Makes those of a tenant's waiting runs due whose turn has come; returns how many. Safe at any time, by any number of processes. */
async function letRunsIn(scope: TenantScope): Promise<number> {
  const admitted = await withTenant(scope, async (tx) => {
    await admitRuns(tx, scope);
    const waiting = await tx.sql<{ id: string }>`
      SELECT id FROM agent.run WHERE tenant_id = ${scope.tenantId} AND slot = 'WAITING' ORDER BY id LIMIT ${AT_A_TIME}`;
    // Those too that were admitted by a process that then died.
    return findAdmitted(
      tx,
      scope,
      waiting.map(({ id }) => id),
    );
  });
  if (admitted.length === 0) return 0;
  // In a transaction of its own: an end locks its run's row before the quota's.
  await withTenant(scope, async (tx) => {
    await tx.sql`
      UPDATE agent.run SET slot = 'HELD', due_at = clock_timestamp(), revision = revision + 1
      WHERE tenant_id = ${scope.tenantId} AND id = ANY(${admitted}::uuid[]) AND slot = 'WAITING' AND ended_at IS NULL`;
    nudge(tx);
  });
  return admitted.length;
}

/** Lets runs of all tenants in whose turn has come and was missed; called by the schedules. Returns how many. */
export async function letWaitingRunsIn(): Promise<number> {
  const tenants = await systemTx(
    "find waiting runs",
    (tx) => tx.sql<TenantScope>`SELECT DISTINCT tenant_id FROM agent.run WHERE slot = 'WAITING'`,
  );
  let found = 0;
  for (const scope of tenants) found += await letRunsIn(scope);
  return found;
}
