import { blobStore } from "@sba/platform/blobs";
import { systemTx, withTenant } from "@sba/platform/db";
import type { Upload } from "@sba/platform/generated/prisma/client";
import { blobKeyOf } from "./upload.ts";

const AT_A_TIME = 50;
/** Who takes some and dies leaves them to the others after so long. */
const TAKEN_SECONDS = 300;

/**
 * Removes the uploads of all tenants that were not used in time, and those that no document has any more. Called by the
 * schedules; two at once share the work. Returns how many it removed.
 */
export async function forgetUploads(signal: AbortSignal): Promise<number> {
  let total = 0;
  while (!signal.aborted) {
    const taken = await takeForgotten();
    for (const upload of taken) await forget(upload);
    total += taken.length;
    if (taken.length < AT_A_TIME) break;
  }
  return total;
}

type Forgotten = Pick<Upload, "tenantId" | "id">;

function takeForgotten(): Promise<Forgotten[]> {
  return systemTx(
    "forget uploads",
    (tx) => tx.sql<Forgotten>`
    UPDATE knowledge.upload SET forget_at = clock_timestamp() + make_interval(secs => ${TAKEN_SECONDS}) WHERE (tenant_id, id) IN (
      SELECT tenant_id, id FROM knowledge.upload WHERE forget_at <= clock_timestamp() ORDER BY forget_at LIMIT ${AT_A_TIME} FOR UPDATE SKIP LOCKED)
    RETURNING tenant_id, id`,
  );
}

/** The row goes last: as long as it is there, the bytes are found again and removed. */
async function forget(upload: Forgotten): Promise<void> {
  await blobStore().remove(blobKeyOf(upload));
  await withTenant(upload, (tx) => tx.sql`DELETE FROM knowledge.upload WHERE id = ${upload.id}`);
}
