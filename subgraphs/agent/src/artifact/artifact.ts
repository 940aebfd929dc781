import { createHash } from "node:crypto";
import type { Caller } from "@sba/platform/caller";
import { withTenant } from "@sba/platform/db";
import type { Artifact } from "@sba/platform/generated/prisma/client";
import { reader } from "@sba/platform/reader";
import { artifactErrors } from "./errors.ts";
import { blobStore } from "@sba/platform/blobs";

/** A file that a run wrote. Its row says what it is; its bytes are in the blob store and never change. */
export type { Artifact };

export interface CreateArtifactInput {
  /** UUID; the id of the tool call that writes it, so that a repeat of the call finds it. */
  readonly id: string;
  readonly runId?: string | undefined;
  /** A file name. */
  readonly name: string;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
}

/**
 * Stores bytes and the row that names them. The blob comes first and under its content's hash: a crash in between leaves
 * a blob without a row, which the repeat finds and uses, and never a row without its blob. Idempotent by id.
 */
export async function createArtifact(
  caller: Caller,
  { id, runId, name, mediaType, bytes }: CreateArtifactInput,
): Promise<Artifact> {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const blobKey = `${caller.tenantId}/${sha256}`;
  await blobStore().put(blobKey, bytes);
  const [artifact] = await withTenant(caller, async (tx) => {
    const created = await tx.sql<Artifact>`
      INSERT INTO agent.artifact (tenant_id, id, run_id, name, media_type, size_bytes, sha256, blob_key)
      VALUES (${caller.tenantId}, ${id}, ${runId ?? null}, ${name}, ${mediaType}, ${bytes.byteLength}, ${sha256}, ${blobKey})
      ON CONFLICT (tenant_id, id) DO NOTHING RETURNING *`;
    return created.length > 0
      ? created
      : tx.sql<Artifact>`SELECT * FROM agent.artifact WHERE tenant_id = ${caller.tenantId} AND id = ${id}`;
  });
  if (!artifact) throw artifactErrors.AGENT_ARTIFACT_NOT_FOUND();
  return artifact;
}

/** The artifacts of these runs, oldest first. */
export function listArtifacts(
  caller: Caller,
  runIds: readonly string[],
): Promise<(Artifact & { readonly runId: string })[]> {
  return reader(caller).artifact.findMany({
    where: { tenantId: caller.tenantId, runId: { in: [...runIds] } },
    orderBy: { id: "asc" },
  }) as Promise<(Artifact & { runId: string })[]>; // Those with a run among these have a run.
}

/** The artifacts with these UUIDs that the tenant has. */
export function findArtifacts(caller: Pick<Caller, "tenantId">, ids: readonly string[]): Promise<Artifact[]> {
  return reader(caller).artifact.findMany({ where: { tenantId: caller.tenantId, id: { in: [...ids] } } });
}
