import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { logger } from "./log.ts";
import { openMemoryRateLimits } from "./rate-limit-memory.ts";
import type { Booked, RateLimitStore } from "./rate-limit-store.ts";

/**
 * Limits of how often something may be done, shared by all processes: GCRA in Redis, or in Postgres without it. What a process
 * books ahead it spends without asking again (ADR 0015): there is never more than the limit allows, whatever runs at once.
 */

export interface RateLimit {
  /** Of the policy, in headers and errors. */
  readonly name: string;
  /** Permits in a window, and at once when nothing was used before. */
  readonly quota: number;
  readonly windowMs: number;
}

export interface Ask {
  readonly limit: RateLimit;
  /** Whose permits; one limit's keys are apart from another's. */
  readonly key: string;
  /** Permits; 1 by default. */
  readonly amount?: number;
}

/** How a limit stands after it was asked. */
export interface Standing {
  readonly limit: RateLimit;
  readonly allowed: boolean;
  readonly remaining: number;
  /** Until all permits are there again. */
  readonly resetMs: number;
  /** Until the refused amount is there; 0 when it was allowed. */
  readonly retryAfterMs: number;
}

export interface RateLimiter {
  /**
   * Takes from every limit or, when one refuses, from none. Gives each as it stands, the refusing one last; at once when all was booked
   * ahead. Never throws.
   */
  take(asks: readonly Ask[]): readonly Standing[] | Promise<readonly Standing[]>;
  /** Gives back what was taken and not used. */
  giveBack(ask: Ask): void;
  close(): Promise<void>;
}

export interface RateLimiterOptions {
  /** Of the application role. */
  readonly databaseUrl?: string | undefined;
  readonly redisUrl?: string | undefined;
}

/** Opens the limits of this process; with neither Redis nor Postgres they are of this process alone. */
export async function openRateLimiter({ databaseUrl, redisUrl }: RateLimiterOptions): Promise<RateLimiter> {
  // Loaded when chosen: a process does not pay for a driver that it does not use.
  if (redisUrl !== undefined)
    return createRateLimiter(await (await import("./rate-limit-redis.ts")).openRedisRateLimits(redisUrl));
  if (databaseUrl !== undefined)
    return createRateLimiter((await import("./rate-limit-postgres.ts")).openPostgresRateLimits(databaseUrl));
  return createRateLimiter(openMemoryRateLimits());
}

/** Of one limit. */
const MAX_KEYS = 50_000;
/** A process books at most this part of what is left ahead of its need. */
const AHEAD_PART = 16;

export function createRateLimiter(store: RateLimitStore): RateLimiter {
  const fallback = openMemoryRateLimits();
  // By the limit and the key as they come: a name made of both would be built and hashed anew each time.
  const accounts = new Map<RateLimit, LRUCache<string, Account>>();
  const book: RateLimitStore["book"] = (booking) =>
    inTime(store.book(booking), store.patienceMs).catch((error: unknown) => {
      logger.warn({ err: error }, "rate limits are this process's own: their store does not answer");
      return fallback.book(booking);
    });
  const accountOf = ({ limit, key }: Ask): Account => {
    let ofLimit = accounts.get(limit);
    if (!ofLimit) accounts.set(limit, (ofLimit = new LRUCache({ max: MAX_KEYS })));
    const known = ofLimit.get(key);
    if (known) return known;
    const made = openAccount(storedKey(`${limit.name}/${limit.quota}/${limit.windowMs}/${key}`), limit, book);
    ofLimit.set(key, made);
    return made;
  };
  /** From the first on that was not booked ahead. */
  const takeRest = async (asks: readonly Ask[], standings: Standing[]): Promise<readonly Standing[]> => {
    for (const ask of asks.slice(standings.length)) {
      const account = accountOf(ask);
      const amount = ask.amount ?? 1;
      const standing = account.spend(amount) ?? (await account.take(amount));
      standings.push(standing);
      if (standing.allowed) continue;
      for (const taken of asks.slice(0, standings.length - 1)) accountOf(taken).giveBack(taken.amount ?? 1);
      break;
    }
    return standings;
  };
  return {
    take: (asks) => {
      const standings: Standing[] = [];
      for (const ask of asks) {
        const standing = accountOf(ask).spend(ask.amount ?? 1);
        if (!standing) return takeRest(asks, standings);
        standings.push(standing);
      }
      return standings;
    },
    giveBack: (ask) => {
      accountOf(ask).giveBack(ask.amount ?? 1);
    },
    close: () => store.close(),
  };
}

const GLANCES = 5;

/**
 * The answer, or a failure when it takes too long. By several glances at the clock: while this process was busy none of them passed, and
 * one that has too much to do must not forget its limits for that.
 */
function inTime<T>(answer: Promise<T>, patienceMs: number): Promise<T> {
  if (patienceMs === Infinity) return answer;
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout;
    const wait = (glances: number): void => {
      timer = setTimeout(() => {
        if (glances > 1) wait(glances - 1);
        else reject(new Error(`no answer within ${patienceMs} ms`));
      }, patienceMs / GLANCES);
    };
    wait(GLANCES);
    answer
      .finally(() => {
        clearTimeout(timer);
      })
      .then(resolve, reject);
  });
}

