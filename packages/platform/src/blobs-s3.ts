import { Readable } from "node:stream";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  NoSuchKey,
  NotFound,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import type { BlobStore, PresignedPut, PresignOptions } from "./blobs.ts";

export interface S3Options {
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly region: string;
  /** Of a store other than Amazon's; buckets are then part of the path, which every compatible store understands. */
  readonly endpoint: string | undefined;
}

const REQUEST_TIMEOUT_MS = 30_000;

/** A bucket of Amazon S3 or a compatible store. A PUT is atomic there by itself. */
export function s3BlobStore({ bucket, accessKeyId, secretAccessKey, region, endpoint }: S3Options): BlobStore {
  const client = new S3Client({
    region,
    credentials: { accessKeyId, secretAccessKey },
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    // Compatible stores do not all know the newer default checksums (https://github.com/aws/aws-sdk-js-v3/issues/6810).
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    maxAttempts: 3,
  });
  const limit = () => ({ abortSignal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  return {
    put: async (key, bytes) => {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes }), limit());
    },
    find: async (key) => {
      const found = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }), limit()).catch(absent);
      return found?.Body instanceof Readable ? found.Body : undefined;
    },
    sizeOf: async (key) => {
      const found = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }), limit()).catch(absent);
      return found?.ContentLength;
    },
    remove: async (key) => {
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }), limit());
    },
    intake: { at: "store", presignPut: (key, options) => presignPut(client, bucket, key, options) },
  };
}

function absent(error: unknown): undefined {
  if (error instanceof NoSuchKey || error instanceof NotFound) return undefined;
  throw error;
}

/**
 * Type, length and (when known) checksum are signed, so that the store itself refuses anything else, and so is
 * `if-none-match: *`, by which it takes the object once (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).
 */
async function presignPut(
  client: S3Client,
  bucket: string,
  key: string,
  { mediaType, sizeBytes, sha256, expiresInSeconds }: PresignOptions,
): Promise<PresignedPut> {
  const checksum = sha256 === undefined ? undefined : Buffer.from(sha256, "hex").toString("base64");
  const command = new PutObjectCommand({
    Bucket: bucket,
    Key: key,
    ContentType: mediaType,
    ContentLength: sizeBytes,
    IfNoneMatch: "*",
    ChecksumSHA256: checksum,
  });
  const url = await getSignedUrl(client, command, {
    expiresIn: expiresInSeconds,
    signableHeaders: new Set(["host", "content-type", "content-length", "if-none-match", "x-amz-checksum-sha256"]),
    // As a query parameter the store would not compare it with the body.
    unhoistableHeaders: new Set(["x-amz-checksum-sha256"]),
  });
  return {
    url,
    headers: {
      "content-type": mediaType,
      "if-none-match": "*",
      ...(checksum === undefined ? {} : { "x-amz-checksum-sha256": checksum }),
    },
  };
}
