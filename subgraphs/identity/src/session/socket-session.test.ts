import { decodeJwt } from "jose";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import type { Caller } from "@sba/platform/caller";
import { encodeId, newId } from "@sba/platform/ids";
import { usePublicUrl } from "@sba/platform/public-url";
import { useSecretKey } from "@sba/platform/secrets";
import { afterEach, describe, expect, it } from "vitest";
import { createApiKey, revokeApiKey } from "../api-key/api-key.ts";
import { removeMember } from "../membership/membership.ts";
import { findGrants } from "../principal/principal.ts";
import { schema } from "../schema.ts";
import { givenMember, givenTenant, PASSWORD } from "../testing.ts";
import { refreshSession, signIn } from "./session.ts";

const database = useDatabase();
useSecretKey("a-secret-key-that-only-tests-know");
afterEach(() => {
  usePublicUrl(undefined);
});

const CREATE = `mutation ($input: CreateSessionInput) {
  createSession(input: $input) { session { id principal { id kind } createdAt expiresAt endedAt } subscriptionsUrl connectionToken expiresAt }
}`;
const SESSIONS = `query ($first: Int! = 20, $after: String) { sessions(first: $first, after: $after) { edges { node { id } } pageInfo { hasNextPage endCursor } } }`;
const END = `mutation ($sessionId: ID!) { endSession(input: { sessionId: $sessionId }) }`;
const SIGN_OUT = `mutation ($refreshToken: String!) { signOut(input: { refreshToken: $refreshToken }) }`;

interface Claims {
  readonly sub: string;
  readonly tid: string;
  readonly sid: string;
  readonly exp: number;
  readonly iat: number;
}
const claimsOf = (token: string) => decodeJwt<Claims>(token);
const grantsOf = (token: string) => {
  const { tid, sub, sid } = claimsOf(token);
  return findGrants({ tenantId: tid }, sub, sid);
};

async function givenKey() {
  const tenant = await givenTenant();
  const { id } = await createApiKey(tenant.owner, { name: "Server", permissions: ["run:read"] });
  const caller: Caller = {
    ...tenant.owner,
    principalId: id,
    principalKind: "API_KEY",
    permissions: new Set(["run:read"]),
  };
  return { tenant, caller };
}