/** Keys name tenants and principals: a store that others may read has only their hashes. */
function storedKey(name: string): string {
  return createHash("sha256").update(name).digest("base64url");
}

interface Account {
  /** At once, from what was booked ahead; undefined when that does not suffice. */
  spend(amount: number): Standing | undefined;
  take(amount: number): Promise<Standing>;
  giveBack(amount: number): void;
}

interface Waiter {
  readonly amount: number;
  readonly resolve: (standing: Standing) => void;
}

function clockUs(): number {
  return performance.now() * 1_000;
}

/** One key's permits as this process has them. */
function openAccount(key: string, limit: RateLimit, book: RateLimitStore["book"]): Account {
  const { quota, windowMs } = limit;
  const intervalUs = Math.max(1, Math.round((windowMs * 1_000) / quota));
  let held = 0;
  let decayedAtUs = clockUs();
  let last: Booked | undefined;
  let lastAtUs = 0;
  let waiting: Waiter[] = [];
  let asking = false;

  /** The store's permits grow while ours lie here: ours shrink as fast, so that both together are never more than the limit. */
  const decay = (nowUs: number): void => {
    const gone = Math.floor((nowUs - decayedAtUs) / intervalUs);
    if (gone <= 0) return;
    held = Math.max(0, held - gone);
    decayedAtUs += gone * intervalUs;
  };
  const aheadAt = (nowUs: number): number => Math.max(0, (last?.aheadUs ?? 0) - (nowUs - lastAtUs));
  const stand = (allowed: boolean, amount: number, nowUs: number): Standing => {
    const aheadUs = aheadAt(nowUs);
    const remaining = Math.floor((quota * intervalUs - aheadUs) / intervalUs + 1e-9) + held;
    const missing = aheadUs + (amount - held) * intervalUs - quota * intervalUs;
    return {
      limit,
      allowed,
      remaining: Math.max(0, Math.min(quota, remaining)),
      resetMs: Math.ceil(aheadUs / 1_000),
      retryAfterMs: allowed ? 0 : Math.max(1, Math.ceil(missing / 1_000)),
    };
  };
  const spend = (amount: number): Standing | undefined => {
    if (held === 0 || asking) return undefined;
    const nowUs = clockUs();
    decay(nowUs);
    if (held < amount) return undefined;
    held -= amount;
    return stand(true, amount, nowUs);
  };
  /** One question for all who wait; those who come while it is under way are the next one's. */
  const ask = async (): Promise<void> => {
    asking = true;
    while (waiting.length > 0) {
      const served = waiting;
      waiting = [];
      const askedAtUs = clockUs();
      decay(askedAtUs);
      const needed = served.reduce((sum, { amount }) => sum + amount, 0);
      const ahead = last ? Math.floor((quota - aheadAt(askedAtUs) / intervalUs) / AHEAD_PART) : 0;
      const wanted = Math.min(quota, Math.max(0, needed - held) + Math.max(0, ahead));
      const booked = wanted > 0 ? await book({ key, intervalUs, burst: quota, wanted }) : undefined;
      if (booked) {
        [last, lastAtUs] = [booked, clockUs()];
        // What came just now has not lain here: only what was held before may shrink.
        if (held === 0) decayedAtUs = lastAtUs;
        held += booked.granted;
      }
      for (const { amount, resolve } of served) {
        const allowed = held >= amount;
        if (allowed) held -= amount;
        resolve(stand(allowed, amount, clockUs()));
      }
    }
    asking = false;
  };
  return {
    spend,
    take: (amount) =>
      new Promise((resolve) => {
        waiting.push({ amount, resolve });
        if (!asking) void ask();
      }),
    giveBack: (amount) => {
      const nowUs = clockUs();
      decay(nowUs);
      if (held === 0) decayedAtUs = nowUs;
      held = Math.min(quota, held + amount);
    },
  };
}

/**
 * A refusal's headers and every answer's: those of the IETF's draft (draft-ietf-httpapi-ratelimit-headers) and, since most
 * clients still read these, the three of its earlier versions, of the limit that is nearest.
 */
export function rateLimitHeaders(standings: readonly Standing[]): Record<string, string> {
  const [nearest] = standings.toSorted((a, b) => a.remaining / a.limit.quota - b.remaining / b.limit.quota);
  if (!nearest) return {};
  const { limit, remaining, resetMs } = nearest;
  const resetS = Math.ceil(resetMs / 1_000);
  return {
    "ratelimit-policy": standings.map((standing) => policyOf(standing.limit)).join(", "),
    ratelimit: `"${limit.name}";r=${remaining};t=${resetS}`,
    "ratelimit-limit": String(limit.quota),
    "ratelimit-remaining": String(remaining),
    "ratelimit-reset": String(resetS),
  };
}

// Limits are made once; every answer names some.
const policies = new WeakMap<RateLimit, string>();

function policyOf(limit: RateLimit): string {
  const known = policies.get(limit);
  if (known !== undefined) return known;
  const { name, quota, windowMs } = limit;
  const policy = `"${name}";q=${quota};w=${Math.ceil(windowMs / 1_000)}`;
  policies.set(limit, policy);
  return policy;
}
