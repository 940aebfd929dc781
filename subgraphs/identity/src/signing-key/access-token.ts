import { SignJWT } from "jose";
import { newId } from "@sba/platform/ids";
import { currentSigner, SIGNING_ALGORITHM } from "./signing-key.ts";

/** `iss` and `aud` of our tokens: the gateway accepts no others from the local issuer. */
export const TOKEN_ISSUER = "sba-identity";
export const TOKEN_AUDIENCE = "sba";

const LIFETIME_S = 15 * 60;
const MAX_LIFETIME_S = 24 * 60 * 60;

export interface AccessTokenInput {
  /** UUID. */
  readonly tenantId: string;
  /** UUID of the user, or of the API key. */
  readonly principalId: string;
  /** UUID of the session that the token is of: it ends with it, within a second. */
  readonly sessionId?: string | undefined;
  /** 1 second to 24 hours; 15 minutes by default. */
  readonly lifetimeSeconds?: number;
}

export interface AccessToken {
  readonly accessToken: string;
  readonly expiresAt: Date;
}

/**
 * Signs a token that says who someone is, in which tenant (RFC 9068 without its client claims). It says nothing of what
 * they may do: the gateway asks for that, so that a change of roles needs no new token.
 */
export async function issueAccessToken({
  tenantId,
  principalId,
  sessionId,
  lifetimeSeconds = LIFETIME_S,
}: AccessTokenInput): Promise<AccessToken> {
  if (!(lifetimeSeconds >= 1 && lifetimeSeconds <= MAX_LIFETIME_S))
    throw new RangeError("an access token lives 1 second to 24 hours");
  const { kid, privateKey } = await currentSigner();
  const issuedAtS = Math.floor(Date.now() / 1000);
  const expiresAtS = issuedAtS + Math.floor(lifetimeSeconds);
  const accessToken = await new SignJWT({ tid: tenantId, ...(sessionId === undefined ? {} : { sid: sessionId }) })
    .setProtectedHeader({ alg: SIGNING_ALGORITHM, kid, typ: "at+jwt" })
    .setIssuer(TOKEN_ISSUER)
    .setAudience(TOKEN_AUDIENCE)
    .setSubject(principalId)
    .setIssuedAt(issuedAtS)
    .setNotBefore(issuedAtS)
    .setExpirationTime(expiresAtS)
    .setJti(newId())
    .sign(privateKey);
  return { accessToken, expiresAt: new Date(expiresAtS * 1000) };
}