describe("a session for a socket", () => {
  it("comes with where to connect and a token for minutes, of the same principal", async () => {
    usePublicUrl("https://sba.example/");
    const { caller } = await givenMember("viewer");
    const { createSession } = await expectData(schema, caller, CREATE);
    expect(createSession).toMatchObject({
      subscriptionsUrl: "wss://sba.example/graphql",
      session: { principal: { id: encodeId("Principal", caller.principalId), kind: "USER" }, endedAt: null },
    });
    const { sub, tid, sid, exp, iat } = claimsOf(createSession.connectionToken as string);
    expect({ sub, tid, sid: encodeId("Session", sid) }).toEqual({
      sub: caller.principalId,
      tid: caller.tenantId,
      sid: createSession.session.id,
    });
    expect(exp - iat).toBe(300);
    expect(Date.parse(createSession.expiresAt as string)).toBe(exp * 1000);
  });

  it("is opened by an API key as well, and may do no more than the key", async () => {
    const { tenant, caller } = await givenKey();
    const { createSession } = await expectData(schema, caller, CREATE);
    expect(createSession.session.principal).toEqual({
      id: encodeId("Principal", caller.principalId),
      kind: "API_KEY",
    });
    expect(await grantsOf(createSession.connectionToken as string)).toMatchObject({
      principalKind: "API_KEY",
      permissions: new Set(["run:read"]),
    });
    await revokeApiKey(tenant.owner, caller.principalId);
    expect(await grantsOf(createSession.connectionToken as string)).toBeUndefined();
  });

  it("is the same for the same idempotency key, with another token, until it has ended", async () => {
    const { caller } = await givenMember("viewer");
    const input = { idempotencyKey: "tab 1" };
    const [first, again, other] = [
      (await expectData(schema, caller, CREATE, { input })).createSession,
      (await expectData(schema, caller, CREATE, { input })).createSession,
      (await expectData(schema, caller, CREATE)).createSession,
    ];
    expect(again.session.id).toBe(first.session.id);
    expect(again.connectionToken).not.toBe(first.connectionToken);
    expect(other.session.id).not.toBe(first.session.id);
    expect(await expectData(schema, caller, END, { sessionId: first.session.id })).toEqual({ endSession: true });
    expect(await expectData(schema, caller, END, { sessionId: first.session.id })).toEqual({ endSession: true });
    expect(await expectRefusal(schema, caller, CREATE, { input })).toMatchObject({
      code: "NOT_FOUND",
      reason: "IDENTITY_SESSION_NOT_FOUND",
    });
    expect(await grantsOf(first.connectionToken as string)).toBeUndefined();
    expect(await grantsOf(other.connectionToken as string)).toBeDefined();
  });

  it("grants nothing to another principal, and ends by itself when nobody asks for a token", async () => {
    const tenant = await givenTenant();
    const [one, two] = [await givenMember("viewer", tenant), await givenMember("viewer", tenant)];
    const { createSession } = await expectData(schema, one.caller, CREATE);
    const { sid } = claimsOf(createSession.connectionToken as string);
    expect(await findGrants(tenant, two.caller.principalId, sid)).toBeUndefined();
    expect(await findGrants(tenant, one.caller.principalId, newId())).toBeUndefined();
    await database().owner.query("UPDATE identity.session SET expires_at = now() WHERE id = $1", [sid]);
    expect(await findGrants(tenant, one.caller.principalId, sid)).toBeUndefined();
  });

  it("is ended by its principal and by who manages members, and is not found by anyone else", async () => {
    const [tenant, stranger] = [await givenTenant(), await givenTenant()];
    const [one, colleague] = [await givenMember("viewer", tenant), await givenMember("operator", tenant)];
    const { createSession } = await expectData(schema, one.caller, CREATE);
    const sessionId = createSession.session.id as string;
    for (const caller of [colleague.caller, stranger.owner])
      expect(await expectRefusal(schema, caller, END, { sessionId })).toMatchObject({ code: "NOT_FOUND" });
    expect(await grantsOf(createSession.connectionToken as string)).toBeDefined();
    await expectData(schema, tenant.owner, END, { sessionId });
    expect(await grantsOf(createSession.connectionToken as string)).toBeUndefined();
  });

  it("ends with its member", async () => {
    const tenant = await givenTenant();
    const { caller } = await givenMember("viewer", tenant);
    const { createSession } = await expectData(schema, caller, CREATE);
    await removeMember(tenant.owner, caller.principalId);
    const { rows } = await database().owner.query("SELECT ended_at FROM identity.session WHERE id = $1", [
      claimsOf(createSession.connectionToken as string).sid,
    ]);
    expect(rows).toEqual([{ ended_at: expect.any(Date) }]);
  });

  it("is listed to its principal alone, page by page, and no longer when it has ended", async () => {
    const tenant = await givenTenant();
    const { caller, email } = await givenMember("viewer", tenant);
    await signIn({ email, password: PASSWORD }, { requestId: "test" });
    const made: string[] = [];
    for (let i = 0; i < 3; i++) made.push((await expectData(schema, caller, CREATE)).createSession.session.id);
    await expectData(schema, caller, END, { sessionId: made[1] });
    const { sessions } = await expectData(schema, caller, SESSIONS, { first: 2 });
    expect(sessions.edges.map(({ node }: { node: { id: string } }) => node.id)).toEqual([made[2], made[0]]);
    const rest = await expectData(schema, caller, SESSIONS, { after: sessions.pageInfo.endCursor });
    expect(rest.sessions.edges).toHaveLength(1);
    expect((await expectData(schema, tenant.owner, SESSIONS)).sessions.edges).toEqual([]);
    expect(await expectRefusal(schema, undefined, SESSIONS)).toMatchObject({ code: "UNAUTHENTICATED" });
  });
});

describe("signing out", () => {
  it("ends the session and its access token, leaves the person's others, and is no error twice", async () => {
    const { email } = await givenMember("viewer");
    const open = () => signIn({ email, password: PASSWORD }, { requestId: "test" });
    const [one, other] = [await open(), await open()];
    const signOut = () => expectData(schema, undefined, SIGN_OUT, { refreshToken: one.refreshToken });
    expect([await signOut(), await signOut()]).toEqual([{ signOut: true }, { signOut: true }]);
    expect(await grantsOf(one.accessToken)).toBeUndefined();
    expect(await grantsOf(other.accessToken)).toBeDefined();
  });

  it("with a token that was used already ends nothing: whoever has the newest stays", async () => {
    const { email } = await givenMember("viewer");
    const first = await signIn({ email, password: PASSWORD }, { requestId: "test" });
    const second = await refreshSession(first.refreshToken, { requestId: "test" });
    await expectData(schema, undefined, SIGN_OUT, { refreshToken: first.refreshToken });
    expect(await grantsOf(second.accessToken)).toBeDefined();
  });
});
