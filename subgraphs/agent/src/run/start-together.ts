import { requireStartLimits } from "@sba/billing/index";
import type { Caller } from "@sba/platform/caller";
import { isRequirementFailure } from "@sba/platform/db";
import { openGroup } from "@sba/platform/group";
import { claimNewKey, type IdempotentOperation } from "@sba/platform/idempotency";
import { newId } from "@sba/platform/ids";
import { LRUCache } from "lru-cache";
import { requireCurrentVersion } from "../agent/version.ts";
import { currentTrace, insertRun, type Trace } from "./accept.ts";
import { requireStartBudget } from "./budget.ts";
import type { Run } from "./read.ts";
import type { PreparedStart, RunStart, StartRunInput } from "./run.ts";

/** Starts that need nobody's answer: the tenant's of one moment are one transaction and one round trip. */

/** What a start is decided from; it is held against what is committed when it is used again. */
type StartBasis = Pick<PreparedStart, "agent" | "limits">;

const bases = new LRUCache<string, StartBasis>({ max: 10_000 });

function basisKey({ tenantId }: Caller, agentKey: string): string {
  return `${tenantId} ${agentKey}`;
}

/** To be called with what a start was accepted from. */
export function rememberBasis(caller: Caller, { agent, limits }: PreparedStart): void {
  bases.set(basisKey(caller, agent.key), { agent, limits });
}

interface StartWrite {
  readonly caller: Caller;
  readonly start: RunStart & { readonly agent: StartBasis["agent"] };
  readonly basis: StartBasis;
  readonly operation: IdempotentOperation;
  readonly trace: Trace;
}

/**
 * Accepts a run together with the tenant's other starts of the moment, in one round trip: from what earlier starts of the agent
 * were decided from, if that still holds. Gives it as it was accepted; undefined when that does not hold, when the request was made
 * before, or when there is more to decide: a thread, quotas, budgets.
 */
export async function startTogether(caller: Caller, input: StartRunInput): Promise<Run | undefined> {
  const { idempotencyKey, ...request } = input;
  const basis = input.threadId === undefined ? bases.get(basisKey(caller, input.agentKey)) : undefined;
  if (!basis) return undefined;
  requireStartBudget(input.options);
  const start = { id: newId(), input, agent: basis.agent, threadId: undefined };
  const operation = { operation: "startRun", key: idempotencyKey, input: request };
  try {
    return await accept(caller, { caller, start, basis, operation, trace: currentTrace() });
  } catch (error) {
    if (!isRequirementFailure(error)) throw error;
    bases.delete(basisKey(caller, input.agentKey));
    return undefined;
  }
}

const accept = openGroup<StartWrite, Run>({
  keyOf: ({ start }) => start.id,
  work: (tx, writes) => {
    // Whoever starts a run is shown it, and need not ask again.
    const accepted = writes.map(({ caller, start, basis, operation, trace }) => {
      requireCurrentVersion(tx, { key: start.id, agentId: start.agent.id, number: start.agent.version.number });
      requireStartLimits(tx, basis.limits);
      claimNewKey(tx, caller, operation, start.id);
      return insertRun(tx, caller, start, { admission: { slot: null, budgeted: false }, announcesEnd: false, trace });
    });
    return Promise.all(accepted);
  },
});
