import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto";
import { defineErrors } from "./errors.ts";

/**
 * Everything that is secret derives from SECRET_KEY: one key for each purpose (HKDF, RFC 5869), so that what is made for
 * one purpose is worthless for another. Rotation: the first key signs and seals, the others still verify and open.
 */

export const secretErrors = defineErrors("platform.secrets", {
  LINK_INVALID: { kind: "permission_denied", message: "This link is not valid." },
  LINK_EXPIRED: { kind: "permission_denied", message: "This link has expired." },
  SEALED_VALUE_INVALID: { kind: "internal", message: "A stored secret cannot be opened." },
});

interface SecretKey {
  /** Names the key in what it made, so that nothing is tried with the wrong one. Says nothing about the key. */
  readonly id: Buffer;
  readonly material: Buffer;
}

const HKDF_SALT = "sba-agentic";
const VERSION = 1;
const ID_BYTES = 4;
const KEY_BYTES = 32;
const MAC_BYTES = 32;
const HEADER_BYTES = 1 + ID_BYTES;
const EXPIRY_BYTES = 6;
// NIST SP 800-38D: 96-bit nonces, at random, are good for 2^32 values under one key.
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const MIN_KEY_CHARACTERS = 32;

let keys: readonly SecretKey[] = [];
const derived = new Map<string, Buffer>();

/**
 * Sets the keys of this process: the first one signs and seals, the rest (of before a rotation) only verify and open.
 * The same keys again are no change; other keys are refused, since what was derived is already in use.
 */
export function useSecretKey(key: string | readonly string[]): void {
  const given = typeof key === "string" ? [key] : key;
  if (given.length === 0 || given.some((each) => each.length < MIN_KEY_CHARACTERS)) {
    throw new Error(`a secret key has at least ${MIN_KEY_CHARACTERS} characters`);
  }
  const next = given.map(toSecretKey);
  if (keys.length > 0 && !sameKeys(keys, next)) throw new Error("useSecretKey was called twice with different keys");
  keys = next;
}

function toSecretKey(key: string): SecretKey {
  const material = Buffer.from(key, "utf8");
  return { material, id: expand(material, "key id", ID_BYTES) };
}

function sameKeys(a: readonly SecretKey[], b: readonly SecretKey[]): boolean {
  return a.length === b.length && a.every(({ material }, index) => b[index]?.material.equals(material) ?? false);
}

function expand(material: Buffer, info: string, length: number): Buffer {
  return Buffer.from(hkdfSync("sha256", material, HKDF_SALT, info, length));
}

/** The key for a purpose, of `length` bytes (1 to 8160): always the same for the same SECRET_KEY. */
export function deriveKey(purpose: string, length: number): Buffer {
  return derive(signingKey(), "key", purpose, length);
}

/** As `deriveKey`, one for each configured key, the signing one first: what verifies tries them all. */
export function deriveKeys(purpose: string, length: number): readonly Buffer[] {
  signingKey();
  return keys.map((key) => derive(key, "key", purpose, length));
}

function signingKey(): SecretKey {
  const [first] = keys;
  if (!first) throw new Error("useSecretKey was not called");
  return first;
}

// The length is part of the name: two lengths of one purpose would otherwise share their first bytes.
function derive(key: SecretKey, use: "key" | "seal" | "link", purpose: string, length: number): Buffer {
  const info = `${use}/${length}/${purpose}`;
  const name = `${key.id.toString("hex")}/${info}`;
  const existing = derived.get(name);
  if (existing) return existing;
  const made = expand(key.material, info, length);
  derived.set(name, made);
  return made;
}

/** The key that made `bytes`, by the id in its header; undefined when it is no key of ours, or another format. */
function keyOf(bytes: Buffer): SecretKey | undefined {
  if (bytes[0] !== VERSION) return undefined;
  const id = bytes.subarray(1, HEADER_BYTES);
  return keys.find((key) => key.id.equals(id));
}

function headerOf(key: SecretKey): Buffer {
  return Buffer.concat([Buffer.of(VERSION), key.id]);
}

export interface SealOptions {
  /** What the value belongs to, such as the row's id: opened beside anything else, it is refused. */
  readonly associatedData?: string;
}

