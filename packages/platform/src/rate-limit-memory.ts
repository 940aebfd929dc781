import { LRUCache } from "lru-cache";
import { bookAt, type RateLimitStore } from "./rate-limit-store.ts";

/** Limits of one process alone: of a gateway without Redis and Postgres, and of any while its store does not answer. */

const MAX_KEYS = 100_000;

export function openMemoryRateLimits(): RateLimitStore {
  const arrivals = new LRUCache<string, number>({ max: MAX_KEYS });
  return {
    patienceMs: Infinity,
    book: (booking) => {
      const { arrivalUs, ...booked } = bookAt(performance.now() * 1_000, arrivals.get(booking.key), booking);
      arrivals.set(booking.key, arrivalUs);
      return Promise.resolve(booked);
    },
    close: () => Promise.resolve(),
  };
}
