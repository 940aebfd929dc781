import { afterEach, describe, expect, it, vi } from "vitest";
import { createCache, type CacheScope } from "./cache.ts";
import { ALL_PERMISSIONS, type Permission } from "./permissions.ts";

function scope(tenantId: string, ...permissions: Permission[]): CacheScope {
  return { tenantId, permissions: new Set(permissions) };
}

/** A load that answers who asked for it, and counts. */
function counted() {
  let loads = 0;
  return { load: (value: string) => () => Promise.resolve(`${value}#${++loads}`), loads: () => loads };
}

const READER = scope("t1", "run:read");

describe("a cache", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("loads once and answers from memory", async () => {
    const cache = createCache<string>({ maxEntries: 10, ttlMs: 60_000 });
    const { load } = counted();
    expect(await cache.get(READER, "a", load("x"))).toBe("x#1");
    expect(await cache.get(READER, "a", load("x"))).toBe("x#1");
    expect(await cache.get(READER, "b", load("x"))).toBe("x#2");
  });

  it("never shares between tenants, whatever their ids and keys look like", async () => {
    const cache = createCache<string>({ maxEntries: 1_000, ttlMs: 60_000 });
    const parts = ["", "a", "a,", 'a"', '"a"', "a b", "[", "a\\", "run:read"];
    for (const tenantId of parts) {
      for (const key of parts) {
        const own = `${tenantId} | ${key}`;
        expect(await cache.get(scope(tenantId, "run:read"), key, () => Promise.resolve(own))).toBe(own);
      }
    }
  });

  it("never shares between permission sets, neither smaller nor larger ones", async () => {
    const cache = createCache<string>({ maxEntries: 1_000, ttlMs: 60_000 });
    const sets: Permission[][] = [[], ["run:read"], ["usage:read"], ["run:read", "usage:read"], [...ALL_PERMISSIONS]];
    for (const permissions of sets) {
      const own = permissions.join();
      expect(await cache.get(scope("t1", ...permissions), "k", () => Promise.resolve(own))).toBe(own);
    }
  });

  it("shares between callers of one tenant with the same permissions, in any order", async () => {
    const cache = createCache<string>({ maxEntries: 10, ttlMs: 60_000 });
    const { load } = counted();
    await cache.get(scope("t1", "run:read", "usage:read"), "k", load("x"));
    expect(await cache.get(scope("t1", "usage:read", "run:read"), "k", load("x"))).toBe("x#1");
  });

  it("loads once for all who ask meanwhile", async () => {
    const cache = createCache<string>({ maxEntries: 10, ttlMs: 60_000 });
    const { load, loads } = counted();
    const answers = await Promise.all(Array.from({ length: 50 }, () => cache.get(READER, "k", load("x"))));
    expect(new Set(answers)).toEqual(new Set(["x#1"]));
    expect(loads()).toBe(1);
  });

  it("tells all who wait of a failure, and tries again for the next", async () => {
    const cache = createCache<string>({ maxEntries: 10, ttlMs: 60_000 });
    const failing = vi.fn(() => Promise.reject(new Error("not now")));
    const results = await Promise.allSettled([cache.get(READER, "k", failing), cache.get(READER, "k", failing)]);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(failing).toHaveBeenCalledTimes(1);
    await expect(
      cache.get(READER, "k", () => {
        throw new Error("at once");
      }),
    ).rejects.toThrow("at once");
    await expect(cache.get(READER, "k", () => Promise.resolve("fine"))).resolves.toBe("fine");
  });

  it("forgets one tenant and keeps the others", async () => {
    const cache = createCache<string>({ maxEntries: 10, ttlMs: 60_000 });
    const { load } = counted();
    const other = scope("t10", "run:read");
    await cache.get(READER, "k", load("t1"));
    await cache.get(scope("t1"), "k", load("t1"));
    await cache.get(other, "k", load("t10"));
    cache.invalidateTenant("t1");
    expect(await cache.get(other, "k", load("t10"))).toBe("t10#3");
    expect(await cache.get(READER, "k", load("t1"))).toBe("t1#4");
    expect(await cache.get(scope("t1"), "k", load("t1"))).toBe("t1#5");
  });

  it("does not remember what was loaded before its tenant was forgotten", async () => {
    const cache = createCache<string>({ maxEntries: 10, ttlMs: 60_000 });
    const { promise, resolve } = Promise.withResolvers<string>();
    const waiting = cache.get(READER, "k", () => promise);
    cache.invalidateTenant("t1");
    const fresh = cache.get(READER, "k", () => Promise.resolve("new"));
    resolve("old");
    expect(await waiting).toBe("old");
    expect(await fresh).toBe("new");
    expect(await cache.get(READER, "k", () => Promise.resolve("newer"))).toBe("new");
  });

  it("forgets what is too old", async () => {
    vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout"] });
    // The library takes an entry made at 0 for one that has no age.
    vi.advanceTimersByTime(1);
    const cache = createCache<string>({ maxEntries: 10, ttlMs: 1_000 });
    const { load } = counted();
    await cache.get(READER, "k", load("x"));
    vi.advanceTimersByTime(900);
    expect(await cache.get(READER, "k", load("x"))).toBe("x#1");
    vi.advanceTimersByTime(200);
    expect(await cache.get(READER, "k", load("x"))).toBe("x#2");
  });

  it("holds no more than it may, and drops what was not used for longest", async () => {
    const cache = createCache<string>({ maxEntries: 2, ttlMs: 60_000 });
    const { load } = counted();
    await cache.get(READER, "a", load("a"));
    await cache.get(READER, "b", load("b"));
    await cache.get(READER, "a", load("a"));
    await cache.get(READER, "c", load("c"));
    expect(await cache.get(READER, "a", load("a"))).toBe("a#1");
    expect(await cache.get(READER, "b", load("b"))).toBe("b#4");
  });
});
