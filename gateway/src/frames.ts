import type { StreamItem } from "./stream-item.ts";

/**
 * WebSocket frames (RFC 6455 section 5.2) of `next` messages, made by hand: the payload is there already, only the client's
 * own id is put before it. Servers do not mask.
 */

const TEXT = 0x81;
const COMPRESSED_TEXT = 0xc1;
const CLOSE_BRACE = 0x7d;
/** From here on a payload is written beside its frame and shared by all who get it, rather than copied into each. */
const SHARED_BYTES = 4 * 1024;
/** Below this, compressing saves less than the frame's own parts cost (docs/adr/0014). */
const COMPRESSED_BYTES = 1024;
/** A stored block (RFC 1951 section 3.2.4) with the closing brace, and the bits that the receiver's `00 00 ff ff` completes. */
const COMPRESSED_END = Buffer.from([0x00, 0x01, 0x00, 0xfe, 0xff, CLOSE_BRACE, 0x00]);
const STORED_HEAD_BYTES = 5;

/** What comes before the payload in every `next` message of an operation. */
export function nextHead(id: string): Buffer {
  return Buffer.from(`{"id":${JSON.stringify(id)},"type":"next","payload":`);
}

/** A whole text message. */
export function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const frame = Buffer.allocUnsafe(headerBytes(length) + length);
  frame.write(text, writeHeader(frame, 0, TEXT, length));
  return frame;
}

/**
 * `next` messages as buffers to be written in order. `compress` for peers that have negotiated permessage-deflate: what was
 * compressed once then serves all of them, because it leans on no earlier message (RFC 7692 section 7.2.3.5).
 */
export function nextFrames(head: Buffer, items: readonly StreamItem[], compress: boolean): Buffer[] {
  const [first] = items;
  // Most writes are of one small event, and there are as many as there are subscribers.
  if (first && items.length === 1 && first.json.length < (compress ? COMPRESSED_BYTES : SHARED_BYTES))
    return [plainFrame(head, first.json)];
  const out: Buffer[] = [];
  let small: Buffer[] = [];
  const flush = (): void => {
    if (small.length > 0) out.push(plainFrames(head, small));
    small = [];
  };
  for (const item of items) {
    const { json } = item;
    if (compress && json.length >= COMPRESSED_BYTES) {
      flush();
      out.push(...compressedFrame(head, item.deflated));
    } else if (json.length >= SHARED_BYTES) {
      flush();
      out.push(...sharedFrame(head, json));
    } else small.push(json);
  }
  flush();
  return out;
}

function plainFrame(head: Buffer, payload: Buffer): Buffer {
  const length = head.length + payload.length + 1;
  const frame = Buffer.allocUnsafe(headerBytes(length) + length);
  const at = writeHeader(frame, 0, TEXT, length);
  frame.set(head, at);
  frame.set(payload, at + head.length);
  frame[frame.length - 1] = CLOSE_BRACE;
  return frame;
}

function plainFrames(head: Buffer, payloads: readonly Buffer[]): Buffer {
  let size = 0;
  for (const payload of payloads) {
    const length = head.length + payload.length + 1;
    size += headerBytes(length) + length;
  }
  const frames = Buffer.allocUnsafe(size);
  let at = 0;
  for (const payload of payloads) {
    at = writeHeader(frames, at, TEXT, head.length + payload.length + 1);
    at += head.copy(frames, at);
    at += payload.copy(frames, at);
    frames[at++] = CLOSE_BRACE;
  }
  return frames;
}

const END = Buffer.from("}");

function sharedFrame(head: Buffer, payload: Buffer): Buffer[] {
  const length = head.length + payload.length + 1;
  const start = Buffer.allocUnsafe(headerBytes(length) + head.length);
  head.copy(start, writeHeader(start, 0, TEXT, length));
  return [start, payload, END];
}

function compressedFrame(head: Buffer, deflated: Buffer): Buffer[] {
  const length = STORED_HEAD_BYTES + head.length + deflated.length + COMPRESSED_END.length;
  const start = Buffer.allocUnsafe(headerBytes(length) + STORED_HEAD_BYTES + head.length);
  let at = writeHeader(start, 0, COMPRESSED_TEXT, length);
  at = start.writeUInt8(0, at);
  at = start.writeUInt16LE(head.length, at);
  at = start.writeUInt16LE(~head.length & 0xffff, at);
  head.copy(start, at);
  return [start, deflated, COMPRESSED_END];
}

function headerBytes(length: number): number {
  if (length < 126) return 2;
  return length < 65_536 ? 4 : 10;
}

/** Returns where the payload begins. */
function writeHeader(frame: Buffer, at: number, first: number, length: number): number {
  frame[at] = first;
  if (length < 126) {
    frame[at + 1] = length;
    return at + 2;
  }
  if (length < 65_536) {
    frame[at + 1] = 126;
    return frame.writeUInt16BE(length, at + 2);
  }
  frame[at + 1] = 127;
  return frame.writeUIntBE(length, frame.writeUInt16BE(0, at + 2), 6);
}
