import {
  estimateCost,
  priceUsage,
  readStartLimits,
  recordNewUsage,
  reserveSlice,
  returnSlice,
  settleSlice,
  withinReservation,
  type Slice,
  type StartLimits,
  type UsageLine,
} from "@sba/billing/index";
import { recordAudit } from "@sba/platform/audit";
import type { Caller } from "@sba/platform/caller";
import { json, withTenant, type Tx } from "@sba/platform/db";
import { appendEvents, type NewEvent } from "@sba/platform/events";
import { findEarlier, once, type IdempotentOperation } from "@sba/platform/idempotency";
import { encodeId, newId } from "@sba/platform/ids";
import { logger } from "@sba/platform/log";
import { getAgentForRun } from "../agent/version.ts";
import { readPolicies } from "../approval/policy.ts";
import { errors } from "../errors.ts";
import { runStatusChanged, runStream, usageRecorded } from "../events.ts";
import type { PaidAttempt } from "../step/model-request.ts";
import { takePlanningTurn, type PlanningInput, type PlanningTurn } from "../step/planning-turn.ts";
import { readHistory } from "../thread/message.ts";
import { lockThread, nextRunId, requireIdleThread, type LockedThread } from "../thread/thread.ts";
import { admitRun, giveBack } from "./admission.ts";
import { costOf, requireStartBudget, START_USAGE, turnUsage } from "./budget.ts";
import { lockRun, tellersWith } from "./lock.ts";
import type { RunPlan } from "./plan.ts";
import { insertRun } from "./accept.ts";
import type { RunStart, StartRunInput } from "./run.ts";
import { usageSnapshot } from "./usage.ts";
import { wakeRun } from "./wake.ts";

/**
 * A run that is planned before anything happens: it rests in PLANNING, with what the model would do and about what that costs,
 * until somebody has it executed, cancels it, or it expires.
 */

/** A plan is for now: prices, tools and documents go on without it. */
const RESTS_MS = 7 * 86_400_000;

export interface PlanRunInput extends StartRunInput {
  /** Ends the planning turn when whoever asked is gone. */
  readonly signal: AbortSignal;
}

/**
 * Has the model plan a run, and keeps the plan with the run that it is for. Nothing else is done; the planning turn is charged
 * like any other. Returns the run's UUID. Idempotent by key.
 * @throws AGENT_AGENT_NOT_FOUND, AGENT_THREAD_NOT_FOUND, AGENT_THREAD_BUSY, AGENT_THREAD_OF_OTHER_AGENT, AGENT_MODEL_...,
 * AGENT_PLAN_TIMED_OUT, AGENT_PLAN_INVALID, AGENT_PLAN_THREAD_POLICY, BILLING_BUDGET_EXHAUSTED, BILLING_QUOTA_EXCEEDED, IDEMPOTENCY_KEY_REUSED
 */
export async function planRun(caller: Caller, { signal, ...input }: PlanRunInput): Promise<string> {
  requireStartBudget(input.options);
  const { onBusyThread = "REJECT" } = input.options ?? {};
  if (onBusyThread !== "REJECT") throw errors.AGENT_PLAN_THREAD_POLICY({ details: { onBusyThread } });
  const { idempotencyKey, ...request } = input;
  const operation = { operation: "planRun", key: idempotencyKey, input: request };
  const basis = await withTenant(caller, (tx) => readBasis(tx, caller, input, operation));
  if (typeof basis === "string") return basis;
  const used: PaidAttempt[] = [];
  try {
    const turn = await takePlanningTurn(caller, basis, used, signal);
    return await withTenant(caller, async (tx) => {
      const { thread, id } = await takePlace(tx, input.threadId);
      const runId = await once(tx, caller, operation, id, async () => {
        if (thread) requireIdleThread(thread, basis.start.agent.id);
        await acceptPlan(tx, caller, { ...basis.start, id }, turn);
      });
      if (runId !== id) recordUnplanned(tx, caller, basis.start, used);
      return runId;
    });
  } catch (error) {
    await withTenant(caller, async (tx) => recordUnplanned(tx, caller, basis.start, used)).catch((lost: unknown) => {
      logger.warn({ err: lost, "tenant.id": caller.tenantId }, "usage of a plan that came to nothing is not recorded");
    });
    throw error;
  }
}

/** Records what was used for a plan that no run came of: there is nobody to charge, it is the platform's. */
function recordUnplanned(
  tx: Tx,
  caller: Caller,
  { id, agent }: RunStart,
  used: readonly Pick<PaidAttempt, "model" | "usage">[],
): void {
  for (const [index, { model, usage }] of used.entries()) {
    const lines = withinReservation(turnUsage(model, usage.inputTokens, usage.outputTokens), 0n);
    recordNewUsage(tx, caller, { key: `plan:${id}:${index + 1}`, lines, agentKey: agent.key });
  }
}

interface Place {
  /** Undefined for a new thread. */
  readonly thread: LockedThread | undefined;
  /** UUID that the run has if it is accepted now: other runs may take their places while the model plans. */
  readonly id: string;
}

/** Locks the run's thread. @throws AGENT_THREAD_NOT_FOUND */
async function takePlace(tx: Tx, threadId: string | undefined): Promise<Place> {
  const thread = threadId === undefined ? undefined : await lockThread(tx, threadId);
  return { thread, id: thread ? nextRunId(thread) : newId() };
}

