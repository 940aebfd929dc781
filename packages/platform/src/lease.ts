import { logger } from "./log.ts";

/**
 * How a worker keeps what it works on while no transaction is open. A lease lasts 4 s and is renewed each second; each domain
 * says in its own row who holds it, and refuses the commits of who no longer does by a fencing number.
 */
export const LEASE_MS = 4_000;
const RENEW_EVERY_MS = 1_000;

export interface LeaseKeeper {
  /** Aborted when the lease is lost, the run is cancelled or the worker drains. */
  readonly signal: AbortSignal;
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
  const renewOnce = (): void => {
    renew().then(
      (held) => {
        if (!held) controller.abort();
      },
      // The database cannot be reached: the step's commit will tell whether the lease outlived it.
      (error: unknown) => {
        logger.warn({ err: error, ...attributes }, "lease not renewed");
      },
    );
  };
  const timer = setInterval(renewOnce, RENEW_EVERY_MS);
  return {
    signal: AbortSignal.any([controller.signal, drain]),
    stop: () => {
      clearInterval(timer);
    },
  };
}
