import { createHmac } from "node:crypto";
import { jwtVerify } from "jose";
import { z } from "zod";
import { deserializeCaller, serializeCaller, type Caller } from "./caller.ts";
import { platformErrors } from "./errors.ts";
import { deriveKey, deriveKeys } from "./secrets.ts";

/**
 * Who is asking, as the gateway tells a subgraph in another process: a JWT (HS256, RFC 7519) under a key that only this
 * system's processes derive. It lives for seconds; a subgraph refuses whatever comes without one.
 */

const PURPOSE = "internal-token";
const KEY_BYTES = 32;
const ISSUER = "sba-gateway";
const AUDIENCE = "sba-subgraph";
const ALGORITHM = "HS256";
const LIFETIME_S = 60;
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
  req: z.string().min(1),
  internal: z.boolean(),
  caller: z
    .object({
      tenantId: z.uuid(),
      principalId: z.uuid(),
      principalKind: z.enum(["USER", "SERVICE_ACCOUNT", "API_KEY"]),
      permissions: z.array(z.string()),
      requestId: z.string(),
      expiresAtMs: z.number().optional(),
    })
    .optional(),
});

const HEADER = encode({ alg: ALGORITHM });

/**
 * A token for one request to one subgraph. Signed here and not by jose: its keys go to another thread and back, which took the
 * gateway longer than the rest of a fetch.
 */
export function signInternalToken({ caller, internal, requestId }: InternalRequest): string {
  const claims = encode({
    req: requestId,
    internal,
    caller: caller && serializeCaller(caller),
    iss: ISSUER,
    aud: AUDIENCE,
    exp: Math.floor(Date.now() / 1_000) + LIFETIME_S,
  });
  const signed = `${HEADER}.${claims}`;
  const signature = createHmac("sha256", deriveKey(PURPOSE, KEY_BYTES)).update(signed).digest("base64url");
  return `${signed}.${signature}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** What a token says. @throws CREDENTIALS_INVALID when this system did not sign it, or its seconds are over. */
export async function verifyInternalToken(token: string): Promise<InternalRequest> {
  for (const key of deriveKeys(PURPOSE, KEY_BYTES)) {
    const payload = await jwtVerify(token, key, {
      algorithms: [ALGORITHM],
      issuer: ISSUER,
      audience: AUDIENCE,
      requiredClaims: ["exp"],
      clockTolerance: CLOCK_TOLERANCE_S,
    }).then(
      (verified) => verified.payload,
      () => undefined,
    );
    const claims = claimsSchema.safeParse(payload);
    if (claims.success) return toRequest(claims.data);
  }
  throw platformErrors.CREDENTIALS_INVALID({ message: "This server answers only its own gateway." });
}

function toRequest({ req, internal, caller }: z.infer<typeof claimsSchema>): InternalRequest {
  // A caller is never the gateway itself: what says both is not trusted with either.
  if (internal && caller) throw platformErrors.CREDENTIALS_INVALID();
  if (!caller) return { caller: undefined, internal, requestId: req };
  const { expiresAtMs, ...rest } = caller;
  return {
    caller: deserializeCaller(expiresAtMs === undefined ? rest : { ...rest, expiresAtMs }),
    internal,
    requestId: req,
  };
}