/** What the plan is made from, or the UUID of the run that the same request made before. */
async function readBasis(
  tx: Tx,
  caller: Caller,
  { agentKey, prompt, options, threadId }: StartRunInput,
  operation: IdempotentOperation,
): Promise<PlanningInput | string> {
  const { thread, id } = await takePlace(tx, threadId);
  const [earlier, agent, limits, history, policies] = await Promise.all([
    findEarlier(tx, caller, operation),
    getAgentForRun(tx, agentKey),
    readStartLimits(tx, caller),
    thread ? readHistory(tx, { id, threadId: thread.id }) : [],
    readPolicies(tx, agentKey),
  ]);
  if (earlier !== undefined) return earlier;
  if (thread) requireIdleThread(thread, agent.id);
  const input = options === undefined ? { prompt } : { prompt, options };
  const start = { id, input, agent, threadId };
  return { start, history, policies, slice: await requireRoom(tx, caller, start, limits) };
}

/** The most that a budget can have left. */
const ALL_MICROS = 2n ** 63n - 1n;

/**
 * Refuses what could not be accepted now, before a model is asked, and tells what is left to pay for the plan. All of it is given
 * back at once: nobody would, if this process died while the model plans.
 * @throws BILLING_BUDGET_EXHAUSTED, BILLING_QUOTA_EXCEEDED
 */
async function requireRoom(tx: Tx, caller: Caller, start: RunStart, limits: StartLimits): Promise<Slice | undefined> {
  const admission = await admitRun(tx, caller, start, limits);
  const { id, agent } = start;
  const all = { runId: id, agentId: agent.id, agentKey: agent.key, spentMicros: 0n, wantMicros: ALL_MICROS };
  const slice = admission.budgeted ? await reserveSlice(tx, caller, { ...all, atLeastMicros: 1n }) : undefined;
  giveBack(tx, caller, { id, ...admission });
  return slice;
}

/** The run, its plan and what planning cost, in one transaction. */
async function acceptPlan(tx: Tx, caller: Caller, start: RunStart, turn: PlanningTurn): Promise<void> {
  const { id, agent } = start;
  const admission = await admitRun(tx, caller, start, await readStartLimits(tx, caller));
  const charged = turn.metered.map((lines) => priceUsage(lines));
  const planningMicros = charged.reduce((sum, usage) => sum + costOf(usage), 0n);
  // What was planned is known to the micro-unit: a budget that has not so much left keeps the plan from being made.
  if (admission.budgeted) {
    const needMicros = estimateCost(START_USAGE).amountMicros + planningMicros;
    const { id: agentId, key: agentKey } = agent;
    const needed = { runId: id, agentId, agentKey, spentMicros: 0n, wantMicros: needMicros, atLeastMicros: needMicros };
    await reserveSlice(tx, caller, needed);
  }
  void insertRun(tx, caller, start, { admission, announcesEnd: false, rests: true });
  const plan: RunPlan = { steps: turn.steps, expiresAt: new Date(Date.now() + RESTS_MS).toISOString() };
  void tx.sql`
    UPDATE agent.run SET status = 'PLANNING', plan = ${json(plan)}::jsonb, due_at = ${new Date(plan.expiresAt)},
           spent_micros = spent_micros + ${planningMicros} WHERE id = ${id}`;
  for (const [index, lines] of turn.metered.entries()) {
    recordNewUsage(tx, caller, { key: `run:${id}:plan:${index + 1}`, lines, runId: id, agentKey: agent.key });
  }
  await appendEvents(tx, caller, runStream(id), plannedEvents(charged));
  if (!admission.budgeted) return;
  settleSlice(tx, caller, { runId: id, spentMicros: planningMicros });
  // A plan may rest for long: what is left is not kept from others.
  returnSlice(tx, caller, id);
}

/** What readers are told of a run that rests with its plan. */
export function plannedEvents(charged: readonly (readonly UsageLine[])[]): NewEvent[] {
  return [
    runStatusChanged({ from: "CREATED", to: "PLANNING" }),
    ...charged.map((usage) => usageRecorded({ usage: usage.map(usageSnapshot) })),
  ];
}

export interface ExecuteRunInput {
  /** UUID. */
  readonly runId: string;
  readonly idempotencyKey?: string | undefined;
}

/**
 * Has a planned run executed: once, by the ordinary loop, on behalf of who planned it. Idempotent by key.
 * @throws AGENT_RUN_NOT_FOUND, AGENT_RUN_NOT_PLANNED, IDEMPOTENCY_KEY_REUSED
 */
export function executeRun(caller: Caller, { runId, idempotencyKey }: ExecuteRunInput): Promise<string> {
  return withTenant(caller, async (tx) => {
    const run = await lockRun(tx, runId);
    const { status } = run;
    const operation = { operation: "executeRun", key: idempotencyKey, input: { runId } };
    return once(tx, caller, operation, runId, async () => {
      if (status !== "PLANNING") throw errors.AGENT_RUN_NOT_PLANNED({ details: { status } });
      const toldBy = tellersWith(run, [caller.principalId]);
      void tx.sql`UPDATE agent.run SET status = 'EXECUTING', told_by = ${toldBy}::uuid[] WHERE id = ${runId}`;
      void recordAudit(tx, caller, { action: "agent.run.executed", target: encodeId("Run", runId) });
      wakeRun(tx, runId);
      await appendEvents(tx, caller, runStream(runId), [runStatusChanged({ from: status, to: "EXECUTING" })]);
    });
  });
}
