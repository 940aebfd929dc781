import { isRequirementFailure, systemTx } from "@sba/platform/db";
import { ensureAppError } from "@sba/platform/errors";
import { logger } from "@sba/platform/log";
import { counter, gauge, histogram } from "@sba/platform/metrics";
import type { Run as RunRow } from "@sba/platform/generated/prisma/client";
import { LEASE_MS } from "@sba/platform/lease";
import { pubsub } from "@sba/platform/pubsub";
import { callerOfStarter } from "@sba/platform/caller";
import { callerAttributes, runInSpan } from "@sba/platform/telemetry";
import { advanceTaken } from "./advance.ts";
import { claimAccepted, claimWoken, takeFound, type Taken } from "./claim.ts";
import { giveUpPoison, putBack } from "./poison.ts";
import { RUNS_DUE, type DueRuns } from "./wake.ts";

/**
 * Which runs this process works on. The run's row says when it is due: that is committed with whatever made it due and cannot be
 * lost. A message only makes it earlier (docs/adr/0006): one that names runs has them taken from their rows, any other has this process
 * look. Without any, a run waits for the next look by the clock.
 *
 * Turns are fair between tenants: each look takes the first due runs of every tenant before the second of any, and one tenant
 * holds at most three quarters of a process, so that somebody else's first step never waits for a slow model of theirs.
 */
export interface DispatchOptions {
  /** Runs in hand at once, 1 or more. */
  readonly capacity: number;
}

export interface DrainOptions {
  /** Steps in hand may go on so long; then their signals are aborted. */
  readonly graceMs?: number;
  /** After so long what still runs is left to whoever finds its lease ended. */
  readonly deadlineMs?: number;
}

const turns = counter(
  "run_turns_total",
  "Turns of runs: taken by this process, and those in which it could not work.",
  ["outcome"],
);
const turnSeconds = histogram("run_turn_seconds", "How long this process held a run in one turn.", []);

const LOOK_EVERY_MS = 1_000;
const SHARE_OF_ONE_TENANT = 0.75;

/** Starts to work on due runs. Returns how to take no more and wait for those in hand. @throws what pub/sub throws when it cannot listen */
export async function startDispatcher({
  capacity,
}: DispatchOptions): Promise<(options?: DrainOptions) => Promise<void>> {
  const drain = new AbortController();
  const hand = openHand(capacity, drain.signal);
  const eye = openEye(hand.fill);
  hand.onFree(eye.look);
  const leave = await pubsub().subscribe(RUNS_DUE, (message) => {
    if (message === undefined || !hand.claim(JSON.parse(message) as DueRuns)) eye.look();
  });
  const clock = setInterval(eye.look, LOOK_EVERY_MS);
  eye.look();
  return async ({ graceMs = 4_000, deadlineMs = 7_000 } = {}) => {
    clearInterval(clock);
    await Promise.all([leave(), eye.close()]);
    const interrupt = setTimeout(() => {
      drain.abort();
    }, graceMs);
    const left = await hand.empty(deadlineMs);
    clearTimeout(interrupt);
    if (left > 0) logger.warn({ runs: left }, "runs in hand did not end in time and are left to other workers");
  };
}

/** Looks when it is told to, one look at a time; being told during a look makes it look once more. */
function openEye(lookOnce: () => Promise<void>) {
  let looking: Promise<void> | undefined;
  let again = false;
  let closed = false;

  async function lookUntilQuiet(): Promise<void> {
    for (again = true; again && !closed;) {
      again = false;
      await lookOnce().catch((error: unknown) => {
        logger.warn({ err: error }, "due runs cannot be looked for; tried again");
      });
    }
    looking = undefined;
  }

  return {
    look: (): void => {
      again = true;
      if (!closed) looking ??= lookUntilQuiet();
    },
    close: async (): Promise<void> => {
      closed = true;
      await looking;
    },
  };
}

/** After another worker took a run that was named: it hears the same, and two who reach for everything only get into each other's way. */
const LEAVES_TO_OTHERS_MS = 10_000;

