import { createHmac } from "node:crypto";
import { createServer, type AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { deliver } from "./delivery.ts";
import { makeSecret } from "./signature.ts";
import { answer, breakOff, useSink } from "./sink.testing.ts";

const sink = useSink();
const { signal } = new AbortController();
const secret = makeSecret();
const id = "tcl_0123456789abcdefghjkmnpqrs";
const payload = { order: 42, note: "größer" };

const send = (given: { url?: string; honoursIdempotencyKeys?: boolean } = {}) =>
  deliver({ url: sink.url("/orders"), secret, honoursIdempotencyKeys: false, ...given }, { id, payload, signal });

/** Where somebody listened a moment ago. */
async function anUnusedUrl(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return `http://127.0.0.1:${port}`;
}

describe("a delivery", () => {
  it("posts the payload as JSON under its idempotency key and gives what was answered", async () => {
    sink.script(answer(202, "tha\0nks"));
    expect(await send()).toEqual({ status: 202, response: "thanks" });
    expect(sink.received).toHaveLength(1);
    expect(sink.received[0]).toMatchObject({
      method: "POST",
      path: "/orders",
      headers: { "content-type": "application/json", "idempotency-key": id, "webhook-id": id },
    });
    expect(JSON.parse(sink.received[0]!.body)).toEqual(payload);
  });

  it("is signed so that a receiver of Standard Webhooks knows who sent it, and when", async () => {
    await send();
    const { headers, body } = sink.received[0]!;
    const key = Buffer.from(secret.replace("whsec_", ""), "base64");
    const signed = [headers["webhook-id"], headers["webhook-timestamp"], body].join(".");
    expect(headers["webhook-signature"]).toBe(`v1,${createHmac("sha256", key).update(signed).digest("base64")}`);
    expect(Math.abs(Number(headers["webhook-timestamp"]) - Date.now() / 1000)).toBeLessThan(600);
  });

  it.each([
    ["a server that fails", answer(500)],
    ["a proxy that lost patience", answer(504)],
    ["a receiver that lost patience", answer(408)],
    ["a connection that breaks", breakOff],
  ])("is unknown after %s, and sent once, to who does not honour idempotency keys", async (_what, happens) => {
    sink.script(happens);
    await expect(send()).rejects.toMatchObject({ code: "INTEGRATIONS_TOOL_OUTCOME_UNKNOWN" });
    expect(sink.received).toHaveLength(1);
  });

  it("is repeated under the same key, three times in all, to who honours it", async () => {
    sink.script(answer(500), breakOff);
    expect(await send({ honoursIdempotencyKeys: true })).toEqual({ status: 200, response: "thanks" });
    expect(sink.received.map(({ headers }) => headers["idempotency-key"])).toEqual([id, id, id]);
    sink.script(answer(500), answer(500), answer(500));
    await expect(send({ honoursIdempotencyKeys: true })).rejects.toMatchObject({
      code: "INTEGRATIONS_TOOL_OUTCOME_UNKNOWN",
    });
    expect(sink.received).toHaveLength(6);
  });

  it("is repeated to anybody after an answer that says: later", async () => {
    sink.script(answer(429), answer(503));
    expect(await send()).toMatchObject({ status: 200 });
    expect(sink.received).toHaveLength(3);
  });

  it.each([400, 401, 404, 410, 422, 501])(
    "failed for certain, and is not repeated, after status %i",
    async (status) => {
      sink.script(answer(status, "the words of a stranger"));
      const failed = await send({ honoursIdempotencyKeys: true }).catch((error: unknown) => error);
      expect(failed).toMatchObject({ code: "INTEGRATIONS_WEBHOOK_REFUSED", retryable: false, details: { status } });
      expect(String((failed as Error).message)).not.toContain("stranger");
      expect(sink.received).toHaveLength(1);
    },
  );

  it("does not follow a redirect", async () => {
    sink.script(answer(302, "", { location: sink.url("/elsewhere") }));
    await expect(send()).rejects.toMatchObject({ code: "EGRESS_REFUSED" });
    expect(sink.received.map(({ path }) => path)).toEqual(["/orders"]);
  });

  it("failed for certain when nobody listens there", async () => {
    const url = await anUnusedUrl();
    await expect(send({ url })).rejects.toMatchObject({ code: "INTEGRATIONS_WEBHOOK_UNREACHABLE", retryable: true });
  });

  it("is not made to an address inside the network that nobody allowed", async () => {
    await expect(send({ url: "http://[::1]:80/" })).rejects.toMatchObject({ code: "EGRESS_REFUSED" });
  });

  it("stops with its signal", async () => {
    const controller = new AbortController();
    sink.script(() => {
      controller.abort(new Error("stop"));
    });
    const target = { url: sink.url(), secret, honoursIdempotencyKeys: true };
    await expect(deliver(target, { id, payload, signal: controller.signal })).rejects.toThrow("stop");
    expect(sink.received).toHaveLength(1);
  });
});
