import type { TenantScope } from "./caller.ts";

/**
 * Work of one tenant, done together: what is asked for in one turn of the event loop, or while a batch is under way, is the next batch.
 * Whoever is alone waits for nobody.
 */

const MOST_AT_ONCE = 64;

/** `work` settles every item that it is given and never throws. Returns how to ask for one more. */
export function openBatches<Item>(
  work: (scope: TenantScope, items: readonly Item[]) => Promise<void>,
): (scope: TenantScope, item: Item) => void {
  const waiting = new Map<string, Item[]>();

  async function drain(scope: TenantScope, items: Item[]): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (items.length > 0) await work(scope, items.splice(0, MOST_AT_ONCE));
    waiting.delete(scope.tenantId);
  }

  return ({ tenantId }, item) => {
    const items = waiting.get(tenantId);
    if (items) {
      items.push(item);
      return;
    }
    const first = [item];
    waiting.set(tenantId, first);
    void drain({ tenantId }, first);
  };
}
