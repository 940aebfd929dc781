import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { nextFrames, nextHead, textFrame } from "./frames.ts";
import { StreamItem } from "./stream-item.ts";

/** Frames made by hand, as a peer that knows the protocol reads them. */

const http = createServer();
const sockets = new WebSocketServer({
  noServer: true,
  perMessageDeflate: { serverNoContextTakeover: true, clientNoContextTakeover: true },
});
let transport: Duplex;
http.on("upgrade", (request, duplex, head) => {
  transport = duplex;
  sockets.handleUpgrade(request, duplex, head, () => undefined);
});
beforeAll(async () => {
  await once(http.listen(0, "127.0.0.1"), "listening");
});
afterAll(() => {
  for (const socket of sockets.clients) socket.terminate();
  http.close();
});

async function read(frames: readonly Buffer[], count: number, perMessageDeflate: boolean): Promise<unknown[]> {
  const { port } = http.address() as AddressInfo;
  const client = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate });
  await once(client, "open");
  const messages: unknown[] = [];
  const done = new Promise<void>((resolve, reject) => {
    client.on("error", reject);
    client.on("message", (data: Buffer) => {
      messages.push(JSON.parse(data.toString()));
      if (messages.length === count) resolve();
    });
  });
  for (const frame of frames) transport.write(frame);
  await done;
  client.terminate();
  return messages;
}

const item = (text: string): StreamItem => new StreamItem({ data: { text } }, undefined);
/** Around every size at which a header, or the way that a payload is written, changes. */
const SIZES = [0, 1, 60, 80, 81, 82, 125, 126, 1_023, 1_024, 4_096, 65_000, 65_480, 65_536, 200_000];

describe.each([false, true])("frames, compressed: %s", (compress) => {
  test("of every size carry the client's own id and the event, in order", async () => {
    const items = SIZES.map((size) => item("é".repeat(size / 2) + "x".repeat(size % 2)));
    for (const id of ["1", 'a"quote and ü', "x".repeat(300)]) {
      const messages = await read(nextFrames(nextHead(id), items, compress), items.length, compress);
      expect(messages).toEqual(items.map(({ result }) => ({ id, type: "next", payload: result })));
    }
  });
});

test("a large event is shared by those who get it, and compressed once for all", () => {
  const large = item("word ".repeat(2_000));
  const [one, other] = [nextFrames(nextHead("1"), [large], false), nextFrames(nextHead("2"), [large], false)];
  expect(one[1]).toBe(other[1]);
  const [small, smaller] = [nextFrames(nextHead("1"), [large], true), nextFrames(nextHead("2"), [large], true)];
  expect(small[1]).toBe(smaller[1]);
  expect(Buffer.concat(small).length).toBeLessThan(Buffer.concat(one).length / 10);
});

test("a message in text is one frame", async () => {
  expect(await read([textFrame('{"ü":1}')], 1, false)).toEqual([{ ü: 1 }]);
});
