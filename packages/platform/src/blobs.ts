import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Config } from "./config.ts";
import { newId } from "./ids.ts";

/** Where bytes are that are too many for the database: artifacts, uploads. Keys are ours and begin with the tenant's UUID. */
export interface BlobStore {
  /** Writes the whole blob or nothing; the same key again holds the same bytes. */
  put(key: string, bytes: Uint8Array): Promise<void>;
  /** The blob as a stream, or undefined when there is none. */
  find(key: string): Promise<Readable | undefined>;
  /** In bytes; undefined when there is none. */
  sizeOf(key: string): Promise<number | undefined>;
  /** Removes the blob, and what an interrupted intake left of it. One that is not there is none the less removed. */
  remove(key: string): Promise<void>;
  readonly intake: Intake;
}

/** How clients bring bytes: to this platform, which passes them on, or by a link to the store itself. */
export type Intake =
  | { readonly at: "platform"; stage(key: string, source: Readable, options: StageOptions): Promise<StagedBlob> }
  | { readonly at: "store"; presignPut(key: string, options: PresignOptions): Promise<PresignedPut> };

export interface StageOptions {
  /** No more than this is kept; a blob that turns out longer says so by its size. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/** Bytes that are all there and that nobody finds yet. */
export interface StagedBlob {
  /** More than `maxBytes` when there were more: how many is not known. */
  readonly sizeBytes: number;
  /** In hexadecimal. */
  readonly sha256: string;
  /** Puts them under their key, in the place of what was there. */
  keep(): Promise<void>;
  /** Takes them away, unless they were kept. */
  discard(): Promise<void>;
}

export interface PresignOptions {
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** In hexadecimal; the store then refuses other bytes. */
  readonly sha256: string | undefined;
  readonly expiresInSeconds: number;
}

/** The one request that the store accepts. */
export interface PresignedPut {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
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
  const { s3BlobStore } = await import("./blobs-s3.ts");
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
      const partial = await partialOf(path);
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
      return (await sizeOfFile(path)) === undefined ? undefined : createReadStream(path);
    },
    sizeOf: (key) => sizeOfFile(join(folder, key)),
    remove: (key) => removeFile(join(folder, key)),
    intake: { at: "platform", stage: (key, source, options) => stageFile(join(folder, key), source, options) },
  };
}

/** Beside the file, so that it can take its name. */
async function partialOf(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  return `${path}.${newId()}.partial`;
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

async function stageFile(path: string, source: Readable, { maxBytes, signal }: StageOptions): Promise<StagedBlob> {
  const partial = await partialOf(path);
  const discard = (): Promise<void> => rm(partial, { force: true });
  const hash = createHash("sha256");
  let sizeBytes = 0;
  const measure = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      sizeBytes += chunk.length;
      if (sizeBytes > maxBytes) return;
      hash.update(chunk);
      yield chunk;
    }
  };
  try {
    await pipeline(source, measure, createWriteStream(partial, { flags: "wx", mode: 0o600, flush: true }), { signal });
  } catch (error) {
    await discard();
    throw error;
  }
  return { sizeBytes, sha256: hash.digest("hex"), keep: () => rename(partial, path), discard };
}

async function removeFile(path: string): Promise<void> {
  const siblings = await readdir(dirname(path)).catch(absent);
  const left = (siblings ?? []).filter(
    (name) => name === basename(path) || (name.startsWith(`${basename(path)}.`) && name.endsWith(".partial")),
  );
  await Promise.all(left.map((name) => rm(join(dirname(path), name), { force: true })));
}

async function sizeOfFile(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(absent);
  return found?.isFile() === true ? found.size : undefined;
}

/** @throws anything but that there is no such file */
function absent(error: unknown): undefined {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
  throw error;
}
