import type { Caller } from "@sba/platform/caller";
import { AppError, platformErrors } from "@sba/platform/errors";
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  decodeJwt,
  errors as joseErrors,
  jwtVerify,
  type JSONWebKeySet,
  type JWTVerifyGetKey,
} from "jose";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import type { Grants, GrantsSource } from "./grants.ts";

/** From credentials to a caller: a JWT of a known issuer, or an API key; what it may do is identity's answer, never the token's. */

export interface Issuer {
  /** The token's `iss`, to the letter. */
  readonly issuer: string;
  /** The token's `aud`. */
  readonly audience: string;
  /** Its `sid` is a session of identity's, and the token ends with it. */
  readonly namesSessions?: boolean;
  /** Where its keys are (RFC 7517): a URL, or a function for an issuer in this system. */
  readonly keys: URL | (() => Promise<JSONWebKeySet>);
  /** ES256 unless said otherwise. Symmetric algorithms are never allowed. */
  readonly algorithms?: readonly AsymmetricAlgorithm[];
}

export type AsymmetricAlgorithm = "ES256" | "ES384" | "EdDSA" | "RS256" | "PS256";

/** Who sent a request. A `Caller` is this with the request's id. */
export type Authenticated = Omit<Caller, "requestId">;

export interface Authenticator {
  /**
   * @param authorization the value of an Authorization header, or of a socket's `authorization`
   * @throws CREDENTIALS_INVALID, CREDENTIALS_EXPIRED, SUBGRAPH_UNAVAILABLE
   */
  readonly authenticate: (authorization: string) => Promise<Authenticated>;
  readonly onRevoked: GrantsSource["onRevoked"];
  /** Who comes without credentials, where they are let in. */
  readonly anonymous?: Authenticated;
}

const API_KEY = /^sba_/;
// RFC 6750 section 2.1; the scheme is case-insensitive (RFC 9110 section 11.1).
const BEARER = /^bearer +([\w\-.~+/]+=*)$/i;
const MAX_CREDENTIAL_LENGTH = 8_192;
const CLOCK_TOLERANCE_S = 5;
const KEYS_TIMEOUT_MS = 3_000;
/** An unknown key id makes us look for new keys, at most this often: rotation is noticed, a forger costs nothing. */
const KEYS_COOLDOWN_MS = 1_000;
const KEYS_MAX_AGE_MS = 10 * 60_000;

/** The last that a date can be. */
const MAX_DATE_S = 8.64e12;
// `jose` checks signature, times, issuer and audience, but takes a subject of any type and no tenant at all.
const claimsSchema = z.object({
  // In either case, and known by the lower one (RFC 9562 section 4).
  sub: z.uuid().toLowerCase(),
  tid: z.uuid().toLowerCase(),
  exp: z.number().max(MAX_DATE_S),
  sid: z.uuid().optional().catch(undefined),
});
type Claims = z.infer<typeof claimsSchema>;
const VERIFIED_MS = 10_000;
const MAX_VERIFIED = 10_000;

export function createAuthenticator(issuers: readonly Issuer[], grants: GrantsSource): Authenticator {
  const verifiers = new Map(issuers.map((issuer) => [issuer.issuer, { issuer, keys: keysOf(issuer) }]));
  // A signature costs more to check than most queries to plan. What was verified stays so for seconds; its end is looked at each time.
  // Kept from when it is begun: of many requests at once, one checks.
  const verified = new LRUCache<string, Promise<Claims>>({ max: MAX_VERIFIED, ttl: VERIFIED_MS });
  const verifyOnce = (token: string): Promise<Claims> => {
    const known = verified.get(token);
    if (known) return known;
    const claims = verify(token, verifiers);
    verified.set(token, claims);
    claims.catch(() => {
      if (verified.peek(token) === claims) verified.delete(token);
    });
    return claims;
  };
  return {
    authenticate: async (authorization) => {
      const token = authorization.length <= MAX_CREDENTIAL_LENGTH ? BEARER.exec(authorization)?.[1] : undefined;
      if (token === undefined)
        throw platformErrors.CREDENTIALS_INVALID({
          message: "The credentials must have the form: Bearer <token or API key>.",
        });
      if (API_KEY.test(token)) return accept(await grants.ofApiKey(token), undefined);
      const { sub, tid, sid, exp } = await verifyOnce(token);
      return accept(await grants.ofPrincipal(tid, sub, sid), exp * 1000);
    },
    onRevoked: grants.onRevoked,
  };
}

