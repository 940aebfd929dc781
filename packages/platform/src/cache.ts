import { LRUCache } from "lru-cache";
import type { Caller } from "./caller.ts";

/**
 * A small memory of this process for answers that are dear and may be a little old. There is no key without tenant and
 * permissions, so nobody is given what another tenant, or somebody who may see more, has asked for. What depends on
 * the principal does not belong here.
 */

/** Whose answer it is; a `Caller` is one. */
export type CacheScope = Pick<Caller, "tenantId" | "permissions">;

export interface CacheOptions {
  /** Entries over all tenants; the one that was not used for longest goes first. */
  readonly maxEntries: number;
  /** An entry is never older than this. */
  readonly ttlMs: number;
}

export interface Cache<Value extends {}> {
  /**
   * The value under `key` for this tenant and these permissions, loaded when it is not there. Those who ask while it is
   * being loaded share one load; what the load throws reaches all of them and is not remembered.
   */
  get(scope: CacheScope, key: string, load: () => Promise<Value>): Promise<Value>;
  /** Forgets all of a tenant; what is being loaded is still answered, but not remembered. */
  invalidateTenant(tenantId: string): void;
}

export function createCache<Value extends {}>({ maxEntries, ttlMs }: CacheOptions): Cache<Value> {
  // The clock is looked up when it is needed, so that tests can set it.
  const entries = new LRUCache<string, Value>({ max: maxEntries, ttl: ttlMs, perf: { now: () => performance.now() } });
  const loading = new Map<string, Promise<Value>>();

  async function loadOnce(key: string, load: () => Promise<Value>): Promise<Value> {
    // Begun in a microtask, so that a load that throws at once is a rejection like any other.
    const flight = Promise.resolve().then(load);
    loading.set(key, flight);
    try {
      const value = await flight;
      if (loading.get(key) === flight) entries.set(key, value);
      return value;
    } finally {
      if (loading.get(key) === flight) loading.delete(key);
    }
  }

  return {
    get: async (scope, name, load) => {
      const key = keyOf(scope, name);
      return entries.get(key) ?? loading.get(key) ?? loadOnce(key, load);
    },
    invalidateTenant: (tenantId) => {
      const prefix = tenantPrefix(tenantId);
      for (const keys of [entries.keys(), loading.keys()]) {
        for (const key of [...keys].filter((each) => each.startsWith(prefix))) {
          entries.delete(key);
          loading.delete(key);
        }
      }
    },
  };
}

// JSON keeps the parts apart whatever characters they hold.
function tenantPrefix(tenantId: string): string {
  return `${JSON.stringify(tenantId)},`;
}

function keyOf(scope: CacheScope, name: string): string {
  return `${tenantPrefix(scope.tenantId)}${JSON.stringify([permissionsKey(scope.permissions), name])}`;
}

const permissionKeys = new WeakMap<ReadonlySet<string>, string>();

/** One text for one set, in whatever order it was filled. */
function permissionsKey(permissions: ReadonlySet<string>): string {
  const known = permissionKeys.get(permissions);
  if (known !== undefined) return known;
  const key = [...permissions].sort().join(" ");
  permissionKeys.set(permissions, key);
  return key;
}
