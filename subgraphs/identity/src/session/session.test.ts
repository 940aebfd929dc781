import { createHook } from "node:async_hooks";
import { decodeJwt } from "jose";
import { describe, expect, it } from "vitest";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { eventually } from "@sba/testkit/eventually";
import { useDatabase } from "@sba/testkit/services";
import type { AppError } from "@sba/platform/errors";
import { encodeId, newId } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import { useSecretKey } from "@sba/platform/secrets";
import { addMember, removeMember, setMemberStatus } from "../membership/membership.ts";
import { schema } from "../schema.ts";
import { issueAccessToken } from "../signing-key/access-token.ts";
import { givenMember, givenTenant, PASSWORD } from "../testing.ts";
import { hashPassword } from "../user/password.ts";
import { refreshSession, signIn, type SessionTokens } from "./session.ts";
import { claimAttempt, FREE_ATTEMPTS } from "./throttle.ts";

const database = useDatabase();
useSecretKey("a-secret-key-that-only-tests-know");

const SIGN_IN = `mutation SignIn($email: String!, $password: String!, $tenantId: ID) {
  signIn(input: { email: $email, password: $password, tenantId: $tenantId }) { accessToken expiresAt refreshToken }
}`;
const REFRESH = `mutation ($refreshToken: String!) { refreshSession(input: { refreshToken: $refreshToken }) { accessToken expiresAt refreshToken } }`;

const request = { requestId: "test" };
const signInAs = (email: string, tenantId?: string): Promise<SessionTokens> =>
  signIn({ email, password: PASSWORD, tenantId }, request);
const claimsOf = ({ accessToken }: SessionTokens) => decodeJwt(accessToken);
const actionsOf = async (scope: { tenantId: string }) =>
  (await reader(scope).auditEntry.findMany({ orderBy: { at: "asc" } })).map(({ action }) => action);

describe("signing in", () => {
  it("gives anyone with the right password a token for their tenant, whatever the case of the address, and is audited", async () => {
    const { email, caller } = await givenMember("operator");
    const { signIn: tokens } = await expectData(schema, undefined, SIGN_IN, {
      email: ` ${email.toUpperCase()}`,
      password: PASSWORD,
    });
    expect(decodeJwt(tokens.accessToken)).toMatchObject({ sub: caller.principalId, tid: caller.tenantId });
    expect(Date.parse(tokens.expiresAt) - Date.now()).toBeGreaterThan(14 * 60_000);
    expect(await reader(caller).auditEntry.findMany({ where: { action: "identity.session.opened" } })).toMatchObject([
      {
        principalId: caller.principalId,
        target: encodeId("Principal", caller.principalId),
        requestId: "test-anonymous",
      },
    ]);
  });

  it("is one error for a wrong password, an unknown address, another's tenant and a member of nothing", async () => {
    const { email, caller } = await givenMember("viewer");
    const other = await givenTenant();
    const refusal = (variables: object) =>
      expectRefusal(schema, undefined, SIGN_IN, { email, password: PASSWORD, ...variables });
    const refusals = [
      await refusal({ password: "wrong password" }),
      await refusal({ email: `${newId()}@example.test` }),
      await refusal({ tenantId: encodeId("Tenant", other.tenantId) }),
    ];
    await database().owner.query("UPDATE identity.user SET tenant_ids = '{}' WHERE id = $1", [caller.principalId]);
    refusals.push(await refusal({}));
    for (const extensions of refusals)
      expect(extensions).toEqual({ ...refusals[0], code: "UNAUTHENTICATED", reason: "IDENTITY_CREDENTIALS_INVALID" });
  });

  it("opens the tenant that was asked for, else the last used, else the first", async () => {
    const [first, second] = [await givenTenant(), await givenTenant()];
    const { email, caller } = await givenMember("viewer", first);
    await addMember(second.owner, { userId: caller.principalId, roles: ["admin"] });
    expect(claimsOf(await signInAs(email))["tid"]).toBe(first.tenantId);
    expect(claimsOf(await signInAs(email, second.tenantId))["tid"]).toBe(second.tenantId);
    expect(claimsOf(await signInAs(email))["tid"]).toBe(second.tenantId);
    await removeMember(second.owner, caller.principalId);
    expect(claimsOf(await signInAs(email))["tid"]).toBe(first.tenantId);
  });

  it("is refused to a suspended member, even one whose suspension the user row does not know of yet", async () => {
    const tenant = await givenTenant();
    const { email, caller } = await givenMember("viewer", tenant);
    await setMemberStatus(tenant.owner, caller.principalId, "SUSPENDED");
    await expect(signInAs(email)).rejects.toMatchObject({ code: "IDENTITY_CREDENTIALS_INVALID" });
    await database().owner.query("UPDATE identity.user SET tenant_ids = $1 WHERE id = $2", [
      [tenant.tenantId],
      caller.principalId,
    ]);
    await expect(signInAs(email)).rejects.toMatchObject({ code: "IDENTITY_CREDENTIALS_INVALID" });
  });

  it("refuses input that is no input", async () => {
    expect(await expectRefusal(schema, undefined, SIGN_IN, { email: "", password: "x" })).toMatchObject({
      reason: "INPUT_INVALID",
    });
    expect(
      await expectRefusal(schema, undefined, SIGN_IN, { email: "a@b.test", password: "x".repeat(10_000) }),
    ).toMatchObject({ reason: "INPUT_INVALID" });
    expect(
      await expectRefusal(schema, undefined, SIGN_IN, { email: "a@b.test", password: "x", tenantId: "run_1" }),
    ).toMatchObject({ reason: "ID_INVALID" });
  });
});

