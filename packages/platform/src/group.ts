import { openBatches } from "./batches.ts";
import type { TenantScope } from "./caller.ts";
import { isDatabaseAway, refusedKeys, withTenant, withTenantByKey, type Tx } from "./db.ts";

/**
 * What many ask of one tenant's rows, in one transaction. While one is under way everything that is asked for is kept for the next, so
 * that a busy tenant pays for one round trip and one flush to disk where it would pay for twenty, and who is alone waits for nobody.
 * Each is answered or refused for itself: who is refused by `platform.require_none` is left out, and whoever else fails is found by
 * trying each alone.
 */
export interface GroupOptions<Item, Answer> {
  /** Names an item to `platform.require_none`. */
  readonly keyOf: (item: Item) => string;
  /**
   * Issues the statements of all these items before it waits for an answer, and answers in the order of the items. It runs again for
   * those that are left when one is refused.
   */
  readonly work: (tx: Tx, items: readonly Item[]) => Promise<readonly Answer[]>;
  /** True when `work` waits for answers all the same, and says itself which statements are its last (`tx.finish`). */
  readonly inTurns?: boolean;
}

/** Resolves when the item is committed. @throws what its statements were refused with; DATABASE_UNAVAILABLE when nobody can say */
export type Group<Item, Answer> = (scope: TenantScope, item: Item) => Promise<Answer>;

interface Member<Item, Answer> {
  readonly item: Item;
  readonly key: string;
  readonly settle: PromiseWithResolvers<Answer>;
}

/** Opens a group for the life of the process: one transaction a tenant at a time. */
export function openGroup<Item, Answer>({
  keyOf,
  work,
  inTurns = false,
}: GroupOptions<Item, Answer>): Group<Item, Answer> {
  async function commit(scope: TenantScope, members: readonly Member<Item, Answer>[]): Promise<void> {
    const items = members.map(({ item }) => item);
    try {
      const together = (tx: Tx): Promise<readonly Answer[]> => work(tx, items);
      const answers = await (inTurns ? withTenant(scope, together, { byKey: true }) : withTenantByKey(scope, together));
      for (const [index, { settle }] of members.entries()) settle.resolve(answers[index] as Answer);
    } catch (error) {
      await commitRest(scope, members, error);
    }
  }

  async function commitRest(
    scope: TenantScope,
    members: readonly Member<Item, Answer>[],
    error: unknown,
  ): Promise<void> {
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
    const settle = Promise.withResolvers<Answer>();
    ask(scope, { item, key: keyOf(item), settle });
    return settle.promise;
  };
}

type Read<Key, Answer> = GroupOptions<Key, Answer>["work"];

interface Asked {
  readonly read: Read<unknown, unknown>;
  readonly key: unknown;
}

/** Each kind of read issues its statements for all who asked for it. */
const readTogether = openGroup<Asked, unknown>({
  keyOf: () => "",
  work: async (tx, asked) => {
    const answers = new Map<Asked, unknown>();
    const readAll = async (read: Asked["read"], members: readonly Asked[]): Promise<void> => {
      const keys = members.map(({ key }) => key);
      const found = await read(tx, keys);
      for (const [index, member] of members.entries()) answers.set(member, found[index]);
    };
    await Promise.all([...Map.groupBy(asked, ({ read }) => read)].map(([read, members]) => readAll(read, members)));
    return asked.map((member) => answers.get(member));
  },
});

/**
 * A group that only reads: an answer is as new as the moment when it was asked for. What is read of one tenant at one moment travels
 * together, whatever it is. What may be answered to one of a tenant's callers and not to another does not belong here.
 */
export function openGroupRead<Key, Answer>(read: Read<Key, Answer>): Group<Key, Answer> {
  const kind = read as Read<unknown, unknown>;
  return (scope, key) => readTogether(scope, { read: kind, key }) as Promise<Answer>;
}
