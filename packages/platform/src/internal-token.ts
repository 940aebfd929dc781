import { createHmac } from "node:crypto";
import { jwtVerify } from "jose";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import { knownPermissions, serializeCaller, type Caller } from "./caller.ts";
import { platformErrors } from "./errors.ts";
import { deriveKey, deriveKeys } from "./secrets.ts";

/**
 * Who is asking, as the gateway tells a subgraph in another process: a JWT (HS256, RFC 7519) under a key that only this
 * system's processes derive. It lives for seconds; a subgraph refuses whatever comes without one. It names who asks and not the
 * request, whose id travels beside it: one who asks often is signed for once, and verified once.
 */

/** Not `authorization`: a webhook's own header must reach its route. */
export const INTERNAL_TOKEN_HEADER = "x-internal-token";

const PURPOSE = "internal-token";
const KEY_BYTES = 32;
const ISSUER = "sba-gateway";
const AUDIENCE = "sba-subgraph";
const ALGORITHM = "HS256";
const LIFETIME_S = 60;
/** After which a token is signed anew: what is sent has most of its life before it. */
const REUSED_FOR_MS = 15_000;
const MAX_KNOWN = 5_000;
const CLOCK_TOLERANCE_S = 5;

/** One request as it goes from the gateway to a subgraph. */
export interface InternalRequest {
  /** Absent when nobody is signed in, and for the gateway's own questions. */
  readonly caller: Caller | undefined;
  /** True for the gateway's own questions, which no client can ask: fields with `authScopes: { internal: true }`. */
  readonly internal: boolean;
  readonly requestId: string;
}

const claimsSchema = z.object({
  internal: z.boolean(),
  exp: z.number(),
  caller: z
    .object({
      tenantId: z.uuid(),
      principalId: z.uuid(),
      principalKind: z.enum(["USER", "SERVICE_ACCOUNT", "API_KEY"]),
      permissions: z.array(z.string()),
      expiresAtMs: z.number().optional(),
    })
    .optional(),
});
type Claims = z.infer<typeof claimsSchema>;

const HEADER = encode({ alg: ALGORITHM });

/** Whoever asks, in whatever request. */
type Asking = Pick<InternalRequest, "caller" | "internal">;

interface SignedToken {
  readonly token: string;
  readonly signedAtMs: number;
  /** Who may do the same has the same set, as long as nothing is revoked or granted. */
  readonly permissions: Caller["permissions"] | undefined;
}

const signed = new LRUCache<string, SignedToken>({ max: MAX_KNOWN });

/** As a request carries it over HTTP. */
export function internalHeaders(request: InternalRequest): Record<string, string> {
  return { [INTERNAL_TOKEN_HEADER]: internalTokenFor(request), "x-request-id": request.requestId };
}

/** As a socket's messages carry it. */
export function internalExtensions(request: InternalRequest): Record<string, string> {
  return { token: internalTokenFor(request), requestId: request.requestId };
}

/** For all requests of one who asks: the same one for a while. */
function internalTokenFor(asking: Asking): string {
  const { caller, internal } = asking;
  const name = caller
    ? `${caller.tenantId} ${caller.principalKind} ${caller.principalId} ${caller.expiresAtMs ?? ""}`
    : String(internal);
  const known = signed.get(name);
  const nowMs = Date.now();
  if (known && known.permissions === caller?.permissions && nowMs - known.signedAtMs < REUSED_FOR_MS)
    return known.token;
  const made = { token: sign(asking, nowMs), signedAtMs: nowMs, permissions: caller?.permissions };
  signed.set(name, made);
  return made.token;
}

/** Here and not by jose: its keys go to another thread and back, which took the gateway longer than the rest of a fetch. */
function sign({ caller, internal }: Asking, nowMs: number): string {
  const claims = encode({
    internal,
    // Its request is none of the token's business.
    caller: caller && { ...serializeCaller(caller), requestId: undefined },
    iss: ISSUER,
    aud: AUDIENCE,
    exp: Math.floor(nowMs / 1_000) + LIFETIME_S,
  });
  const text = `${HEADER}.${claims}`;
  const signature = createHmac("sha256", deriveKey(PURPOSE, KEY_BYTES)).update(text).digest("base64url");
  return `${text}.${signature}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** Who asks by a token, and until when in epoch seconds. */
interface VerifiedToken {
  readonly caller: Omit<Caller, "requestId"> | undefined;
  readonly internal: boolean;
  readonly exp: number;
}

const verified = new LRUCache<string, VerifiedToken>({ max: MAX_KNOWN });

/**
 * What a token says of the request that it came with. @throws CREDENTIALS_INVALID when this system did not sign it, its seconds are
 * over, or the request has no id
 */
export async function verifyInternalToken(token: string, requestId: unknown): Promise<InternalRequest> {
  if (typeof requestId !== "string" || requestId === "") throw notOurs();
  const known = verified.get(token);
  if (known && Date.now() < known.exp * 1_000) return toRequest(known, requestId);
  const made = toVerified(await verify(token));
  verified.set(token, made);
  return toRequest(made, requestId);
}

async function verify(token: string): Promise<Claims> {
  for (const key of deriveKeys(PURPOSE, KEY_BYTES)) {
    const payload = await jwtVerify(token, key, {
      algorithms: [ALGORITHM],
      issuer: ISSUER,
      audience: AUDIENCE,
      requiredClaims: ["exp"],
      clockTolerance: CLOCK_TOLERANCE_S,
    }).then(
      (found) => found.payload,
      () => undefined,
    );
    const claims = claimsSchema.safeParse(payload);
    // A caller is never the gateway itself: what says both is not trusted with either.
    if (claims.success && !(claims.data.internal && claims.data.caller)) return claims.data;
  }
  throw notOurs();
}

function notOurs() {
  return platformErrors.CREDENTIALS_INVALID({ message: "This server answers only its own gateway." });
}

function toVerified({ internal, caller, exp }: Claims): VerifiedToken {
  if (!caller) return { caller: undefined, internal, exp };
  const { expiresAtMs, permissions, ...rest } = caller;
  const ends = expiresAtMs === undefined ? {} : { expiresAtMs };
  return { caller: { ...rest, ...ends, permissions: knownPermissions(permissions) }, internal, exp };
}

function toRequest({ caller, internal }: VerifiedToken, requestId: string): InternalRequest {
  return { caller: caller && { ...caller, requestId }, internal, requestId };
}