describe("the throttle of signing in", () => {
  const attempt = (email: string, password: string) =>
    signIn({ email, password }, request).then(
      () => "opened",
      (error: { code: string }) => error.code,
    );

  it("pauses an account after repeated failures, also for the right password and an unknown account, and says for how long", async () => {
    const [known, unknown] = [(await givenMember("viewer")).email, `${newId()}@example.test`];
    for (let i = 0; i < FREE_ATTEMPTS; i++)
      expect(await attempt(known, "wrong password")).toBe("IDENTITY_CREDENTIALS_INVALID");
    // What signIn does first; hashing for nobody, as slow as for somebody, is left out.
    for (let i = 0; i < FREE_ATTEMPTS; i++) await claimAttempt(unknown);
    for (const account of [known, unknown]) {
      const refused = await expectRefusal(schema, undefined, SIGN_IN, { email: account, password: PASSWORD });
      expect(refused).toMatchObject({ code: "RATE_LIMITED", reason: "IDENTITY_SIGN_IN_THROTTLED", retryable: true });
      expect(refused["retryAfterMs"]).toBeGreaterThan(20_000);
      expect(refused["retryAfterMs"]).toBeLessThanOrEqual(30_000);
    }
  });

  it("counts attempts made at once, and lets only the free ones try", async () => {
    const { email } = await givenMember("viewer");
    const outcomes = await Promise.all(Array.from({ length: 12 }, () => attempt(email, "wrong password")));
    expect(outcomes.filter((code) => code === "IDENTITY_CREDENTIALS_INVALID")).toHaveLength(FREE_ATTEMPTS);
    expect(outcomes.filter((code) => code === "IDENTITY_SIGN_IN_THROTTLED")).toHaveLength(12 - FREE_ATTEMPTS);
  });

  it("pauses twice as long after the next failure, and forgets all with the right password", async () => {
    const { email } = await givenMember("viewer");
    const endPause = () =>
      database().owner.query(
        "UPDATE identity.sign_in_attempt SET blocked_until = now() WHERE blocked_until IS NOT NULL",
      );
    for (let i = 0; i < FREE_ATTEMPTS; i++) await attempt(email, "wrong password");
    await endPause();
    expect(await attempt(email, "wrong password")).toBe("IDENTITY_CREDENTIALS_INVALID");
    const throttled = await signIn({ email, password: PASSWORD }, request).catch((error: unknown) => error);
    expect(throttled).toMatchObject({ code: "IDENTITY_SIGN_IN_THROTTLED" });
    expect((throttled as { retryAfterMs: number }).retryAfterMs).toBeGreaterThan(50_000);
    await endPause();
    expect(await attempt(email, PASSWORD)).toBe("opened");
    for (let i = 0; i < FREE_ATTEMPTS - 1; i++)
      expect(await attempt(email, "wrong password")).toBe("IDENTITY_CREDENTIALS_INVALID");
    expect(await attempt(email, PASSWORD)).toBe("opened");
  });

  it("forgets failures after an hour, and keeps no addresses", async () => {
    const { email } = await givenMember("viewer");
    for (let i = 0; i < FREE_ATTEMPTS - 1; i++) await attempt(email, "wrong password");
    await database().owner.query("UPDATE identity.sign_in_attempt SET last_at = now() - interval '61 minutes'");
    await attempt(email, "wrong password");
    const { rows } = await database().owner.query("SELECT * FROM identity.sign_in_attempt");
    expect(rows).toMatchObject([{ failures: 1, blocked_until: null }]);
    expect(JSON.stringify(rows)).not.toContain(email);
  });
});

