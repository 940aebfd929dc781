import { createHmac, randomBytes } from "node:crypto";

/** How a receiver knows that we sent something: Standard Webhooks 1.0 (https://www.standardwebhooks.com). Pure. */

const PREFIX = "whsec_";
const SECRET = /^whsec_[A-Za-z0-9+/]+={0,2}$/;
const MIN_BYTES = 24;
const MAX_BYTES = 64;
const MADE_BYTES = 32;

export function makeSecret(): string {
  return PREFIX + randomBytes(MADE_BYTES).toString("base64");
}

export function isSecret(text: string): boolean {
  const { length } = keyOf(text);
  return SECRET.test(text) && length >= MIN_BYTES && length <= MAX_BYTES;
}

function keyOf(secret: string): Buffer {
  return Buffer.from(secret.slice(PREFIX.length), "base64");
}

export interface Delivery {
  /** The same at every attempt. */
  readonly id: string;
  readonly body: string;
  readonly sentAt: Date;
}

/** The headers that name, date and sign a delivery. */
export function signatureHeaders(secret: string, { id, body, sentAt }: Delivery): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(sentAt.getTime() / 1000));
  const signature = createHmac("sha256", keyOf(secret)).update(`${id}.${timestamp}.${body}`).digest("base64");
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": `v1,${signature}` };
}
