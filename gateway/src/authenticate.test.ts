import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { useSecretKey } from "@sba/platform/secrets";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase } from "@sba/testkit/services";
import { exportJWK, generateKeyPair, SignJWT, type JWK } from "jose";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import type { AsymmetricAlgorithm, Issuer } from "./authenticate.ts";
import type { Member } from "./identity.testing.ts";
import { openTestSocket, post, serve, type Served } from "./testing.ts";
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

describe("another issuer", () => {
  const ISSUER = "https://issuer.example";

  /** An issuer elsewhere, whose answer for its keys is the test's to write. */
  async function anIssuer() {
    const published: JWK[] = [];
    const answer = {
      with: (response: ServerResponse): void => {
        response.end(JSON.stringify({ keys: published }));
      },
    };
    const server = createServer((_request, response) => {
      answer.with(response);
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const keys = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`);
    const makeKey = async (kid: string, alg: AsymmetricAlgorithm = "ES256") => {
      const { publicKey, privateKey } = await generateKeyPair(alg);
      const jwk: JWK = { ...(await exportJWK(publicKey)), kid, alg };
      const token = (claims: object = {}) =>
        new SignJWT({
          iss: ISSUER,
          aud: "us",
          sub: member.principalId,
          tid: member.tenantId,
          iat: nowS(),
          exp: nowS() + 60,
          ...claims,
        })
          .setProtectedHeader({ alg, kid })
          .sign(privateKey);
      return { jwk, token };
    };
    return { answer, published, makeKey, trust: { issuer: ISSUER, audience: "us", keys } };
  }

  async function trusting(...issuers: readonly Issuer[]): Promise<Served> {
    const gateway = await serve(world, "in process", { issuers });
    onTestFinished(() => gateway.close());
    return gateway;
  }

  test("is trusted when it is configured, with its keys fetched by URL, and only with its algorithms", async () => {
    const { trust, published, makeKey } = await anIssuer();
    const { jwk, token } = await makeKey("theirs", "RS256");
    published.push(jwk);
    const trusted = await trusting({ ...trust, algorithms: ["RS256"] });
    expect((await post(trusted, await token(), "{ whoAmI }")).body).toEqual({ data: { whoAmI: member.principalId } });
    expect((await post(await trusting(trust), await token(), "{ whoAmI }")).status).toBe(401);
  });

  test("may write ids in capitals and audiences as a list, and names no end that is no date", async () => {
    const { trust, published, makeKey } = await anIssuer();
    const { jwk, token } = await makeKey("theirs");
    published.push(jwk);
    const trusted = await trusting(trust);
    const ask = async (claims: object) => post(trusted, await token(claims), "{ whoAmI }");
    const capitals = { sub: member.principalId.toUpperCase(), tid: member.tenantId.toUpperCase(), aud: ["they", "us"] };
    expect((await ask(capitals)).body).toEqual({ data: { whoAmI: member.principalId } });
    expect((await ask({ aud: ["they"] })).status).toBe(401);
    expect((await ask({ exp: 1e300 })).status).toBe(401);
  });

  test("is believed by a new key with the first token, and not by one that it has withdrawn", async () => {
    const { trust, published, makeKey } = await anIssuer();
    const [old, fresh] = [await makeKey("old"), await makeKey("fresh")];
    published.push(old.jwk);
    const trusted = await trusting(trust);
    const statusOf = async (token: string) => (await post(trusted, token, "{ whoAmI }")).status;
    expect(await statusOf(await old.token())).toBe(200);
    published.splice(0, 1, fresh.jwk);
    // New keys are looked for at most once a second.
    await eventually(async () => (await statusOf(await fresh.token())) === 200);
    expect(await statusOf(await old.token())).toBe(401);
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ["fails", (response) => response.writeHead(500).end("{}")],
    ["sends elsewhere", (response) => response.writeHead(302, { location: "/" }).end()],
    ["answers with a page", (response) => response.end("<html></html>")],
    ["answers with something else", (response) => response.end(`{"status":"ok"}`)],
    ["hangs up", (response) => response.destroy()],
  ])("that %s when it is asked for its keys says nothing of a token: who has one comes again", async (_what, fail) => {
    const { answer, trust, published, makeKey } = await anIssuer();
    const { jwk, token } = await makeKey("theirs");
    published.push(jwk);
    const answerWell = answer.with;
    answer.with = fail;
    const trusted = await trusting(trust);
    const authorization = `Bearer ${await token()}`;
    const { status, body } = await post(trusted, await token(), "{ whoAmI }");
    expect(status).toBe(503);
    expect(body.errors?.[0]?.extensions).toMatchObject({ reason: "SUBGRAPH_UNAVAILABLE", retryable: true });
    const socket = await openTestSocket(trusted);
    socket.send({ type: "connection_init", payload: { authorization } });
    // Not 4401, after which no client comes again.
    expect(await socket.closed).toMatchObject({ code: 1013 });
    answer.with = answerWell;
    expect((await post(trusted, await token(), "{ whoAmI }")).status).toBe(200);
  });
});