function accept(grants: Grants | undefined, tokenExpiresAtMs: number | undefined): Authenticated {
  if (!grants) throw platformErrors.CREDENTIALS_INVALID();
  const { expiresAtMs: grantsEndAtMs, ...principal } = grants;
  if (grantsEndAtMs === undefined && tokenExpiresAtMs === undefined) return principal;
  const expiresAtMs = Math.min(grantsEndAtMs ?? Infinity, tokenExpiresAtMs ?? Infinity);
  if (expiresAtMs <= Date.now()) throw platformErrors.CREDENTIALS_EXPIRED();
  return { ...principal, expiresAtMs };
}

interface Verifier {
  readonly issuer: Issuer;
  readonly keys: JWTVerifyGetKey;
}

async function verify(token: string, verifiers: ReadonlyMap<string, Verifier>): Promise<Claims> {
  const verifier = verifiers.get(issuerOf(token) ?? "");
  if (!verifier) throw platformErrors.CREDENTIALS_INVALID();
  const { issuer, audience, algorithms = ["ES256"], namesSessions = false } = verifier.issuer;
  try {
    const { payload } = await jwtVerify(token, verifier.keys, {
      issuer,
      audience,
      algorithms: [...algorithms],
      requiredClaims: ["exp", "iat"],
      clockTolerance: CLOCK_TOLERANCE_S,
    });
    const claims = claimsSchema.safeParse(payload);
    if (!claims.success) throw platformErrors.CREDENTIALS_INVALID();
    // Another issuer's sessions are its own affair.
    return namesSessions ? claims.data : { ...claims.data, sid: undefined };
  } catch (error) {
    throw refusalOf(error);
  }
}

function issuerOf(token: string): string | undefined {
  try {
    return decodeJwt(token).iss;
  } catch {
    return undefined;
  }
}

function refusalOf(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof joseErrors.JWTExpired) return platformErrors.CREDENTIALS_EXPIRED({ cause: error });
  // Keys that cannot be had say nothing about the token.
  if (!(error instanceof joseErrors.JOSEError) || KEYS_NOT_HAD.has(error.code))
    return platformErrors.SUBGRAPH_UNAVAILABLE({ cause: error });
  return platformErrors.CREDENTIALS_INVALID({ cause: error });
}

/** `jose`'s codes: no answer in time, one that is no set of keys, and, by its base class alone, one that is not 200 or no JSON. */
const KEYS_NOT_HAD: ReadonlySet<string> = new Set([
  joseErrors.JWKSTimeout.code,
  joseErrors.JWKSInvalid.code,
  joseErrors.JOSEError.code,
]);

function keysOf({ keys }: Issuer): JWTVerifyGetKey {
  if (typeof keys === "function") return localKeys(keys);
  return createRemoteJWKSet(keys, {
    cooldownDuration: KEYS_COOLDOWN_MS,
    cacheMaxAge: KEYS_MAX_AGE_MS,
    timeoutDuration: KEYS_TIMEOUT_MS,
  });
}

/** As jose's remote set, for keys that come by a function. */
function localKeys(load: () => Promise<JSONWebKeySet>): JWTVerifyGetKey {
  let current: { readonly find: JWTVerifyGetKey; readonly atMs: number } | undefined;
  let loading: Promise<JWTVerifyGetKey> | undefined;
  const reload = (): Promise<JWTVerifyGetKey> =>
    (loading ??= load()
      .then((set) => {
        const find = createLocalJWKSet(set);
        current = { find, atMs: Date.now() };
        return find;
      })
      .finally(() => {
        loading = undefined;
      }));
  return async (header, token) => {
    const known = current && Date.now() - current.atMs < KEYS_MAX_AGE_MS ? current : undefined;
    if (!known) return (await reload())(header, token);
    return Promise.resolve(known.find(header, token)).catch(async (error: unknown) => {
      const stale = error instanceof joseErrors.JWKSNoMatchingKey && Date.now() - known.atMs >= KEYS_COOLDOWN_MS;
      if (!stale) throw error;
      return (await reload())(header, token);
    });
  };
}
