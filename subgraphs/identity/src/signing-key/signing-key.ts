import {
  calculateJwkThumbprint,
  exportJWK,
  exportPKCS8,
  generateKeyPair,
  importPKCS8,
  type CryptoKey,
  type JSONWebKeySet,
  type JWK,
} from "jose";
import { json, onDatabaseClosed, withTenant, type Tx } from "@sba/platform/db";
import type { SigningKey } from "@sba/platform/generated/prisma/client";
import { logger } from "@sba/platform/log";
import { open, seal } from "@sba/platform/secrets";
import { NO_TENANT } from "../anonymous.ts";

export const SIGNING_ALGORITHM = "ES256";

const SEAL_PURPOSE = "identity.signing-key";
/** A key signs for this long, then the next token is signed by a new one. */
const SIGNING_DAYS = 30;
/** A retired key is published for as long as a token that it signed may live, and an hour for clocks and caches. */
export const PUBLISHED_AFTER_RETIRING_HOURS = 25;
/** How long a process goes on with a key that another one retired; the key is published for much longer. */
const CACHE_MS = 60_000;

export interface Signer {
  readonly kid: string;
  readonly privateKey: CryptoKey;
}

let cached: { readonly signer: Signer; readonly untilMs: number } | undefined;

/** The key that signs now; the first one, and one after 30 days, is made here, once however many processes ask. */
export async function currentSigner(): Promise<Signer> {
  if (cached && cached.untilMs > Date.now()) return cached.signer;
  return remember(await withTenant(NO_TENANT, async (tx) => (await findSigner(tx)) ?? (await lockAndMakeSigner(tx))));
}

/** Retires the key that signs and makes the next one. What the old key signed stays good until it expires. */
export async function rotateSigningKey(): Promise<Signer> {
  return remember(
    await withTenant(NO_TENANT, async (tx) => {
      await lockSigningKeys(tx);
      return makeSigner(tx);
    }),
  );
}

function remember(signer: Signer): Signer {
  cached = { signer, untilMs: Date.now() + CACHE_MS };
  return signer;
}

/** Makes this process look for the key again; tests play several processes with it. */
export function forgetSigner(): void {
  cached = undefined;
}
onDatabaseClosed(forgetSigner);

async function findSigner(tx: Tx): Promise<Signer | undefined> {
  const [row] = await tx.sql<SigningKey>`
    SELECT * FROM identity.signing_key
    WHERE retired_at IS NULL AND created_at > now() - make_interval(days => ${SIGNING_DAYS}) ORDER BY created_at DESC LIMIT 1`;
  return row && openSigner(row);
}

async function openSigner({ kid, sealedPrivateKey }: SigningKey): Promise<Signer | undefined> {
  try {
    const pem = open(SEAL_PURPOSE, sealedPrivateKey, { associatedData: kid }).toString();
    return { kid, privateKey: await importPKCS8(pem, SIGNING_ALGORITHM) };
  } catch (error) {
    // Sealed under a SECRET_KEY that is gone, or not by us: another key has to sign, and who was signed in signs in again.
    logger.warn({ "identity.kid": kid, err: error }, "a signing key cannot be opened");
    return undefined;
  }
}

async function lockSigningKeys(tx: Tx): Promise<void> {
  await tx.sql`SELECT pg_advisory_xact_lock(hashtext('identity.signing_key'))`;
}

async function lockAndMakeSigner(tx: Tx): Promise<Signer> {
  await lockSigningKeys(tx);
  return (await findSigner(tx)) ?? makeSigner(tx);
}

async function makeSigner(tx: Tx): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair(SIGNING_ALGORITHM, { extractable: true });
  const jwk = await exportJWK(publicKey);
  // RFC 7638: the key names itself.
  const kid = await calculateJwkThumbprint(jwk);
  const sealed = seal(SEAL_PURPOSE, await exportPKCS8(privateKey), { associatedData: kid });
  await tx.sql`UPDATE identity.signing_key SET retired_at = clock_timestamp() WHERE retired_at IS NULL`;
  await tx.sql`
    INSERT INTO identity.signing_key (kid, public_jwk, sealed_private_key)
    VALUES (${kid}, ${json({ ...jwk, kid, alg: SIGNING_ALGORITHM, use: "sig" })}::jsonb, ${sealed})`;
  await tx.sql`DELETE FROM identity.signing_key WHERE retired_at < now() - make_interval(hours => ${PUBLISHED_AFTER_RETIRING_HOURS})`;
  return { kid, privateKey };
}

/**
 * The public keys by which our tokens can be verified now (RFC 7517). The first key is made here if need be: who is given
 * an empty set remembers that no key is good. A row that somebody else wrote, or changed, is not published: its private part
 * is not sealed by this platform under that name, or the name is not the key's own.
 */
export async function publishedKeys(): Promise<JSONWebKeySet> {
  await currentSigner();
  const rows = await withTenant(
    NO_TENANT,
    (tx) => tx.sql<SigningKey & { readonly publicJwk: JWK }>`
    SELECT * FROM identity.signing_key
    WHERE retired_at IS NULL OR retired_at > now() - make_interval(hours => ${PUBLISHED_AFTER_RETIRING_HOURS}) ORDER BY created_at`,
  );
  const ours = await Promise.all(rows.map(isOurs));
  return { keys: rows.filter((_row, index) => ours[index]).map(({ publicJwk }) => publicJwk) };
}

async function isOurs(row: SigningKey & { readonly publicJwk: JWK }): Promise<boolean> {
  const named = await calculateJwkThumbprint(row.publicJwk).catch(() => undefined);
  return named === row.kid && (await openSigner(row)) !== undefined;
}
