import { createReadStream } from "node:fs";
import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import type { Config } from "@sba/platform/config";
import { newId } from "@sba/platform/ids";

/** Where the bytes of artifacts are. Keys are ours: a tenant's UUID, a slash and the content's hash. */
export interface BlobStore {
  /** Writes the whole blob or nothing; the same key again holds the same bytes. */
  put(key: string, bytes: Uint8Array): Promise<void>;
  /** The blob as a stream, or undefined when there is none. */
  find(key: string): Promise<Readable | undefined>;
}

let current: BlobStore | undefined;

type BlobConfig = Pick<
  Config,
  | "DATA_DIR"
  | "BLOB_S3_BUCKET"
  | "BLOB_S3_ENDPOINT"
  | "BLOB_S3_REGION"
  | "BLOB_S3_ACCESS_KEY_ID"
  | "BLOB_S3_SECRET_ACCESS_KEY"
>;

/** Sets the store of this process: the S3-compatible bucket that is configured, else a folder below DATA_DIR. */
export async function useBlobStore(config: BlobConfig): Promise<void> {
  current = await openBlobStore(config);
}

export function blobStore(): BlobStore {
  if (!current) throw new Error("useBlobStore was not called");
  return current;
}

async function openBlobStore(config: BlobConfig): Promise<BlobStore> {
  const {
    BLOB_S3_BUCKET: bucket,
    BLOB_S3_ACCESS_KEY_ID: accessKeyId,
    BLOB_S3_SECRET_ACCESS_KEY: secretAccessKey,
  } = config;
  if (bucket === undefined || accessKeyId === undefined || secretAccessKey === undefined) {
    return folderBlobStore(join(config.DATA_DIR, "blobs"));
  }
  // Loaded only where it is used: the SDK costs tens of megabytes.
  const { s3BlobStore } = await import("./blob-s3.ts");
  return s3BlobStore({
    bucket,
    accessKeyId,
    secretAccessKey,
    region: config.BLOB_S3_REGION,
    endpoint: config.BLOB_S3_ENDPOINT,
  });
}

/** A folder: a blob appears under its key only when all of it is on the disk. */
export function folderBlobStore(folder: string): BlobStore {
  return {
    put: async (key, bytes) => {
      const path = join(folder, key);
      const partial = `${path}.${newId()}.partial`;
      await mkdir(dirname(path), { recursive: true });
      try {
        await writeAndSync(partial, bytes);
        await rename(partial, path);
      } catch (error) {
        await rm(partial, { force: true });
        throw error;
      }
    },
    find: async (key) => {
      const path = join(folder, key);
      return (await isFile(path)) ? createReadStream(path) : undefined;
    },
  };
}

async function writeAndSync(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}
