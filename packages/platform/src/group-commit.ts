import { openBatches } from "./batches.ts";
import type { TenantScope } from "./caller.ts";
import { isDatabaseAway, refusedKeys, withTenantByKey, type Tx } from "./db.ts";

/**
 * Commits of many in one transaction. While one is under way everything that is asked for is kept for the next, so that a busy
 * tenant pays for one round trip and one flush to disk where it would pay for twenty, and a lone commit waits for nobody. Each is
 * committed or refused for itself: who is refused by `platform.require_none` is left out, and whoever else fails is found by trying
 * each alone.
 */
export interface GroupOptions<Item> {
  /** Names an item to `platform.require_none`. */
  readonly keyOf: (item: Item) => string;
  /** Issues the statements of all these items and waits for no answer. It runs again for those that are left when one is refused. */
  readonly write: (tx: Tx, items: readonly Item[]) => void;
}

/** Resolves when the item is committed. @throws what its statements were refused with; DATABASE_UNAVAILABLE when nobody can say */
export type GroupCommit<Item> = (scope: TenantScope, item: Item) => Promise<void>;

interface Member<Item> {
  readonly item: Item;
  readonly key: string;
  readonly settle: PromiseWithResolvers<void>;
}

/** Opens a group for the life of the process: one transaction a tenant at a time. */
export function openGroup<Item>({ keyOf, write }: GroupOptions<Item>): GroupCommit<Item> {
  const attempt = (scope: TenantScope, members: readonly Member<Item>[]): Promise<unknown> =>
    withTenantByKey(scope, (tx) => {
      write(
        tx,
        members.map(({ item }) => item),
      );
      return Promise.resolve();
    });

  async function commit(scope: TenantScope, members: readonly Member<Item>[]): Promise<void> {
    try {
      await attempt(scope, members);
      for (const { settle } of members) settle.resolve();
    } catch (error) {
      await commitRest(scope, members, error);
    }
  }

  async function commitRest(scope: TenantScope, members: readonly Member<Item>[], error: unknown): Promise<void> {
    const refused = refusedKeys(error);
    // What became of a commit that the database could not answer is not tried out: whoever asked finds it out.
    const blamesAll = members.length === 1 || isDatabaseAway(error);
    const blamed = members.filter(({ key }) => blamesAll || refused?.has(key) === true);
    for (const { settle } of blamed) settle.reject(error);
    const rest = members.filter((member) => !blamed.includes(member));
    if (blamed.length > 0 && rest.length > 0) await commit(scope, rest);
    else for (const member of rest) await commit(scope, [member]);
  }

  const ask = openBatches(commit);
  return (scope, item) => {
    const settle = Promise.withResolvers<void>();
    ask(scope, { item, key: keyOf(item), settle });
    return settle.promise;
  };
}
