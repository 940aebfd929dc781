/** What the rate limiter's stores have in common: see `rate-limit.ts`. Times are microseconds, so that high rates have whole intervals. */

export interface Booking {
  readonly key: string;
  /** Microseconds until one permit is there again. */
  readonly intervalUs: number;
  /** Permits that there are at most. */
  readonly burst: number;
  readonly wanted: number;
}

export interface Booked {
  /** As many of the wanted as there were. */
  readonly granted: number;
  /** What is booked ahead of now: `burst * intervalUs` when nothing is left. */
  readonly aheadUs: number;
}

/** Keeps, for each key, the theoretical arrival time of GCRA (ITU-T I.371): one number, moved ahead by what is granted. */
export interface RateLimitStore {
  /** Longer than this is no answer: a limit may not hold up what it guards. */
  readonly patienceMs: number;
  book(booking: Booking): Promise<Booked>;
  close(): Promise<void>;
}

/** GCRA's one step, for stores that compute here. Gives the new arrival time beside the answer. */
export function bookAt(
  nowUs: number,
  arrivalUs: number | undefined,
  { intervalUs, burst, wanted }: Booking,
): Booked & { readonly arrivalUs: number } {
  const from = Math.max(arrivalUs ?? nowUs, nowUs);
  const free = Math.floor((burst * intervalUs - (from - nowUs)) / intervalUs + 1e-9);
  const granted = Math.max(0, Math.min(wanted, free));
  const moved = from + granted * intervalUs;
  return { granted, arrivalUs: moved, aheadUs: moved - nowUs };
}