/**
 * Encrypts a value to be stored (AES-256-GCM), as URL-safe text:
 * version (1) · key id (4) · nonce (12) · ciphertext · tag (16). Header and associated data are authenticated too.
 */
export function seal(purpose: string, plaintext: string | Uint8Array, options: SealOptions = {}): string {
  const key = signingKey();
  const header = headerOf(key);
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", derive(key, "seal", purpose, KEY_BYTES), nonce);
  cipher.setAAD(authenticatedData(header, options));
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([header, nonce, ciphertext, cipher.getAuthTag()]).toString("base64url");
}

/**
 * Decrypts what `seal` made for the same purpose and associated data.
 * @throws SEALED_VALUE_INVALID when it was changed, sealed for anything else, or by a key that is no longer configured.
 */
export function open(purpose: string, sealed: string, options: SealOptions = {}): Buffer {
  const bytes = Buffer.from(sealed, "base64url");
  const key = keyOf(bytes);
  if (!key || bytes.length < HEADER_BYTES + NONCE_BYTES + TAG_BYTES) throw secretErrors.SEALED_VALUE_INVALID();
  const body = bytes.subarray(HEADER_BYTES + NONCE_BYTES, -TAG_BYTES);
  const nonce = bytes.subarray(HEADER_BYTES, HEADER_BYTES + NONCE_BYTES);
  const decipher = createDecipheriv("aes-256-gcm", derive(key, "seal", purpose, KEY_BYTES), nonce, {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(authenticatedData(bytes.subarray(0, HEADER_BYTES), options));
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(body), decipher.final()]);
  } catch (cause) {
    throw secretErrors.SEALED_VALUE_INVALID({ cause });
  }
}

function authenticatedData(header: Buffer, { associatedData = "" }: SealOptions): Buffer {
  return Buffer.concat([header, Buffer.from(associatedData, "utf8")]);
}

/**
 * Signs a JSON payload for a link (HMAC-SHA256): whoever holds the token may do what it says until it expires. The payload
 * is readable by its holder: ids, never secrets. `<version · key id · expiry · payload>.<mac>` in base64url.
 */
export function signLink(purpose: string, payload: unknown, expiresAt: Date): string {
  const key = signingKey();
  const expiry = Buffer.alloc(EXPIRY_BYTES);
  expiry.writeUIntBE(expiresAt.getTime(), 0, EXPIRY_BYTES);
  const body = Buffer.concat([headerOf(key), expiry, Buffer.from(JSON.stringify(payload), "utf8")]);
  return `${body.toString("base64url")}.${macOf(key, purpose, body).toString("base64url")}`;
}

/**
 * The payload of a link signed for this purpose. Parse it with zod: a link may come from an older deployment.
 * @throws LINK_INVALID when we did not sign it, for this purpose, as it stands.
 * @throws LINK_EXPIRED when we did, but its time has passed.
 */
export function verifyLink(purpose: string, token: string): unknown {
  const [bodyText = "", macText = "", ...rest] = token.split(".");
  const body = Buffer.from(bodyText, "base64url");
  const mac = Buffer.from(macText, "base64url");
  // Decoding forgives much; one token has one spelling, so that a used token can be remembered by its text.
  const canonical = body.toString("base64url") === bodyText && mac.toString("base64url") === macText;
  const key = keyOf(body);
  if (!key || !canonical || rest.length > 0 || mac.length !== MAC_BYTES) throw secretErrors.LINK_INVALID();
  if (!timingSafeEqual(mac, macOf(key, purpose, body))) throw secretErrors.LINK_INVALID();
  const payloadStart = HEADER_BYTES + EXPIRY_BYTES;
  if (body.readUIntBE(HEADER_BYTES, EXPIRY_BYTES) <= Date.now()) throw secretErrors.LINK_EXPIRED();
  return JSON.parse(body.subarray(payloadStart).toString("utf8"));
}

function macOf(key: SecretKey, purpose: string, body: Buffer): Buffer {
  return createHmac("sha256", derive(key, "link", purpose, KEY_BYTES))
    .update(body)
    .digest();
}