/** The runs that this process works on. */
function openHand(capacity: number, drain: AbortSignal) {
  const most = Math.max(1, Math.floor(capacity * SHARE_OF_ONE_TENANT));
  // Those too that are only reached for.
  const runs = new Map<string, { readonly tenantId: string; readonly done: Promise<void> }>();
  // More are due than there was room for.
  let crowded = false;
  // What a look that is under way may take is not given away meanwhile.
  let looking = false;
  let claimsAfter = 0;
  let onFree = (): void => undefined;

  gauge("runs_in_hand", "Runs that this process works on.", () => runs.size);
  gauge("runs_capacity", "Runs that this process would work on at once.", () => capacity);

  const hold = (id: string, tenantId: string, work: Promise<void>): void => {
    const done = work.finally(() => {
      // One that waited only for a moment may be in hand again.
      if (runs.get(id) === held) runs.delete(id);
      if (crowded) onFree();
    });
    const held = { tenantId, done };
    runs.set(id, held);
  };

  const work = (taken: Taken): Promise<void> => workOn(taken, { signal: drain, isCrowded: () => crowded });

  const workOnClaimed = async (id: string, claim: Promise<Taken | undefined>): Promise<void> => {
    const taken = await claim.catch((error: unknown) => {
      if (isRequirementFailure(error)) claimsAfter = performance.now() + LEAVES_TO_OTHERS_MS;
      else logger.warn({ err: error, "run.id": id }, "a due run could not be taken; it is looked for");
      return undefined;
    });
    if (taken && (await isHealthy(taken.run))) await work(taken);
  };

  /** How many more of the tenant's runs may be taken; none while others wait: whose turn it is only a look can tell. */
  const roomFor = (tenantId: string): number => {
    const ofTenant = heldByTenant().find(([id]) => id === tenantId)?.[1] ?? 0;
    if (crowded || looking || performance.now() < claimsAfter) return 0;
    return Math.max(0, Math.min(capacity - runs.size, most - ofTenant));
  };

  const heldByTenant = (): [tenantId: string, runs: number][] => {
    const byTenant = Map.groupBy(runs.values(), ({ tenantId }) => tenantId);
    return [...byTenant].map(([id, held]) => [id, held.length]);
  };

  return {
    /** Takes what is due, as far as there is room. */
    fill: async (): Promise<void> => {
      const free = capacity - runs.size;
      if (free <= 0) {
        crowded = true;
        return;
      }
      looking = true;
      try {
        const leased = await leaseDueRuns({ free, most, held: heldByTenant() });
        crowded = leased.length === free;
        for (const run of leased) hold(run.id, run.tenantId, work(takeFound(run)));
      } finally {
        looking = false;
      }
    },
    /** Takes runs that are named; false when there is one to be looked for. */
    claim: ({ tenantId, accepted, woken }: DueRuns): boolean => {
      const named = [...accepted, ...woken];
      if (named.length > roomFor(tenantId) || named.some(({ id }) => runs.has(id))) return false;
      for (const run of accepted) hold(run.id, tenantId, workOnClaimed(run.id, claimAccepted({ tenantId }, run)));
      for (const run of woken) hold(run.id, tenantId, workOnClaimed(run.id, claimWoken({ tenantId }, run)));
      return true;
    },
    onFree: (listener: () => void): void => {
      onFree = listener;
    },
    /** Waits for the runs in hand, so long at most; returns how many are left. */
    empty: async (deadlineMs: number): Promise<number> => {
      const late = Promise.withResolvers<void>();
      const timer = setTimeout(late.resolve, deadlineMs);
      await Promise.race([Promise.all([...runs.values()].map(({ done }) => done)), late.promise]);
      clearTimeout(timer);
      return runs.size;
    },
  };
}

interface WorkOptions {
  readonly signal: AbortSignal;
  readonly isCrowded: () => boolean;
}

