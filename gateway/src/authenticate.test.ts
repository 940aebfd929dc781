import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { useSecretKey } from "@sba/platform/secrets";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase } from "@sba/testkit/services";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Member } from "./identity.testing.ts";
import { post, serve, type Served } from "./testing.ts";
import { createWorld, type World } from "./world.testing.ts";

useDatabase();

const nowS = (): number => Math.floor(Date.now() / 1000);

let world: World;
let served: Served;
let member: Member;
beforeAll(async () => {
  useSecretKey("a-secret-key-that-only-tests-know");
  world = await createWorld();
  served = await serve(world, "in process");
  member = world.join(["run:read"]);
});
afterAll(() => served.close());

const whoAmI = (token: string | undefined) => post(served, token, "{ whoAmI }");

describe("a token", () => {
  test("of the local issuer names its principal", async () => {
    expect((await whoAmI(await member.token())).body).toEqual({ data: { whoAmI: member.principalId } });
  });

  test.each([
    ["of another issuer", { iss: "someone" }, {}],
    ["for another audience", { aud: "elsewhere" }, {}],
    ["without an end", { exp: undefined }, {}],
    ["not yet valid", { nbf: nowS() + 60 }, {}],
    ["without a subject", { sub: undefined }, {}],
    ["whose subject is an object", { sub: { id: "x" } }, {}],
    ["whose subject is no id", { sub: "admin" }, {}],
    ["without a tenant", { tid: undefined }, {}],
    ["of a list of tenants", { tid: ["a", "b"] }, {}],
    ["of every tenant", { tid: "*" }, {}],
    ["of a tenant that its subject is no member of", { tid: "00000000-0000-7000-8000-000000000000" }, {}],
    ["of an unknown principal", { sub: "00000000-0000-7000-8000-000000000000" }, {}],
    ["by an unknown key", {}, { kid: "unknown" }],
    ["with a critical header that nobody knows", {}, { crit: ["exp2"], exp2: 1 }],
  ])("%s is refused", async (_what, claims, header) => {
    const token = await member.token(claims, header).catch(() => "eyJhbGciOiJFUzI1NiJ9.e30.AA");
    const { status, body, headers } = await whoAmI(token);
    expect(status).toBe(401);
    expect(body).toEqual({
      errors: [
        {
          message: "The credentials are not valid.",
          extensions: {
            code: "UNAUTHENTICATED",
            reason: "CREDENTIALS_INVALID",
            retryable: false,
            requestId: headers.get("x-request-id"),
          },
        },
      ],
    });
  });

  test("is checked once for all requests that bring it at the same time, and one that is refused each time anew", async () => {
    const checks = vi.spyOn(globalThis.crypto.subtle, "verify");
    const atOnce = async (token: string) => {
      const answers = await Promise.all(Array.from({ length: 8 }, () => whoAmI(token)));
      return new Set(answers.map(({ status }) => status));
    };
    expect(await atOnce(await member.token())).toEqual(new Set([200]));
    expect(checks).toHaveBeenCalledTimes(1);
    const forged = `${await member.token()}AA`;
    expect(await atOnce(forged)).toEqual(new Set([401]));
    expect((await whoAmI(forged)).status).toBe(401);
    checks.mockRestore();
  });

  test("that has expired is refused by that name", async () => {
    const { status, body } = await whoAmI(
      await member.token({ iat: nowS() - 100, nbf: nowS() - 100, exp: nowS() - 50 }),
    );
    expect([status, body.errors?.[0]?.extensions["reason"]]).toEqual([401, "CREDENTIALS_EXPIRED"]);
  });

  test("signed with a public key as if it were a secret is refused", async () => {
    const keys = (await (await fetch(`${served.gateway.url}/.well-known/jwks.json`)).json()) as {
      keys: [{ kid: string }];
    };
    const secret = new TextEncoder().encode(JSON.stringify(keys.keys[0]));
    const token = await new SignJWT({
      iss: "sba-identity",
      aud: "sba",
      sub: member.principalId,
      tid: member.tenantId,
      iat: nowS(),
      exp: nowS() + 60,
    })
      .setProtectedHeader({ alg: "HS256", kid: keys.keys[0].kid })
      .sign(secret);
    expect((await whoAmI(token)).status).toBe(401);
  });

  test("that was changed is refused", async () => {
    const [header, , signature] = (await member.token()).split(".");
    const payload = Buffer.from(
      JSON.stringify({
        iss: "sba-identity",
        aud: "sba",
        sub: world.join([]).principalId,
        tid: member.tenantId,
        iat: nowS(),
        exp: nowS() + 60,
      }),
    ).toString("base64url");
    expect((await whoAmI(`${header}.${payload}.${signature}`)).status).toBe(401);
  });

  test.each(["nonsense", "a.b.c", "", "x".repeat(10_000), "Bearer twice"])(
    "that is %j is refused, and never taken for no token",
    async (token) => {
      expect((await whoAmI(token)).status).toBe(401);
    },
  );

  test("by a new key is accepted once the issuer publishes it", async () => {
    await world.rotateKeys();
    await eventually(async () => (await whoAmI(await member.token())).status === 200);
  });
});

