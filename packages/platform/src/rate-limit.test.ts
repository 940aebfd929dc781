import { newId } from "@sba/platform/ids";
import { useDatabase, useRedis } from "@sba/testkit/services";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRateLimiter, openRateLimiter, rateLimitHeaders, type Ask, type RateLimiter } from "./rate-limit.ts";

const database = useDatabase();
const redis = useRedis();

// Slow to come back: nothing does while a test runs.
const HUNDRED = { name: "hundred", quota: 100, windowMs: 3_600_000 };

describe.each([
  ["Redis", () => ({ redisUrl: redis().url })],
  ["Postgres", () => ({ databaseUrl: database().urls.app })],
  ["one process", () => ({})],
])("limits in %s", (_store, optionsOf) => {
  let limiter: RateLimiter;
  beforeAll(async () => {
    limiter = await openRateLimiter(optionsOf());
  });
  afterAll(() => limiter.close());
  const allowedOf = async (count: number, ask: Ask, by: readonly RateLimiter[] = [limiter]): Promise<number> => {
    const answers = await Promise.all(
      Array.from({ length: count }, async (_, index) => by[index % by.length]!.take([ask])),
    );
    return answers.filter((standings) => standings.every(({ allowed }) => allowed)).length;
  };

  test("allow exactly as many as they say of 200 at once, and say when to come again", async () => {
    const ask = { limit: HUNDRED, key: newId() };
    expect(await allowedOf(200, ask)).toBe(100);
    const [refused] = await limiter.take([ask]);
    expect(refused).toMatchObject({ allowed: false, remaining: 0 });
    expect(refused?.retryAfterMs).toBeGreaterThan(0);
    expect(refused?.retryAfterMs).toBeLessThanOrEqual(36_000);
  });

  test("allow exactly as many one after the other, whatever was booked ahead", async () => {
    const ask = { limit: HUNDRED, key: newId() };
    let allowed = 0;
    for (let each = 0; each < 120; each++) allowed += await allowedOf(1, ask);
    expect(allowed).toBe(100);
  });

  test("are taken from all or from none", async () => {
    const [wide, narrow] = [
      { limit: HUNDRED, key: newId() },
      { limit: { ...HUNDRED, name: "one", quota: 1 }, key: newId() },
    ];
    expect((await limiter.take([wide, narrow])).map(({ allowed }) => allowed)).toEqual([true, true]);
    for (let each = 0; each < 10; each++)
      expect((await limiter.take([wide, narrow])).map(({ allowed }) => allowed)).toEqual([true, false]);
    expect(await allowedOf(200, wide)).toBe(99);
  });

  test("count by amount, and take back what was not used", async () => {
    const ask = { limit: HUNDRED, key: newId(), amount: 60 };
    expect(await allowedOf(1, ask)).toBe(1);
    expect(await allowedOf(1, ask)).toBe(0);
    limiter.giveBack({ ...ask, amount: 20 });
    expect(await allowedOf(1, ask)).toBe(1);
    expect(await allowedOf(1, { ...ask, amount: 1 })).toBe(0);
  });

  test("of one key say nothing of another", async () => {
    expect(await allowedOf(150, { limit: HUNDRED, key: newId() })).toBe(100);
    expect(await allowedOf(150, { limit: HUNDRED, key: newId() })).toBe(100);
  });

  test("come back with time", async () => {
    const ask = { limit: { name: "quick", quota: 2, windowMs: 200 }, key: newId() };
    await allowedOf(2, ask);
    await expect.poll(() => allowedOf(1, ask)).toBe(1);
  });
});

test.each([
  ["Redis", () => ({ redisUrl: redis().url })],
  ["Postgres", () => ({ databaseUrl: database().urls.app })],
])("two processes with one %s allow exactly one limit between them", async (_store, optionsOf) => {
  const limiters = await Promise.all([openRateLimiter(optionsOf()), openRateLimiter(optionsOf())]);
  const ask = { limit: HUNDRED, key: newId() };
  let allowed = 0;
  for (let each = 0; each < 10; each++)
    allowed += (await limiters[each % 2]!.take([ask])).every((one) => one.allowed) ? 1 : 0;
  const answers = await Promise.all(Array.from({ length: 200 }, async (_, index) => limiters[index % 2]!.take([ask])));
  expect(allowed + answers.filter(([standing]) => standing?.allowed).length).toBe(100);
  await Promise.all(limiters.map((limiter) => limiter.close()));
});

test.each([
  ["Redis", () => ({ redisUrl: redis().url })],
  ["Postgres", () => ({ databaseUrl: database().urls.app })],
])("a process that was busy for longer than %s may take keeps to the limit", async (_store, optionsOf) => {
  const [spender, busy] = await Promise.all([openRateLimiter(optionsOf()), openRateLimiter(optionsOf())]);
  const ask = { limit: HUNDRED, key: newId() };
  await spender.take([{ ...ask, amount: 100 }]);
  await busy.take([{ limit: HUNDRED, key: newId() }]);
  const asked = busy.take([ask]);
  const until = performance.now() + 1_500;
  while (performance.now() < until);
  expect(await asked).toMatchObject([{ allowed: false }]);
  await Promise.all([spender.close(), busy.close()]);
});

test("a store that takes too long leaves each process its own limit", async () => {
  const limiter = createRateLimiter({
    patienceMs: 20,
    book: () => new Promise(() => undefined),
    close: () => Promise.resolve(),
  });
  expect(await limiter.take([{ limit: HUNDRED, key: newId() }])).toMatchObject([{ allowed: true, remaining: 99 }]);
});

test("a store that does not answer leaves each process its own limit", async () => {
  const limiter = createRateLimiter({
    patienceMs: 1_000,
    book: () => Promise.reject(new Error("gone")),
    close: () => Promise.resolve(),
  });
  const ask = { limit: HUNDRED, key: newId() };
  const answers = await Promise.all(Array.from({ length: 200 }, async () => limiter.take([ask])));
  expect(answers.filter(([standing]) => standing?.allowed)).toHaveLength(100);
});

test("headers name every policy, and how the nearest stands", async () => {
  const limiter = await openRateLimiter({});
  const standings = await limiter.take([
    { limit: { name: "tenant", quota: 1_000, windowMs: 60_000 }, key: "a" },
    { limit: { name: "principal", quota: 10, windowMs: 1_000 }, key: "b" },
  ]);
  expect(rateLimitHeaders(standings)).toMatchObject({
    "ratelimit-policy": `"tenant";q=1000;w=60, "principal";q=10;w=1`,
    ratelimit: `"principal";r=9;t=1`,
    "ratelimit-limit": "10",
    "ratelimit-remaining": "9",
    "ratelimit-reset": "1",
  });
});
