import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { S3_SECRET, startScriptedS3, type ScriptedS3 } from "@sba/testkit/s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { blobStore, folderBlobStore, useBlobStore, type BlobStore, type Intake } from "./blobs.ts";
import { loadConfig } from "./config.ts";
import { newId } from "./ids.ts";

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
      expect(await open().sizeOf(aKey())).toBeUndefined();
    });

    it("knows the size of a blob, and removes it, also when it is gone", async () => {
      const key = aKey();
      await open().put(key, BYTES);
      expect(await open().sizeOf(key)).toBe(BYTES.length);
      await open().remove(key);
      expect(await open().find(key)).toBeUndefined();
      await open().remove(key);
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

  const stage = (key: string, source: Readable, maxBytes = 1_000, signal = new AbortController().signal) => {
    const { intake } = folderBlobStore(folder);
    if (intake.at !== "platform") throw new Error("a folder takes bytes in itself");
    return intake.stage(key, source, { maxBytes, signal });
  };

  it("takes a stream in that nobody finds before it is kept", async () => {
    const store = folderBlobStore(folder);
    const key = aKey();
    const staged = await stage(key, Readable.from([BYTES, BYTES]));
    const whole = Buffer.concat([BYTES, BYTES]);
    expect(staged).toMatchObject({
      sizeBytes: whole.length,
      sha256: createHash("sha256").update(whole).digest("hex"),
    });
    expect(await store.find(key)).toBeUndefined();
    await staged.keep();
    await staged.discard();
    expect(await read(store, key)).toEqual(whole);
  });

  it("keeps no more of a stream than it may, and nothing of one that breaks off or is discarded", async () => {
    const key = aKey();
    const taken: number[] = [];
    const endless = Readable.from(
      (function* () {
        for (let at = 0; ; at++) yield (taken.push(at), Buffer.alloc(100));
      })(),
    );
    const staged = await stage(key, endless, 1_000);
    expect(staged.sizeBytes).toBeGreaterThan(1_000);
    expect(taken.length).toBeLessThan(100);
    await staged.discard();
    const breaking = Readable.from(
      (function* () {
        yield BYTES;
        throw new Error("broke off");
      })(),
    );
    await expect(stage(key, breaking)).rejects.toThrow("broke off");
    await expect(stage(key, Readable.from([BYTES]), 1_000, AbortSignal.abort())).rejects.toThrow();
    expect(await readdir(join(folder, key.split("/")[0]!))).toEqual([]);
  });

  it("removes what an intake that was killed left", async () => {
    const store = folderBlobStore(folder);
    const [key, other] = [aKey(), aKey()];
    await Promise.all([store.put(key, BYTES), store.put(other, BYTES)]);
    await writeFile(join(folder, `${key}.${newId()}.partial`), BYTES);
    await store.remove(key);
    expect(await readdir(join(folder, key.split("/")[0]!))).toEqual([]);
    expect(await read(store, other)).toEqual(BYTES);
  });

  it("is below DATA_DIR when no bucket is configured", async () => {
    await useBlobStore(loadConfig({ DATA_DIR: folder }));
    const key = aKey();
    await blobStore().put(key, BYTES);
    expect((await stat(join(folder, "blobs", key))).size).toBe(BYTES.length);
  });
});

describe("an S3-compatible bucket", () => {
  let s3: ScriptedS3;
  beforeAll(async () => {
    s3 = await startScriptedS3();
    await useBlobStore(
      loadConfig({
        BLOB_S3_BUCKET: "artifacts",
        BLOB_S3_ENDPOINT: s3.url,
        BLOB_S3_ACCESS_KEY_ID: "key",
        BLOB_S3_SECRET_ACCESS_KEY: S3_SECRET,
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
    expect(JSON.stringify(headers)).not.toContain(S3_SECRET);
  });

  const presign = async (key: string, bytes: Buffer, expiresInSeconds = 60) => {
    const { intake } = blobStore() as { intake: Extract<Intake, { at: "store" }> };
    const options = {
      mediaType: "text/plain",
      sizeBytes: bytes.length,
      sha256: createHash("sha256").update(bytes).digest("hex"),
    };
    return intake.presignPut(key, { ...options, expiresInSeconds });
  };

  it("takes from a client, by a link alone, the bytes that the link is for, once", async () => {
    const key = aKey();
    const { url, headers } = await presign(key, BYTES);
    expect(url).not.toContain(S3_SECRET);
    const put = async (body: Buffer, changed: Record<string, string> = {}, to = url) =>
      (await fetch(to, { method: "PUT", body: new Uint8Array(body), headers: { ...headers, ...changed } })).status;
    expect(await put(Buffer.concat([BYTES, BYTES]))).toBe(403); // longer
    expect(await put(Buffer.alloc(BYTES.length))).toBe(400); // other bytes
    expect(await put(BYTES, { "content-type": "text/html" })).toBe(403);
    expect(await put(BYTES, {}, url.replace(key, aKey()))).toBe(403); // another key
    expect(s3.objects.has(`/artifacts/${key}`)).toBe(false);
    expect(await put(BYTES)).toBe(200);
    expect(await put(BYTES)).toBe(412);
    expect(await read(blobStore(), key)).toEqual(BYTES);
    const late = await presign(aKey(), BYTES, 0);
    expect(await put(BYTES, {}, late.url)).toBe(403);
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
