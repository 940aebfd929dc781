import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { encodeId, parseId } from "@sba/platform/ids";

/**
 * The text of API keys and refresh tokens: `<prefix>_<id><tenant id>_<secret>`. It names the row and its tenant, so that
 * looking it up needs no right to read across tenants; the secret, 256 random bits, is stored only as its SHA-256 (a slow
 * hash is for what people choose).
 */
export interface Credential {
  readonly tenantId: string;
  readonly id: string;
  /** Hex SHA-256 of the secret. */
  readonly secretHash: string;
}

export type CredentialPrefix = "sba" | "sbr";

const SECRET_BYTES = 32;
const TYPE_PREFIX_LENGTH = "key_".length;
const CREDENTIAL = /^(sba|sbr)_([0-9a-z]{26})([0-9a-z]{26})_([\w-]{43})$/;
/** Of an id, enough to tell a tenant's keys apart: the time to the millisecond and some random bits. */
const SHOWN_CHARACTERS = 16;

/** A new secret for a row: its text, to be handed out once, and what is stored. */
export function makeCredential(
  prefix: CredentialPrefix,
  tenantId: string,
  id: string,
): Credential & { readonly text: string } {
  const secret = randomBytes(SECRET_BYTES).toString("base64url");
  const text = `${prefix}_${bareId("ApiKey", id)}${bareId("Tenant", tenantId)}_${secret}`;
  return { tenantId, id, secretHash: hashSecret(secret), text };
}

/** What a text names, undefined when it is not of our form. Proves nothing: compare the hash. */
export function parseCredential(prefix: CredentialPrefix, text: string): Credential | undefined {
  const [, found, idText, tenantText, secret] = CREDENTIAL.exec(text) ?? [];
  const id = parseId(`key_${idText ?? ""}`)?.uuid;
  const tenantId = parseId(`ten_${tenantText ?? ""}`)?.uuid;
  if (found !== prefix || id === undefined || tenantId === undefined || secret === undefined) return undefined;
  return { tenantId, id, secretHash: hashSecret(secret) };
}

/** Compares hashes in the same time whatever they are. */
export function sameSecret(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a, "hex"), Buffer.from(b, "hex")];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** The part of a credential's text that may be shown and logged. */
export function shownPrefix(prefix: CredentialPrefix, id: string): string {
  return `${prefix}_${bareId("ApiKey", id).slice(0, SHOWN_CHARACTERS)}`;
}

function bareId(type: "ApiKey" | "Tenant", uuid: string): string {
  return encodeId(type, uuid).slice(TYPE_PREFIX_LENGTH);
}

function hashSecret(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}
