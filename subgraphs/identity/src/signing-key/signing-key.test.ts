import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  decodeProtectedHeader,
  exportJWK,
  generateKeyPair,
  jwtVerify,
  type JSONWebKeySet,
} from "jose";
import { describe, expect, it } from "vitest";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase } from "@sba/testkit/services";
import { newId } from "@sba/platform/ids";
import type { RouteRequest } from "@sba/platform/server";
import { useSecretKey } from "@sba/platform/secrets";
import { countLockWaits } from "../testing.ts";
import { issueAccessToken, TOKEN_AUDIENCE, TOKEN_ISSUER } from "./access-token.ts";
import { jwksRoute } from "./jwks.route.ts";
import { currentSigner, forgetSigner, rotateSigningKey } from "./signing-key.ts";

const database = useDatabase();
useSecretKey("a-secret-key-that-only-tests-know");

async function fetchKeys(): Promise<JSONWebKeySet> {
  const response = await jwksRoute.handle({} as RouteRequest);
  expect(response).toMatchObject({ status: 200, headers: { "content-type": "application/jwk-set+json" } });
  return JSON.parse(response.body as string) as JSONWebKeySet;
}

async function verify(token: string) {
  return jwtVerify(token, createLocalJWKSet(await fetchKeys()), {
    issuer: TOKEN_ISSUER,
    audience: TOKEN_AUDIENCE,
    algorithms: ["ES256"],
  });
}

describe("the local issuer", () => {
  it("publishes a key before the first token, and nothing private", async () => {
    const { keys } = await fetchKeys();
    expect(keys).toEqual([
      {
        kty: "EC",
        crv: "P-256",
        alg: "ES256",
        use: "sig",
        kid: expect.any(String),
        x: expect.any(String),
        y: expect.any(String),
      },
    ]);
    const { rows } = await database().owner.query("SELECT sealed_private_key FROM identity.signing_key");
    expect(Buffer.from(rows[0].sealed_private_key, "base64url").toString("latin1")).not.toContain("PRIVATE KEY");
  });

  it("issues tokens of 15 minutes that name who, where and until when, and nothing else", async () => {
    const [tenantId, principalId] = [newId(), newId()];
    const { accessToken, expiresAt } = await issueAccessToken({ tenantId, principalId });
    const { payload, protectedHeader } = await verify(accessToken);
    const { iat, nbf, exp, jti, ...claims } = payload;
    expect(claims).toEqual({ iss: TOKEN_ISSUER, aud: "sba", sub: principalId, tid: tenantId });
    expect(exp! - iat!).toBe(15 * 60);
    expect(nbf).toBe(iat);
    expect(jti).not.toBe((await verify((await issueAccessToken({ tenantId, principalId })).accessToken)).payload.jti);
    expect(expiresAt.getTime()).toBe(exp! * 1000);
    expect(protectedHeader).toEqual({ alg: "ES256", kid: expect.any(String), typ: "at+jwt" });
  });

  it("issues tokens of up to 24 hours when asked, and none that outlives the key's publication", async () => {
    const ids = { tenantId: newId(), principalId: newId() };
    const { payload } = await verify((await issueAccessToken({ ...ids, lifetimeSeconds: 86_400 })).accessToken);
    expect(payload.exp! - payload.iat!).toBe(86_400);
    for (const lifetimeSeconds of [86_401, 0, -1, Number.NaN])
      await expect(issueAccessToken({ ...ids, lifetimeSeconds })).rejects.toThrow(RangeError);
  });

  it("signs with the new key after a rotation, and what the old one signed stays good", async () => {
    const ids = { tenantId: newId(), principalId: newId() };
    const before = await issueAccessToken(ids);
    await rotateSigningKey();
    const after = await issueAccessToken(ids);
    expect(decodeProtectedHeader(after.accessToken).kid).not.toBe(decodeProtectedHeader(before.accessToken).kid);
    expect((await verify(before.accessToken)).payload.sub).toBe(ids.principalId);
    expect((await verify(after.accessToken)).payload.sub).toBe(ids.principalId);
  });

  it("withdraws a key 25 hours after it was retired", async () => {
    const { accessToken } = await issueAccessToken({
      tenantId: newId(),
      principalId: newId(),
      lifetimeSeconds: 86_400,
    });
    await rotateSigningKey();
    await database().owner.query(
      "UPDATE identity.signing_key SET retired_at = now() - interval '25 hours' WHERE retired_at IS NOT NULL",
    );
    await expect(verify(accessToken)).rejects.toMatchObject({ code: "ERR_JWKS_NO_MATCHING_KEY" });
    await rotateSigningKey();
    const { rows } = await database().owner.query("SELECT count(*)::int AS keys FROM identity.signing_key");
    expect(rows[0].keys).toBe(2);
  });

  const forgetAndAsk = async (): Promise<string> => {
    forgetSigner();
    return (await currentSigner()).kid;
  };

  it("makes another key after 30 days, one however many processes ask at once", async () => {
    const before = await forgetAndAsk();
    const { owner } = database();
    await owner.query("UPDATE identity.signing_key SET created_at = now() - interval '31 days'");
    // All are held up before they write, so that all have seen that there is no key to sign with.
    await owner.query("BEGIN");
    await owner.query("LOCK TABLE identity.signing_key IN SHARE ROW EXCLUSIVE MODE");
    const asked = Promise.all([1, 2, 3, 4].map(forgetAndAsk));
    await eventually(async () => (await countLockWaits(owner)) === 4);
    await owner.query("COMMIT");
    const kids = new Set(await asked);
    expect(kids.size).toBe(1);
    expect(kids).not.toContain(before);
  });

  it("replaces a key that SECRET_KEY no longer opens, once", async () => {
    const before = await forgetAndAsk();
    await database().owner.query("UPDATE identity.signing_key SET sealed_private_key = 'AAAA' || sealed_private_key");
    const replaced = await forgetAndAsk();
    expect(replaced).not.toBe(before);
    expect(await forgetAndAsk()).toBe(replaced);
  });

  it("publishes no key that somebody else put into the table, or changed there", async () => {
    const kid = await forgetAndAsk();
    const { publicKey } = await generateKeyPair("ES256", { extractable: true });
    const planted = await exportJWK(publicKey);
    const plantedKid = await calculateJwkThumbprint(planted);
    const { owner } = database();
    await owner.query(
      `INSERT INTO identity.signing_key (kid, public_jwk, sealed_private_key)
       SELECT $1, $2, sealed_private_key FROM identity.signing_key WHERE kid = $3`,
      [plantedKid, JSON.stringify({ ...planted, kid: plantedKid, alg: "ES256" }), kid],
    );
    const kids = async () => (await fetchKeys()).keys.map((key) => key.kid);
    expect(await kids()).toContain(kid);
    expect(await kids()).not.toContain(plantedKid);
    await owner.query("DELETE FROM identity.signing_key WHERE kid = $1", [plantedKid]);
    await owner.query("UPDATE identity.signing_key SET public_jwk = $1 WHERE kid = $2", [
      JSON.stringify({ ...planted, kid }),
      kid,
    ]);
    expect(await kids()).not.toContain(kid);
  });
});
