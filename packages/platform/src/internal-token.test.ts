import { aCaller } from "@sba/testkit/fixtures";
import { decodeJwt, SignJWT } from "jose";
import { beforeAll, expect, test } from "vitest";
import { signInternalToken, verifyInternalToken } from "./internal-token.ts";
import { deriveKey, useSecretKey } from "./secrets.ts";

beforeAll(() => {
  useSecretKey("a-secret-key-that-only-tests-know");
});

const refusal = { code: "CREDENTIALS_INVALID", kind: "unauthenticated" };

async function sign(
  claims: Record<string, unknown>,
  key: Uint8Array = deriveKey("internal-token", 32),
  alg = "HS256",
): Promise<string> {
  return new SignJWT({ req: "r", internal: false, ...claims })
    .setProtectedHeader({ alg })
    .setIssuer("sba-gateway")
    .setAudience("sba-subgraph")
    .setExpirationTime("60s")
    .sign(key);
}

test("carries a caller as it is", async () => {
  const caller = aCaller({ permissions: ["run:read", "usage:read"], expiresAtMs: 1_900_000_000_000 });
  const token = signInternalToken({ caller, internal: false, requestId: "request-1" });
  expect(await verifyInternalToken(token)).toEqual({ caller, internal: false, requestId: "request-1" });
});

test("carries that nobody is signed in, and the gateway's own questions", async () => {
  const anonymous = { caller: undefined, internal: false, requestId: "r" };
  const own = { caller: undefined, internal: true, requestId: "r" };
  expect(await verifyInternalToken(signInternalToken(anonymous))).toEqual(anonymous);
  expect(await verifyInternalToken(signInternalToken(own))).toEqual(own);
});

test("lives for a minute", async () => {
  const { exp = 0 } = decodeJwt(signInternalToken({ caller: undefined, internal: false, requestId: "r" }));
  expect(exp - Date.now() / 1000).toBeLessThanOrEqual(60);
});

test.each([
  ["a token by another key", () => sign({}, Buffer.alloc(32, 7))],
  ["a token by the key of another purpose", () => sign({}, deriveKey("something-else", 32))],
  ["a token of another algorithm", () => sign({}, deriveKey("internal-token", 64), "HS512")],
  ["a token without its request", () => sign({ req: undefined })],
  ["a caller whose tenant is no id", () => sign({ caller: { ...aCaller(), permissions: [], tenantId: "*" } })],
  ["a caller that claims to be the gateway", () => sign({ internal: true, caller: { ...aCaller(), permissions: [] } })],
  ["text", () => Promise.resolve("nonsense")],
])("refuses %s", async (_what, make) => {
  await expect(verifyInternalToken(await make())).rejects.toMatchObject(refusal);
});

test("refuses a token whose seconds are over", async () => {
  const token = await new SignJWT({ req: "r", internal: false })
    .setProtectedHeader({ alg: "HS256" })
    .setIssuer("sba-gateway")
    .setAudience("sba-subgraph")
    .setExpirationTime(Math.floor(Date.now() / 1000) - 10)
    .sign(deriveKey("internal-token", 32));
  await expect(verifyInternalToken(token)).rejects.toMatchObject(refusal);
});
