import { openBatches } from "./batches.ts";
import type { TenantScope } from "./caller.ts";
import { isDatabaseAway, withTenantByKey, type Tx } from "./db.ts";

/** Reads the answer to one question; it is as new as the moment when it was asked. @throws what reading threw */
export type GroupRead<Key, Answer> = (scope: TenantScope, key: Key) => Promise<Answer>;

interface Asked<Key, Answer> {
  readonly key: Key;
  readonly settle: PromiseWithResolvers<Answer>;
}

/**
 * Reads for many of one tenant in one transaction and one round trip. `read` issues its statements at once and answers in the order of
 * the keys. What may be answered to one of a tenant's callers and not to another does not belong here.
 */
export function openGroupRead<Key, Answer>(
  read: (tx: Tx, keys: readonly Key[]) => Promise<readonly Answer[]>,
): GroupRead<Key, Answer> {
  async function answer(scope: TenantScope, asked: readonly Asked<Key, Answer>[]): Promise<void> {
    const keys = asked.map(({ key }) => key);
    try {
      const answers = await withTenantByKey(scope, (tx) => read(tx, keys));
      for (const [index, { settle }] of asked.entries()) settle.resolve(answers[index] as Answer);
    } catch (error) {
      // One that cannot be read is no reason to leave the others without an answer.
      if (asked.length > 1 && !isDatabaseAway(error)) for (const each of asked) await answer(scope, [each]);
      else for (const { settle } of asked) settle.reject(error);
    }
  }

  const ask = openBatches(answer);
  return (scope, key) => {
    const settle = Promise.withResolvers<Answer>();
    ask(scope, { key, settle });
    return settle.promise;
  };
}
