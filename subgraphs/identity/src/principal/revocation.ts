import type { Caller, TenantScope } from "@sba/platform/caller";
import type { Tx } from "@sba/platform/db";
import { enqueue } from "@sba/platform/jobs";
import { pubsub } from "@sba/platform/pubsub";
import { repeatRevocationJob } from "../jobs.ts";

/** What the gateway listens to: whoever is named may have lost rights, so nothing cached about them holds any more. */
export const REVOKED_TOPIC = "identity.revoked";

/** Whose rights may have changed. */
export interface Revocation {
  /** UUID; everybody of the tenant when absent. */
  readonly principalId?: string | undefined;
}

/**
 * Says so after the commit, and once more by a job of this transaction, which outlives this process. What is lost all the same
 * costs the gateway's cache lifetime, nothing else. Its statement is issued at once.
 */
export async function announceRevocation(tx: Tx, caller: Caller, revocation: Revocation): Promise<void> {
  tx.afterCommit(() => {
    publish(caller, revocation);
  });
  await enqueue(tx, caller, repeatRevocationJob, revocation);
}

/** The job: harmless twice, since gateways only look again. */
export function repeatRevocation(caller: Caller, revocation: Revocation): Promise<void> {
  publish(caller, revocation);
  return Promise.resolve();
}

function publish({ tenantId }: TenantScope, { principalId }: Revocation): void {
  pubsub().publish(REVOKED_TOPIC, JSON.stringify({ tenantId, principalId }));
}
