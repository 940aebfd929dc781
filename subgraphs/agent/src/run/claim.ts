import { withTenantByKey, type Tx } from "@sba/platform/db";
import type { TenantScope } from "@sba/platform/caller";
import { gatherEvents } from "@sba/platform/events";
import type { Run as RunRow, Step } from "@sba/platform/generated/prisma/client";
import { openGroup } from "@sba/platform/group";
import { LEASE_MS } from "@sba/platform/lease";
import { requireNotSuspended } from "@sba/platform/suspension";
import { runStatusChanged, runStream, stepStarted } from "../events.ts";
import { insertSteps, stepSnapshot } from "../step/step.ts";
import { commit } from "./commit.ts";
import { takeLease } from "./lease.ts";
import { takeUp, type Work } from "./plan-next.ts";
import { complete, openPlain, openSession, readBases, readState, type Basis, type Session } from "./session.ts";
import type { AcceptedRun, WokenRun } from "./wake.ts";

/**
 * How a worker comes by a run and by what it has to do first. Whoever looks for due runs leases them, reads what they decide from, and
 * commits what is begun: a round trip each. A run that a wake-up names is taken from its row: one that was accepted just now is leased,
 * begun and read in one round trip, since what comes first does not depend on what it is; one that had waited is leased and read in one.
 */

/** A run that this worker has leased. */
export interface Taken {
  readonly run: RunRow;
  /** What it is asked to do now, begun; undefined when it is to wait or has ended. @throws AGENT_RUN_LEASE_LOST */
  begin(): Promise<Begun>;
}

export interface Begun {
  readonly session: Session;
  readonly result: Work | undefined;
}

/** A run that was found due and leased. */
export function takeFound(run: RunRow): Taken {
  return { run, begin: async () => commit(await openSession(run), takeUp) };
}

/** Leases a run that had waited; undefined when it is not due, or another's. */
export async function claimWoken(scope: TenantScope, { id, callId }: WokenRun): Promise<Taken | undefined> {
  // The row is locked by the lease, and each statement sees what was committed before it: what is read next is of the run as it is leased.
  const [run, state] = await withTenantByKey(scope, (tx) =>
    Promise.all([takeLease(tx, id), readState(tx, id, callId)]),
  );
  return run && { run, begin: async () => commit(await complete(run, state), takeUp) };
}

/**
 * Leases and begins a run that nobody has touched since it was accepted, with those that the tenant had accepted at the same moment.
 * @throws a requirement failure when somebody has; TENANT_SUSPENDED
 */
export async function claimAccepted(scope: TenantScope, accepted: AcceptedRun): Promise<Taken> {
  const { run, step, basis } = await beginAccepted(scope, accepted);
  return {
    run,
    begin: async () => ({ session: await openPlain(run, basis), result: { kind: "model", step, billed: [] } }),
  };
}

interface FirstStep {
  readonly run: RunRow;
  readonly step: Step;
  readonly basis: Basis;
}

const beginAccepted = openGroup<AcceptedRun, FirstStep>({
  keyOf: ({ id }) => id,
  work: async (tx, accepted) => {
    const tenantId = tx.tenantId!;
    const ids = accepted.map(({ id }) => id).toSorted();
    const startedAt = new Date();
    const steps = new Map(ids.map((id) => [id, firstStep({ tenantId, runId: id, startedAt })]));
    requireNotSuspended(tx, { tenantId });
    const begun = beginRuns(tx, ids);
    tx.gather(insertSteps, [...steps.values()]);
    for (const { id, traceId } of accepted) gatherEvents(tx, eventsOf(steps.get(id)!, traceId));
    const [runs, bases] = await Promise.all([begun, readBases(tx, ids)]);
    return accepted.map(({ id }) => ({
      run: runs.find((run) => run.id === id)!,
      step: steps.get(id)!,
      basis: bases[ids.indexOf(id)]!,
    }));
  },
});

function firstStep(of: Pick<Step, "tenantId" | "runId" | "startedAt">): Step {
  return { ...of, number: 1, type: "MODEL", toolCallId: null, model: null, endedAt: null };
}

function eventsOf(step: Step, traceId: string | undefined) {
  const events = [runStatusChanged({ from: "CREATED", to: "EXECUTING" }), stepStarted({ step: stepSnapshot(step) })];
  return events.map((event) => ({ stream: runStream(step.runId), event, traceId }));
}

/**
 * What `takeUp` would write of such a run. Whatever else a run can be when a worker comes by it is told by its row, and is not begun
 * here.
 */
function beginRuns(tx: Tx, ids: readonly string[]): Promise<RunRow[]> {
  return tx.sql<RunRow>`
    WITH begun AS (
      UPDATE agent.run SET status = 'EXECUTING', step_number = 1, step_attempt = 1, fence = 1, started_at = clock_timestamp(),
             lease_expires_at = clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000})
      WHERE tenant_id = ${tx.tenantId} AND id = ANY(${ids}::uuid[]) AND status = 'CREATED' AND fence = 0 AND revision = 0
        AND due_at <= clock_timestamp() AND NOT budgeted AND NOT waits_for_thread AND unread_inputs = 0 AND forked_from_seq IS NULL
      RETURNING *
    ), held AS (
      SELECT platform.require_none(ARRAY(SELECT id::text FROM unnest(${ids}::uuid[]) AS asked (id) WHERE NOT EXISTS (
        SELECT FROM begun WHERE begun.id = asked.id)), 'AGENT_RUN_NOT_NEW') AS by_all
    )
    SELECT begun.* FROM held LEFT JOIN begun ON held.by_all IS NOT NULL`;
}
