import { createHash, createHmac } from "node:crypto";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

interface S3Request {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

const REGION = "us-east-1";
/** Of the key id `key`. */
export const S3_SECRET = "s3cret";
const sha256 = (value: string | Buffer): Buffer => createHash("sha256").update(value).digest();
const hmac = (key: string | Buffer, value: string): Buffer => createHmac("sha256", key).update(value).digest();

/** The status with which S3 would refuse a presigned request: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html */
function refusalOf({ method, url, headers }: IncomingMessage, body: Buffer, exists: boolean): number | undefined {
  const { pathname, searchParams } = new URL(url ?? "", "http://s3");
  const signature = searchParams.get("X-Amz-Signature");
  if (signature === null) return undefined;
  const at = searchParams.get("X-Amz-Date") ?? "";
  const signedHeaders = searchParams.get("X-Amz-SignedHeaders") ?? "";
  searchParams.delete("X-Amz-Signature");
  const query = [...searchParams]
    .map((entry) => entry.map(encodeURIComponent).join("="))
    .toSorted()
    .join("&");
  const canonicalHeaders = signedHeaders.split(";").map((name) => `${name}:${String(headers[name] ?? "")}\n`);
  const canonical = [method, pathname, query, canonicalHeaders.join(""), signedHeaders, "UNSIGNED-PAYLOAD"].join("\n");
  const day = at.slice(0, 8);
  const scope = `${day}/${REGION}/s3/aws4_request`;
  const key = [REGION, "s3", "aws4_request"].reduce(hmac, hmac(`AWS4${S3_SECRET}`, day));
  const expected = hmac(key, ["AWS4-HMAC-SHA256", at, scope, sha256(canonical).toString("hex")].join("\n"));
  const began = Date.parse(at.replace(/^(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\dZ)$/, "$1-$2-$3:$4:$5"));
  const expires = began + Number(searchParams.get("X-Amz-Expires")) * 1_000;
  if (expected.toString("hex") !== signature || !(Date.now() < expires)) return 403;
  const checksum = headers["x-amz-checksum-sha256"];
  if (checksum !== undefined && sha256(body).toString("base64") !== checksum) return 400;
  return headers["if-none-match"] === "*" && exists ? 412 : undefined;
}

/** As much of S3 as the store uses (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html), with a bad day on demand. */
export async function startScriptedS3() {
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
      const refusal = refusalOf(request, body, objects.has(path));
      if (refusal !== undefined) {
        response.writeHead(refusal).end();
        return;
      }
      if (request.method === "DELETE") {
        objects.delete(path);
        response.writeHead(204).end();
        return;
      }
      if (request.method === "PUT") {
        objects.set(path, body);
        response.writeHead(200, { etag: '"1"' }).end();
        return;
      }
      const object = objects.get(path);
      if (object)
        response
          .writeHead(200, { "content-length": object.length })
          .end(request.method === "HEAD" ? undefined : object);
      else if (request.method === "HEAD") response.writeHead(404).end();
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

export type ScriptedS3 = Awaited<ReturnType<typeof startScriptedS3>>;