/** Works on a leased run. Never throws: a run that cannot be worked on is put back, and given up after a while. */
async function workOn(taken: Taken, { signal, isCrowded }: WorkOptions): Promise<void> {
  const { run } = taken;
  const caller = callerOfStarter(run);
  const log = logger.child({ "run.id": run.id, "tenant.id": run.tenantId, "request.id": run.requestId });
  const attributes = { ...callerAttributes(caller, run.id), "run.takeovers": run.takeovers };
  const ended = turnSeconds.startTimer();
  try {
    await runInSpan(
      "agent.run.advance",
      { ...(run.traceparent === null ? {} : { traceparent: run.traceparent }), kind: "consumer", attributes },
      () => advanceTaken(taken, { signal, log, isCrowded }),
    );
    turns.inc({ outcome: "done" });
  } catch (error) {
    turns.inc({ outcome: "failed" });
    log.error({ err: error }, "a run could not be worked on");
    await putBack(run, ensureAppError(error)).catch((again: unknown) => {
      log.warn({ err: again }, "the run is found when its lease ends");
    });
  } finally {
    ended();
  }
}

interface Turn {
  /** Runs to lease at most. */
  readonly free: number;
  /** Runs of one tenant at most, those in hand included. */
  readonly most: number;
  /** Tenants and how many of their runs are in hand here. */
  readonly held: readonly (readonly [tenantId: string, runs: number])[];
}

/**
 * Leases the runs whose turn it is. Tenants with a due run are found by jumping through the index from one to the next, so that ten
 * thousand waiting runs of one cost the others nothing. Those of a suspended tenant stay due and are not taken.
 */
export async function leaseDueRuns({ free, most, held }: Turn): Promise<RunRow[]> {
  const runs = await systemTx("dispatch runs", (tx) =>
    tx.finish(
      () => tx.sql<RunRow>`
      WITH RECURSIVE tenant (id) AS (
        (SELECT tenant_id FROM agent.run WHERE due_at <= clock_timestamp() ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT r.tenant_id FROM agent.run r WHERE r.due_at <= clock_timestamp() AND r.tenant_id > tenant.id ORDER BY r.tenant_id LIMIT 1)
        FROM tenant WHERE tenant.id IS NOT NULL
      ), due AS (
        SELECT first.*, row_number() OVER (PARTITION BY first.tenant_id ORDER BY first.due_at) + coalesce(held.runs, 0) AS place
        FROM (SELECT id FROM tenant WHERE id NOT IN (SELECT tenant_id FROM platform.suspension) OFFSET 0) AS tenant
        LEFT JOIN unnest(${held.map(([id]) => id)}::uuid[], ${held.map(([, runs]) => runs)}::int[]) AS held (tenant_id, runs)
          ON held.tenant_id = tenant.id
        CROSS JOIN LATERAL (
          SELECT r.tenant_id, r.id, r.due_at FROM agent.run r
          WHERE r.tenant_id = tenant.id AND r.due_at <= clock_timestamp() AND r.ended_at IS NULL
            AND (r.lease_expires_at IS NULL OR r.lease_expires_at <= clock_timestamp())
          ORDER BY r.due_at LIMIT greatest(0, least(${free}, ${most} - coalesce(held.runs, 0))) FOR UPDATE SKIP LOCKED) AS first
      )
      UPDATE agent.run SET fence = fence + 1, takeovers = takeovers + 1, started_at = coalesce(started_at, clock_timestamp()),
             lease_expires_at = clock_timestamp() + make_interval(secs => ${LEASE_MS / 1000})
      WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM due ORDER BY place, due_at LIMIT ${free})
      RETURNING *`,
    ),
  );
  const healthy = await Promise.all(runs.map(isHealthy));
  return runs.filter((_, index) => healthy[index]);
}

/** How often a run is leased without a step of it being committed. Attempts of a step end before (MAX_ATTEMPTS); this is for what cannot even be begun. */
const MAX_TAKEOVERS = 10;

/** False of a run at which workers fail: it is given up. */
async function isHealthy(run: RunRow): Promise<boolean> {
  if (run.takeovers <= MAX_TAKEOVERS) return true;
  await giveUpPoison(run);
  return false;
}
