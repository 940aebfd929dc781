import type { TenantScope } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import { pubsub } from "@sba/platform/pubsub";

/** What the gateway listens to: whoever is named may have lost rights, so nothing cached about them holds any more. */
export const REVOKED_TOPIC = "identity.revoked";

/** Says so after the commit. A lost message costs the gateway's cache lifetime, nothing else. */
export function announceRevocation(tx: Tx, { tenantId }: TenantScope, principalId: string): void {
  tx.afterCommit(() => {
    pubsub().publish(REVOKED_TOPIC, JSON.stringify({ tenantId, principalId }));
  });
}
