import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { rateLimit } from "./rate-limit.ts";
import { backoffMs, pause } from "./wait.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("the pause before the next attempt", () => {
  test("doubles up to a bound, and lies between half and all of it, so that a crowd does not come back together", () => {
    const shortest = [1, 2, 3, 30].map((attempt) => backoffMs(attempt, { firstMs: 100, random: () => 0 }));
    const longest = [1, 2, 3, 30].map((attempt) => backoffMs(attempt, { firstMs: 100, random: () => 1 }));
    expect(shortest).toEqual([100, 200, 400, 5_000]);
    expect(longest).toEqual([200, 400, 800, 10_000]);
  });

  test("is what the server said, and a little more", () => {
    expect(backoffMs(9, { retryAfterMs: 500, random: () => 0 })).toBe(500);
    expect(backoffMs(9, { retryAfterMs: 500, random: () => 1 })).toBe(600);
  });

  test("is cut short by a signal", async () => {
    const waking = new AbortController();
    const paused = pause(60_000, waking.signal);
    waking.abort();
    await paused;
    expect(vi.getTimerCount()).toBe(0);
    await pause(60_000, waking.signal);
  });
});

describe("what a client sends at most", () => {
  const sentBy = async (limit: ReturnType<typeof rateLimit>, count: number, ms: number): Promise<number> => {
    let sent = 0;
    for (let index = 0; index < count; index++) void limit.take().then(() => sent++);
    await vi.advanceTimersByTimeAsync(ms);
    return sent;
  };

  test("is a burst, then so many a second", async () => {
    const limit = rateLimit({ perSecond: 10, burst: 5 });
    expect(await sentBy(limit, 30, 0)).toBe(5);
    expect(await sentBy(limit, 0, 1_000)).toBe(0);
    expect(await sentBy(rateLimit({ perSecond: 10, burst: 5 }), 30, 1_000)).toBe(15);
  });

  test("is nothing for as long as the server said", async () => {
    const limit = rateLimit({ perSecond: 10, burst: 5 });
    limit.hold(2_000);
    expect(await sentBy(limit, 3, 1_999)).toBe(0);
    const rest = sentBy(limit, 0, 1);
    await rest;
    await expect(limit.take()).resolves.toBeUndefined();
  });

  test("is not waited for by a request that was given up", async () => {
    const limit = rateLimit({ perSecond: 1, burst: 1 });
    const leaving = new AbortController();
    await limit.take();
    const failure = expect(limit.take(leaving.signal)).rejects.toThrow("aborted");
    leaving.abort();
    await failure;
  });
});
