import { createHash } from "node:crypto";
import { blobStore } from "@sba/platform/blobs";
import type { TenantScope } from "@sba/platform/caller";
import { errors } from "../errors.ts";
import { blobKeyOf, findUploads } from "./upload.ts";

/**
 * The bytes of an upload, as they were declared.
 * @throws KNOWLEDGE_UPLOAD_NOT_STORED, KNOWLEDGE_UPLOAD_SIZE_DIFFERS, KNOWLEDGE_UPLOAD_CHECKSUM_DIFFERS
 */
export async function readUpload(scope: TenantScope, id: string): Promise<Uint8Array<ArrayBuffer>> {
  const [upload] = await findUploads(scope, [id]);
  const source = upload && (await blobStore().find(blobKeyOf(upload)));
  if (!upload || !source) throw errors.KNOWLEDGE_UPLOAD_NOT_STORED();
  const bytes = new Uint8Array(upload.sizeBytes);
  const hash = createHash("sha256");
  let length = 0;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    if (length + chunk.length > bytes.length) throw errors.KNOWLEDGE_UPLOAD_SIZE_DIFFERS();
    bytes.set(chunk, length);
    hash.update(chunk);
    length += chunk.length;
  }
  if (length !== bytes.length) throw errors.KNOWLEDGE_UPLOAD_SIZE_DIFFERS();
  if (upload.sha256 !== null && upload.sha256 !== hash.digest("hex")) throw errors.KNOWLEDGE_UPLOAD_CHECKSUM_DIFFERS();
  return bytes;
}
