import { Readable } from "node:stream";
import { GetObjectCommand, NoSuchKey, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import type { BlobStore } from "./blob.ts";

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
      try {
        const { Body: body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }), limit());
        return body instanceof Readable ? body : undefined;
      } catch (error) {
        if (error instanceof NoSuchKey) return undefined;
        throw error;
      }
    },
  };
}
