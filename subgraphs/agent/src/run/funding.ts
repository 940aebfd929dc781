import { hasBudgets, reserveSlice, type Slice, type SliceInput } from "@sba/billing/index";
import { withTenant } from "@sba/platform/db";
import { errors } from "../errors.ts";
import { mostInputTokens } from "../step/model-request.ts";
import { leftOfOwn, toolCallCost, turnCost } from "./budget.ts";
import type { Work } from "./plan-next.ts";
import type { Session } from "./session.ts";

/** How a step gets the money for its worst case: from the run's slice, which is taken anew when it is used up or over. */

/** What a turn is reserved for; it is let begin with less, and then writes less. */
const TURN_TOKENS = 4_096;
/** With so much a turn is not cut short for want of a little: no slice is taken anew for more. */
const ENOUGH_TOKENS = 1_024;

/** A start looks for budgets; a run asks again by itself when it is older than this. */
const LOOKED_AT_START_MS = 2_000;

/** As of a slice; with enough, the step is begun from what the run has. */
type Need = Required<Pick<SliceInput, "wantMicros" | "enoughMicros" | "atLeastMicros">>;

/**
 * The session with a slice that the step can be paid from, or as it is when no budget is held for the run. A budget that was set
 * while the run is under way reaches it here.
 * @throws BILLING_BUDGET_EXHAUSTED, AGENT_RUN_LEASE_LOST
 */
export async function fundStep(session: Session, work: Work): Promise<Session> {
  if (!(await needsSlice(session))) return session;
  const need = work.kind === "model" ? needOfTurn(session) : needOfToolCall(session);
  const { slice } = session;
  if (slice && !isOver(slice) && slice.leftMicros >= need.enoughMicros) return session;
  const taken = await takeSlice(session, need);
  return { ...session, slice: taken, run: { ...session.run, budgeted: session.run.budgeted || taken !== undefined } };
}

async function needsSlice({ caller, run, slice }: Session): Promise<boolean> {
  if (slice || run.budgeted) return true;
  return Date.now() - run.createdAt.getTime() > LOOKED_AT_START_MS && hasBudgets(caller);
}

function needOfTurn(session: Session): Need {
  const inputTokens = mostInputTokens(session);
  const cost = (outputTokens: number): bigint => turnCost(session, session.run.model, inputTokens, outputTokens);
  return capped(session, {
    wantMicros: cost(TURN_TOKENS) + toolCallCost(session),
    enoughMicros: cost(ENOUGH_TOKENS),
    atLeastMicros: cost(1),
  });
}

function needOfToolCall(session: Session): Need {
  const cost = toolCallCost(session);
  const { wantMicros } = needOfTurn(session);
  return capped(session, { wantMicros: cost + wantMicros, enoughMicros: cost, atLeastMicros: cost });
}

/** Nothing is reserved that the run's own budget does not let it spend. */
function capped(session: Session, { wantMicros, enoughMicros, atLeastMicros }: Need): Need {
  const own = leftOfOwn(session);
  const cap = (micros: bigint): bigint => (own !== undefined && own > atLeastMicros && own < micros ? own : micros);
  return { wantMicros: cap(wantMicros), enoughMicros: cap(enoughMicros), atLeastMicros };
}

function isOver({ endsAt }: Slice): boolean {
  return endsAt !== null && endsAt.getTime() <= Date.now();
}

/** In a transaction of its own, which only whoever holds the lease can commit: what it takes, the end of the run gives back. */
function takeSlice(session: Session, need: Need): Promise<Slice | undefined> {
  const { caller, run } = session;
  return withTenant(caller, async (tx) => {
    const [held] = await tx.sql<{ id: string }>`
      SELECT id FROM agent.run WHERE id = ${run.id} AND fence = ${run.fence} FOR NO KEY UPDATE`;
    if (!held) throw errors.AGENT_RUN_LEASE_LOST();
    const slice = await reserveSlice(tx, caller, {
      ...{ runId: run.id, agentId: run.agentId, agentKey: run.agentKey },
      // What a budget of each run is held against: what the run's children have is none of its own to spend.
      spentMicros: run.spentMicros + run.childrenMicros,
      ...need,
    });
    if (slice && !run.budgeted) await tx.sql`UPDATE agent.run SET budgeted = true WHERE id = ${run.id}`;
    return slice;
  });
}