describe("refreshing a session", () => {
  it("gives the next pair of tokens, once", async () => {
    const { email, caller } = await givenMember("viewer");
    const first = await signInAs(email);
    const { refreshSession: second } = await expectData(schema, undefined, REFRESH, {
      refreshToken: first.refreshToken,
    });
    expect(decodeJwt(second.accessToken)).toMatchObject({ sub: caller.principalId, tid: caller.tenantId });
    expect(second.refreshToken).not.toBe(first.refreshToken);
    expect(claimsOf(await refreshSession(second.refreshToken, request))).toMatchObject({ sub: caller.principalId });
  });

  it("with an old token ends the session, for the thief and the robbed, and is audited", async () => {
    const { email, caller } = await givenMember("viewer");
    const first = await signInAs(email);
    const second = await refreshSession(first.refreshToken, request);
    const invalid = { code: "UNAUTHENTICATED", reason: "IDENTITY_REFRESH_TOKEN_INVALID" };
    expect(await expectRefusal(schema, undefined, REFRESH, { refreshToken: first.refreshToken })).toMatchObject(
      invalid,
    );
    expect(await expectRefusal(schema, undefined, REFRESH, { refreshToken: second.refreshToken })).toMatchObject(
      invalid,
    );
    expect((await actionsOf(caller)).filter((action) => action.startsWith("identity.session"))).toEqual([
      "identity.session.opened",
      "identity.session.reuseDetected",
    ]);
  });

  it("at the same time with one token succeeds once", async () => {
    const { email } = await givenMember("viewer");
    const { refreshToken } = await signInAs(email);
    const outcomes = await Promise.allSettled([1, 2, 3].map(() => refreshSession(refreshToken, request)));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  it("leaves the person's other sessions alone", async () => {
    const { email } = await givenMember("viewer");
    const [stolen, other] = [await signInAs(email), await signInAs(email)];
    await refreshSession(stolen.refreshToken, request);
    await expect(refreshSession(stolen.refreshToken, request)).rejects.toMatchObject({
      code: "IDENTITY_REFRESH_TOKEN_INVALID",
    });
    expect((await refreshSession(other.refreshToken, request)).accessToken).toBeTruthy();
  });

  it("is refused after the member was suspended or removed, after 30 idle days, and for what is no token of ours", async () => {
    const tenant = await givenTenant();
    const [member, idle] = [await givenMember("viewer", tenant), await givenMember("viewer", tenant)];
    const [mine, old] = [await signInAs(member.email), await signInAs(idle.email)];
    await removeMember(tenant.owner, member.caller.principalId);
    await database().owner.query("UPDATE identity.session SET expires_at = now() WHERE user_id = $1", [
      idle.caller.principalId,
    ]);
    const forged = `${old.refreshToken.slice(0, -43)}${"A".repeat(43)}`;
    for (const token of [mine.refreshToken, old.refreshToken, forged, mine.accessToken, "", "sbr_"]) {
      await expect(refreshSession(token, request)).rejects.toMatchObject({ code: "IDENTITY_REFRESH_TOKEN_INVALID" });
    }
  });

  it("stores no token", async () => {
    const { email } = await givenMember("viewer");
    const { refreshToken } = await signInAs(email);
    const { rows } = await database().owner.query("SELECT row_to_json(s)::text AS row FROM identity.session s");
    for (const { row } of rows) expect(row).not.toContain(refreshToken.slice(-43));
  });
});

/** How many passwords are being hashed in this process, and at most were. */
function watchHashing() {
  const underWay = new Set<number>();
  const seen = { most: 0, begun: 0 };
  const hook = createHook({
    init: (id, type) => {
      if (type !== "SCRYPTREQUEST") return;
      underWay.add(id);
      seen.begun++;
      seen.most = Math.max(seen.most, underWay.size);
    },
    after: (id) => underWay.delete(id),
  }).enable();
  return { seen, stop: () => hook.disable() };
}

describe("many who sign in at once", () => {
  it("leave threads to the others: two passwords are hashed, fifty wait, and the rest is told at once to come again", async () => {
    const { caller, email } = await givenMember("viewer");
    // A twelfth of what hashing costs: enough to see what overlaps.
    const passwordHash = await hashPassword(PASSWORD, { N: 2 ** 13, r: 8, p: 1 });
    const crowd = newId();
    await database().owner.query(
      `INSERT INTO identity.user (id, email, display_name, password_hash, tenant_ids)
       SELECT gen_random_uuid(), $1 || n || '@example.test', 'Somebody', $2, '{}' FROM generate_series(1, 200) n`,
      [crowd, passwordHash],
    );
    const hashing = watchHashing();
    const outcomes: string[] = [];
    const signingIn = Array.from({ length: 200 }, (_, index) =>
      signIn({ email: `${crowd}${index + 1}@example.test`, password: "a guess" }, request).catch((error: AppError) => {
        outcomes.push(error.code);
        return error;
      }),
    );
    await eventually(() => Promise.resolve(hashing.seen.begun > 0), { timeoutMs: 20_000 });
    expect(outcomes).toEqual(Array.from({ length: 148 }, () => "IDENTITY_SIGN_IN_BUSY"));
    await issueAccessToken(caller);
    expect(outcomes.length).toBeLessThan(200);
    const told = await Promise.all(signingIn);
    hashing.stop();
    expect(hashing.seen).toEqual({ most: 2, begun: 52 });
    expect(outcomes.filter((code) => code === "IDENTITY_CREDENTIALS_INVALID")).toHaveLength(52);
    expect(told.at(-1)).toMatchObject({ kind: "unavailable", retryable: true, retryAfterMs: expect.any(Number) });
    // There is room again.
    expect(claimsOf(await signInAs(email))["sub"]).toBe(caller.principalId);
  });
});
