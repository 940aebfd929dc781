import { platformErrors } from "./errors.ts";
import { logger } from "./log.ts";

/**
 * How a worker keeps what it works on while no transaction is open. A lease lasts 4 s and is renewed each second; each domain
 * says in its own row who holds it, and refuses the commits of who no longer does by a fencing number.
 */
export const LEASE_MS = 4_000;
const RENEW_EVERY_MS = 1_000;
/** Of what is left of a lease: less than it may take for what is begun under it to arrive. */
const MARGIN_MS = 500;

export interface LeaseKeeper {
  /** Aborted when the lease is lost, the run is cancelled or the worker drains. */
  readonly signal: AbortSignal;
  /**
   * To be waited for right before what nobody can take back. Costs nothing while the lease holds by this process's own clock; a process
   * that was stopped, and whose lease has lapsed by that, asks first.
   * @throws OPERATION_CANCELLED when it is lost or what is under way is to stop; DATABASE_UNAVAILABLE when nobody can say
   */
  readonly hold: () => Promise<void>;
  stop(): void;
}

export interface KeepLeaseOptions {
  /** Renews it once; false when what is under way is to stop: another worker has it, or it is being cancelled. */
  readonly renew: () => Promise<boolean>;
  readonly drain: AbortSignal;
  /** Aborts when `renew` has said no; whoever learns earlier that the work is to stop aborts it as well. */
  readonly controller?: AbortController;
  /** What is held, for the log. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** Renews a lease until stopped, and aborts the step when it may no longer go on. */
export function keepLease({
  renew,
  drain,
  controller = new AbortController(),
  attributes,
}: KeepLeaseOptions): LeaseKeeper {
  let heldUntil = performance.now() + LEASE_MS;
  const renewOnce = async (): Promise<void> => {
    const askedAt = performance.now();
    if (await renew()) heldUntil = Math.max(heldUntil, askedAt + LEASE_MS);
    else controller.abort();
  };
  const timer = setInterval(() => {
    // The database cannot be reached: the step's commit will tell whether the lease outlived it.
    renewOnce().catch((error: unknown) => {
      logger.warn({ err: error, ...attributes }, "lease not renewed");
    });
  }, RENEW_EVERY_MS);
  return {
    signal: AbortSignal.any([controller.signal, drain]),
    hold: async () => {
      if (performance.now() > heldUntil - MARGIN_MS) await renewOnce();
      if (controller.signal.aborted) throw platformErrors.OPERATION_CANCELLED();
    },
    stop: () => {
      clearInterval(timer);
    },
  };
}
