import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { loadConfig } from "@sba/platform/config";
import { newId } from "@sba/platform/ids";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { blobStore, folderBlobStore, useBlobStore, type BlobStore } from "./blob.ts";

const BYTES = Buffer.from("# Notice\n\nOne month. \u{1F4C4}\0\xff");
const aKey = (): string => `${newId()}/${"a".repeat(64)}`;

async function read(store: BlobStore, key: string): Promise<Buffer | undefined> {
  const found = await store.find(key);
  return found && buffer(found);
}

function blobContract(name: string, open: () => BlobStore): void {
  describe(`the blob store contract: ${name}`, () => {
    it("gives back the bytes that were put", async () => {
      const key = aKey();
      await open().put(key, BYTES);
      expect(await read(open(), key)).toEqual(BYTES);
    });

    it("holds one blob when the same is put twice, also at once", async () => {
      const key = aKey();
      await Promise.all([open().put(key, BYTES), open().put(key, BYTES)]);
      expect(await read(open(), key)).toEqual(BYTES);
    });

    it("holds a blob without a byte", async () => {
      const key = aKey();
      await open().put(key, Buffer.alloc(0));
      expect(await read(open(), key)).toEqual(Buffer.alloc(0));
    });

    it("finds nothing where nothing was put", async () => {
      expect(await open().find(aKey())).toBeUndefined();
    });
  });
}

describe("a folder", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "sba-blobs-"));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  blobContract("folder", () => folderBlobStore(folder));

  it("shows a blob only when all of it is there, and leaves nothing half written behind", async () => {
    const [tenant = "", hash = ""] = aKey().split("/");
    const store = folderBlobStore(folder);
    await store.put(`${tenant}/${hash}`, BYTES);
    // A folder stands where the file should go: the last step fails.
    await expect(store.put(tenant, BYTES)).rejects.toThrow();
    expect(await readdir(join(folder, tenant))).toEqual([hash]);
    expect((await readdir(folder)).filter((name) => name.endsWith(".partial"))).toEqual([]);
  });

  it("keeps blobs from other users of the machine", async () => {
    const key = aKey();
    await folderBlobStore(folder).put(key, BYTES);
    expect((await stat(join(folder, key))).mode & 0o077).toBe(0);
  });

  it("is below DATA_DIR when no bucket is configured", async () => {
    await useBlobStore(loadConfig({ DATA_DIR: folder }));
    const key = aKey();
    await blobStore().put(key, BYTES);
    expect((await stat(join(folder, "blobs", key))).size).toBe(BYTES.length);
  });
});

interface S3Request {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

/** As much of S3 as the store uses (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html), with a bad day on demand. */
async function startScriptedS3() {
  const objects = new Map<string, Buffer>();
  const received: S3Request[] = [];
  const scripted = { failures: 0 };
  const server: Server = createServer((request, response) => {
    void buffer(request).then((body) => {
      const path = new URL(request.url ?? "", "http://s3").pathname;
      received.push({ method: request.method ?? "", path, headers: request.headers });
      if (scripted.failures > 0) {
        scripted.failures -= 1;
        response.writeHead(503).end("<Error><Code>SlowDown</Code></Error>");
        return;
      }
      if (request.method === "PUT") {
        objects.set(path, body);
        response.writeHead(200, { etag: '"1"' }).end();
        return;
      }
      const object = objects.get(path);
      if (object) response.writeHead(200, { "content-length": object.length }).end(object);
      else
        response
          .writeHead(404, { "content-type": "application/xml" })
          .end("<Error><Code>NoSuchKey</Code><Message>none</Message></Error>");
    });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  };
  return { scripted, objects, received, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}

describe("an S3-compatible bucket", () => {
  let s3: Awaited<ReturnType<typeof startScriptedS3>>;
  beforeAll(async () => {
    s3 = await startScriptedS3();
    await useBlobStore(
      loadConfig({
        BLOB_S3_BUCKET: "artifacts",
        BLOB_S3_ENDPOINT: s3.url,
        BLOB_S3_ACCESS_KEY_ID: "key",
        BLOB_S3_SECRET_ACCESS_KEY: "s3cret",
      }),
    );
  });
  afterAll(async () => {
    await s3.close();
  });

  blobContract("S3", blobStore);

  it("puts the whole blob under its key in the bucket, with a signed request that does not hold the secret", async () => {
    const key = aKey();
    await blobStore().put(key, BYTES);
    expect(s3.objects.get(`/artifacts/${key}`)).toEqual(BYTES);
    const { headers } = s3.received.at(-1)!;
    expect(headers.authorization).toMatch(/^AWS4-HMAC-SHA256 Credential=key\//);
    expect(JSON.stringify(headers)).not.toContain("s3cret");
  });

  it("tries again when the store is busy, and gives up when it stays so", async () => {
    const key = aKey();
    s3.scripted.failures = 1;
    await blobStore().put(key, BYTES);
    expect(await read(blobStore(), key)).toEqual(BYTES);
    s3.scripted.failures = 100;
    await expect(blobStore().find(key)).rejects.toThrow();
    s3.scripted.failures = 0;
  });
});
