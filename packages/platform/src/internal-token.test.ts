import { aCaller } from "@sba/testkit/fixtures";
import { decodeJwt, SignJWT } from "jose";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { internalExtensions, verifyInternalToken, type InternalRequest } from "./internal-token.ts";
import type { Permission } from "./permissions.ts";
import { deriveKey, useSecretKey } from "./secrets.ts";

afterEach(() => {
  vi.useRealTimers();
});
beforeAll(() => {
  useSecretKey("a-secret-key-that-only-tests-know");
});

const carried = (request: InternalRequest) => {
  const { token = "", requestId } = internalExtensions(request);
  return verifyInternalToken(token, requestId);
};
const tokenOf = (caller: InternalRequest["caller"]) =>
  internalExtensions({ caller, internal: false, requestId: "r" })["token"] ?? "";

const refusal = { code: "CREDENTIALS_INVALID", kind: "unauthenticated" };

async function sign(
  claims: Record<string, unknown>,
  key: Uint8Array = deriveKey("internal-token", 32),
  alg = "HS256",
): Promise<string> {
  return new SignJWT({ internal: false, ...claims })
    .setProtectedHeader({ alg })
    .setIssuer("sba-gateway")
    .setAudience("sba-subgraph")
    .setExpirationTime("60s")
    .sign(key);
}

test("carries a caller as it is", async () => {
  const caller = aCaller({ permissions: ["run:read", "usage:read"], expiresAtMs: 1_900_000_000_000 });
  const request = { caller, internal: false, requestId: caller.requestId };
  expect(await carried(request)).toEqual(request);
});

test("carries that nobody is signed in, and the gateway's own questions", async () => {
  const anonymous = { caller: undefined, internal: false, requestId: "r" };
  const own = { caller: undefined, internal: true, requestId: "r" };
  expect(await carried(anonymous)).toEqual(anonymous);
  expect(await carried(own)).toEqual(own);
});

test("is one for all requests of a caller, each of which keeps its own id", async () => {
  const caller = aCaller({ permissions: ["run:read"], requestId: "first" });
  const later = { ...caller, requestId: "later" };
  expect(tokenOf(later)).toBe(tokenOf(caller));
  for (const each of [caller, later]) {
    const request = { caller: each, internal: false, requestId: each.requestId };
    expect(await carried(request)).toEqual(request);
  }
});

test("is another when the same caller may do something else, or its credentials end at another time", () => {
  const caller = aCaller({ permissions: ["run:read"] });
  const tokens = [
    caller,
    { ...caller, permissions: new Set<Permission>() },
    { ...caller, permissions: new Set<Permission>(["run:read", "usage:read"]) },
    { ...caller, expiresAtMs: 1_900_000_000_000 },
    { ...caller, tenantId: aCaller().tenantId },
    { ...caller, principalId: aCaller().principalId },
    undefined,
  ].map(tokenOf);
  expect(new Set(tokens).size).toBe(tokens.length);
});

test("is signed anew long before it ends, and one that was verified is refused once it has", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const caller = aCaller();
  const token = tokenOf(caller);
  await verifyInternalToken(token, "r");
  vi.advanceTimersByTime(20_000);
  expect(tokenOf(caller)).not.toBe(token);
  expect(await verifyInternalToken(token, "r")).toMatchObject({ requestId: "r" });
  vi.advanceTimersByTime(60_000);
  await expect(verifyInternalToken(token, "r")).rejects.toMatchObject(refusal);
});

test("is not taken without the request's id", async () => {
  for (const requestId of [undefined, "", ["a", "b"]])
    await expect(verifyInternalToken(tokenOf(undefined), requestId)).rejects.toMatchObject(refusal);
});

test("lives for a minute", async () => {
  const { exp = 0 } = decodeJwt(tokenOf(undefined));
  expect(exp - Date.now() / 1000).toBeLessThanOrEqual(60);
});

test.each([
  ["a token by another key", () => sign({}, Buffer.alloc(32, 7))],
  ["a token by the key of another purpose", () => sign({}, deriveKey("something-else", 32))],
  ["a token of another algorithm", () => sign({}, deriveKey("internal-token", 64), "HS512")],
  ["a caller whose tenant is no id", () => sign({ caller: { ...aCaller(), permissions: [], tenantId: "*" } })],
  ["a caller that claims to be the gateway", () => sign({ internal: true, caller: { ...aCaller(), permissions: [] } })],
  ["text", () => Promise.resolve("nonsense")],
])("refuses %s", async (_what, make) => {
  await expect(verifyInternalToken(await make(), "r")).rejects.toMatchObject(refusal);
});

test("refuses a token whose seconds are over", async () => {
  const token = await new SignJWT({ internal: false })
    .setProtectedHeader({ alg: "HS256" })
    .setIssuer("sba-gateway")
    .setAudience("sba-subgraph")
    .setExpirationTime(Math.floor(Date.now() / 1000) - 10)
    .sign(deriveKey("internal-token", 32));
  await expect(verifyInternalToken(token, "r")).rejects.toMatchObject(refusal);
});