test("no token is no caller: the field says what is missing", async () => {
  const { status, body } = await whoAmI(undefined);
  expect(status).toBe(401);
  expect(body.errors?.[0]?.extensions).toMatchObject({
    code: "UNAUTHENTICATED",
    reason: "CREDENTIALS_MISSING",
    details: { coordinate: "Query.whoAmI" },
  });
});

describe("an API key", () => {
  test("is its own principal", async () => {
    const robot = world.join([], { apiKey: true });
    expect((await whoAmI(robot.apiKey)).body).toEqual({ data: { whoAmI: robot.principalId } });
  });

  test("that is unknown is refused", async () => {
    expect((await whoAmI("sba_unknown")).status).toBe(401);
  });

  test("that is revoked is refused at once, although it was accepted a moment ago", async () => {
    const robot = world.join([], { apiKey: true });
    expect((await whoAmI(robot.apiKey)).status).toBe(200);
    world.setPermissions(robot, undefined);
    await eventually(async () => (await whoAmI(robot.apiKey)).status === 401, { timeoutMs: 1_000 });
  });
});

test("a permission that is taken away is gone at once", async () => {
  const someone = world.join(["run:read"]);
  const token = await someone.token();
  const read = () => post(served, token, `{ story(id: "x") { id } }`);
  expect((await read()).status).toBe(200);
  world.setPermissions(someone, []);
  const { body } = await eventually(
    async () => {
      const answer = await read();
      return answer.status === 403 && answer;
    },
    { timeoutMs: 1_000 },
  );
  expect(body.errors?.[0]?.extensions).toMatchObject({
    reason: "PERMISSION_MISSING",
    details: { permissions: ["run:read"] },
  });
});

test("another issuer is trusted when it is configured, with its keys fetched by URL, and only with its algorithms", async () => {
  const { publicKey, privateKey } = await generateKeyPair("RS256");
  const jwk = { ...(await exportJWK(publicKey)), kid: "theirs", alg: "RS256" };
  const keys = createServer((_request, response) => {
    response.setHeader("content-type", "application/json").end(JSON.stringify({ keys: [jwk] }));
  });
  await once(keys.listen(0, "127.0.0.1"), "listening");
  const url = new URL(`http://127.0.0.1:${(keys.address() as AddressInfo).port}/keys`);
  const token = await new SignJWT({
    iss: "https://issuer.example",
    aud: "us",
    sub: member.principalId,
    tid: member.tenantId,
    iat: nowS(),
    exp: nowS() + 60,
  })
    .setProtectedHeader({ alg: "RS256", kid: "theirs" })
    .sign(privateKey);
  const issuer = { issuer: "https://issuer.example", audience: "us", keys: url };
  const trusting = await serve(world, "in process", { issuers: [{ ...issuer, algorithms: ["RS256"] }] });
  const strict = await serve(world, "in process", { issuers: [issuer] });
  expect((await post(trusting, token, "{ whoAmI }")).body).toEqual({ data: { whoAmI: member.principalId } });
  expect((await post(strict, token, "{ whoAmI }")).status).toBe(401);
  await Promise.all([trusting.close(), strict.close()]);
  keys.close();
});
