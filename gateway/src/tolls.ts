import type { Caller } from "@sba/platform/caller";
import { AppError, platformErrors } from "@sba/platform/errors";
import type { Ask, RateLimit, RateLimiter, Standing } from "@sba/platform/rate-limit";
import { LRUCache } from "lru-cache";
import { errors } from "./errors.ts";

/** How often and how much one may ask: by tenant, by principal and by operation, strangers by address; and the cost that a tenant may cause. */

export interface RateLimits {
  readonly tenant: RateLimit;
  readonly principal: RateLimit;
  /** One principal's one document. */
  readonly operation: RateLimit;
  /** Of whoever has not said who they are, or has not said it well. */
  readonly address: RateLimit;
  /** Sockets that a principal opens. */
  readonly connect: RateLimit;
  /** Cost of a tenant's operations: a budget that fills up again. */
  readonly cost: RateLimit;
}

const limit = (name: keyof RateLimits, quota: number, windowS: number): RateLimit => ({
  name,
  quota,
  windowMs: windowS * 1_000,
});

/** What stops a program that has run away, and no one who works. */
export const DEFAULT_RATE_LIMITS: RateLimits = {
  tenant: limit("tenant", 10_000, 10),
  principal: limit("principal", 5_000, 10),
  operation: limit("operation", 3_000, 10),
  address: limit("address", 1_000, 10),
  connect: limit("connect", 300, 60),
  cost: limit("cost", 2_000_000, 60),
};

/** Beyond what one machine can serve: while people develop and measure, nothing is to be refused but a mistake. */
export const DEVELOPMENT_RATE_LIMITS: RateLimits = {
  tenant: limit("tenant", 1_000_000, 10),
  principal: limit("principal", 1_000_000, 10),
  operation: limit("operation", 1_000_000, 10),
  address: limit("address", 1_000_000, 10),
  connect: limit("connect", 100_000, 60),
  cost: limit("cost", 100_000_000, 60),
};

/** Who asks: a caller, or an address. */
export interface Asker {
  readonly caller: Pick<Caller, "tenantId" | "principalId"> | undefined;
  readonly address?: string | undefined;
}

export interface Admission {
  readonly standings: readonly Standing[];
  /** Set when the request is refused. */
  readonly refusal: AppError | undefined;
}

/** At once when this process has booked enough ahead. */
export type Admitted = Admission | Promise<Admission>;

export interface Tolls {
  /** Counts operations against the limits of rates. */
  readonly admit: (asker: Asker, operationHash: string, count?: number) => Admitted;
  /** Counts what else a stranger asks for in one operation. */
  readonly admitMore: (stranger: Asker, count: number) => Admitted;
  /** Counts credentials that were not good against their address. @returns the error, or RATE_LIMITED when they were too many */
  readonly fail: <E>(address: string, error: E) => Promise<E | AppError>;
  /** RATE_LIMITED while an address has failed too often: its credentials are not looked at. Asks no store. */
  readonly refusalOf: (address: string) => AppError | undefined;
  /** Counts a socket that is opened. */
  readonly connect: (asker: Asker) => Admitted;
  /** Takes what an operation may cost from its tenant's budget. */
  readonly charge: (asker: Asker, cost: number) => Admitted;
  /** Gives back what it did not cost; gives what is left. */
  readonly settle: (asker: Asker, estimated: number, actual: number, charged: Admission) => number;
  readonly maxCost: number;
}

export interface TollsOptions {
  readonly limiter: RateLimiter;
  readonly limits: RateLimits;
  /** Of one operation. */
  readonly maxCost: number;
}

/** Of so many addresses it is remembered that they fail too often. */
const MAX_REFUSED = 10_000;

interface Refused {
  readonly refusal: AppError;
  readonly untilMs: number;
}

export function openTolls({ limiter, limits, maxCost }: TollsOptions): Tolls {
  const take = (asks: readonly Ask[]): Admitted => {
    const standings = limiter.take(asks);
    return standings instanceof Promise ? standings.then(toAdmission) : toAdmission(standings);
  };
  const takeFromAddress = (asker: Asker, amount: number): Admitted =>
    take([{ limit: limits.address, key: addressOf(asker), amount }]);
  // Of this process alone: to look it up costs nobody who is good a question to the store.
  const refused = new LRUCache<string, Refused>({ max: MAX_REFUSED });
  const budgetOf = (asker: Asker, amount: number): Ask => ({ limit: limits.cost, key: payerOf(asker), amount });
  return {
    maxCost,
    admit: (asker, operationHash, amount = 1) => {
      const { caller } = asker;
      if (!caller) return takeFromAddress(asker, amount);
      return take([
        { limit: limits.operation, key: `${caller.principalId} ${operationHash}`, amount },
        { limit: limits.principal, key: caller.principalId, amount },
        { limit: limits.tenant, key: caller.tenantId, amount },
      ]);
    },
    admitMore: takeFromAddress,
    fail: async (address, error) => {
      if (!(error instanceof AppError) || error.kind !== "unauthenticated") return error;
      const { refusal } = await take([{ limit: limits.address, key: addressOf({ address }) }]);
      if (!refusal) return error;
      refused.set(address, { refusal, untilMs: performance.now() + (refusal.retryAfterMs ?? 0) });
      return refusal;
    },
    refusalOf: (address) => {
      if (refused.size === 0) return undefined;
      const known = refused.get(address);
      if (!known || known.untilMs > performance.now()) return known?.refusal;
      refused.delete(address);
      return undefined;
    },
    connect: (asker) => take([{ limit: limits.connect, key: asker.caller?.principalId ?? addressOf(asker) }]),
    charge: (asker, cost) => {
      const limitOfOne = Math.min(maxCost, limits.cost.quota);
      if (cost > limitOfOne) return { standings: [], refusal: tooCostly(cost, limitOfOne) };
      return take([budgetOf(asker, cost)]);
    },
    settle: (asker, estimated, actual, { standings }) => {
      const spared = Math.max(0, estimated - actual);
      if (spared > 0) limiter.giveBack(budgetOf(asker, spared));
      return Math.min(limits.cost.quota, (standings[0]?.remaining ?? 0) + spared);
    },
  };
}

function toAdmission(standings: readonly Standing[]): Admission {
  const refused = standings.find(({ allowed }) => !allowed);
  return { standings, refusal: refused && tooOften(refused) };
}

function addressOf({ address }: Pick<Asker, "address">): string {
  return `address ${address ?? "unknown"}`;
}

function payerOf(asker: Asker): string {
  return asker.caller?.tenantId ?? addressOf(asker);
}

function tooOften({ limit: { name, quota, windowMs }, retryAfterMs, remaining }: Standing): AppError {
  const details = { limit: name, quota, windowMs, remaining };
  return name === "cost"
    ? errors.COST_BUDGET_EXHAUSTED({ retryAfterMs, details })
    : platformErrors.RATE_LIMITED({ retryAfterMs, details });
}

function tooCostly(estimated: number, limitOfOne: number): AppError {
  return errors.OPERATION_TOO_COSTLY({
    message: `The operation may cost ${estimated}, and at most ${limitOfOne} is allowed: ask for shorter lists, or for less of each item.`,
    details: { estimated, limit: limitOfOne },
  });
}
