import { describe, expect, it } from "vitest";
import { eventually } from "@sba/testkit/eventually";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { encodeId, newId } from "@sba/platform/ids";
import { pubsub } from "@sba/platform/pubsub";
import { reader } from "@sba/platform/reader";
import { makeCredential } from "../credential.ts";
import { REVOKED_TOPIC } from "../principal/revocation.ts";
import { schema } from "../schema.ts";
import { givenMember, givenTenant } from "../testing.ts";
import { createApiKey, listApiKeys, revokeApiKey, verifyApiKey } from "./api-key.ts";

const database = useDatabase();

const API_KEYS = `query ($first: Int = 20, $after: String) {
  apiKeys(first: $first, after: $after) {
    edges { node { id name prefix permissions roles { key } principal { id kind displayName } createdBy { displayName } expiresAt revokedAt } }
    pageInfo { hasNextPage endCursor }
  }
}`;

const CREATE = `mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { key apiKey { id name prefix permissions expiresAt createdBy { displayName } } } }`;
const REVOKE = `mutation ($apiKeyId: ID!) { revokeApiKey(input: { apiKeyId: $apiKeyId }) { id revokedAt } }`;

describe("API keys", () => {
  it("are shown once, stored hashed, and verified to what they grant", async () => {
    const { owner, tenantId } = await givenTenant();
    const { id, key } = await createApiKey(owner, { name: "Partner", roles: ["partner"], permissions: ["run:read"] });
    expect(await verifyApiKey(key)).toMatchObject({
      tenantId,
      id,
      name: "Partner",
      roles: ["partner"],
      permissions: ["run:read"],
    });
    const { rows } = await database().owner.query(
      "SELECT row_to_json(k)::text AS row FROM identity.api_key k WHERE id = $1",
      [id],
    );
    expect(rows[0].row).not.toContain(key.slice(-43));
    expect(await verifyApiKey(key)).not.toHaveProperty("secretHash");
  });

  it("are not verified with another secret, of another tenant, or when nothing like it exists", async () => {
    const [a, b] = [await givenTenant(), await givenTenant()];
    const [{ key }, other] = [
      await createApiKey(a.owner, { name: "A", roles: ["partner"] }),
      await createApiKey(b.owner, { name: "B", roles: ["partner"] }),
    ];
    const forged = key.slice(0, -43) + other.key.slice(-43);
    const moved = key.slice(0, 30) + other.key.slice(30, 56) + key.slice(56);
    for (const text of [forged, moved, key.slice(0, -1), `${key}x`, "sba_", "", key.toUpperCase()])
      expect(await verifyApiKey(text)).toBeUndefined();
    expect(await verifyApiKey(key)).toBeDefined();
  });

  it("cost no tenant its reader when they are forged for many", async () => {
    const { owner } = await givenTenant();
    const warm = reader(owner);
    for (let each = 0; each < 200; each++)
      expect(await verifyApiKey(makeCredential("sba", newId(), newId()).text)).toBeUndefined();
    expect(reader(owner)).toBe(warm);
  });

  it("end at their expiry", async () => {
    const { owner } = await givenTenant();
    const { id, key } = await createApiKey(owner, {
      name: "Short",
      roles: ["partner"],
      expiresAt: new Date(Date.now() + 60_000),
    });
    expect(await verifyApiKey(key)).toBeDefined();
    await database().owner.query("UPDATE identity.api_key SET expires_at = now() - interval '1 ms' WHERE id = $1", [
      id,
    ]);
    expect(await verifyApiKey(key)).toBeUndefined();
  });

  it("end for good when revoked, and everybody who caches is told", async () => {
    const { owner, tenantId } = await givenTenant();
    const { id, key } = await createApiKey(owner, { name: "Partner", roles: ["partner"] });
    const heard: unknown[] = [];
    const leave = await pubsub().subscribe(REVOKED_TOPIC, (payload) => heard.push(payload && JSON.parse(payload)));
    await revokeApiKey(owner, id);
    await revokeApiKey(owner, id);
    expect(await verifyApiKey(key)).toBeUndefined();
    await eventually(() => heard.length === 1);
    expect(heard).toEqual([{ tenantId, principalId: id }]);
    await leave();
    const audit = await reader(owner).auditEntry.findMany({
      where: { target: encodeId("ApiKey", id) },
      orderBy: { at: "asc" },
    });
    expect(audit.map(({ action }) => action)).toEqual(["identity.apiKey.created", "identity.apiKey.revoked"]);
  });

  it("of another tenant cannot be revoked", async () => {
    const [mine, other] = [await givenTenant(), await givenTenant()];
    const { id, key } = await createApiKey(other.owner, { name: "Theirs", roles: ["partner"] });
    await expect(revokeApiKey(mine.owner, id)).rejects.toMatchObject({ code: "IDENTITY_API_KEY_NOT_FOUND" });
    expect(await verifyApiKey(key)).toBeDefined();
  });

  it("hold no more than who makes them, and are not made without name, permission or future", async () => {
    const { caller } = await givenMember("operator");
    await expect(createApiKey(caller, { name: "K", permissions: ["tenant:manage"] })).rejects.toMatchObject({
      code: "IDENTITY_PERMISSION_NOT_HELD",
    });
    await expect(createApiKey(caller, { name: "K" })).rejects.toMatchObject({ code: "IDENTITY_API_KEY_INVALID" });
    await expect(createApiKey(caller, { name: " ", roles: ["partner"] })).rejects.toMatchObject({
      code: "IDENTITY_API_KEY_INVALID",
    });
    await expect(createApiKey(caller, { name: "K", roles: ["partner"], expiresAt: new Date(0) })).rejects.toMatchObject(
      { code: "IDENTITY_API_KEY_INVALID" },
    );
    expect((await listApiKeys(caller, { first: 10 })).items).toEqual([]);
  });

  it("are listed by prefix, newest first, in two statements however many there are", async () => {
    const { owner } = await givenTenant();
    const made = [];
    for (const name of ["one", "two", "three"]) made.push(await createApiKey(owner, { name, roles: ["partner"] }));
    const { result, statements } = await countStatements(() => expectData(schema, owner, API_KEYS, { first: 2 }));
    expect(statements).toHaveLength(2);
    const nodes = result.apiKeys.edges.map(({ node }: { node: object }) => node);
    expect(nodes).toMatchObject([{ name: "three" }, { name: "two" }]);
    expect(nodes[0]).toMatchObject({
      id: encodeId("ApiKey", made[2]!.id),
      prefix: made[2]!.key.slice(0, 20),
      permissions: ["usage:read"],
      roles: [{ key: "partner" }],
      principal: { id: encodeId("Principal", made[2]!.id), kind: "API_KEY", displayName: "three" },
      createdBy: { displayName: "Mo Owner" },
      revokedAt: null,
    });
    const rest = await expectData(schema, owner, API_KEYS, { after: result.apiKeys.pageInfo.endCursor });
    expect(rest.apiKeys.edges).toMatchObject([{ node: { name: "one" } }]);
  });

  it("are shown to nobody without apikey:manage, and to no other tenant", async () => {
    const [mine, other] = [await givenTenant(), await givenTenant()];
    await createApiKey(other.owner, { name: "Theirs", roles: ["partner"] });
    expect((await expectData(schema, mine.owner, API_KEYS)).apiKeys.edges).toEqual([]);
    const viewer = await givenMember("viewer", mine);
    expect(await expectRefusal(schema, viewer.caller, API_KEYS)).toMatchObject({ code: "FORBIDDEN" });
  });

  it("are made and revoked by operations, their text shown once, also to who repeats the request", async () => {
    const { owner } = await givenTenant();
    const input = {
      ...{ name: "Reporting", roles: ["partner"], permissions: ["run:read"], idempotencyKey: "k1" },
      expiresAt: "2126-01-01T00:00:00.000Z",
    };
    const { createApiKey: made } = await expectData(schema, owner, CREATE, { input });
    expect(made.apiKey).toMatchObject({
      name: "Reporting",
      prefix: made.key.slice(0, 20),
      permissions: ["usage:read", "run:read"],
      expiresAt: input.expiresAt,
      createdBy: { displayName: "Mo Owner" },
    });
    expect(await verifyApiKey(made.key as string)).toBeDefined();
    expect((await expectData(schema, owner, CREATE, { input })).createApiKey).toEqual({ ...made, key: null });
    expect(await expectRefusal(schema, owner, CREATE, { input: { ...input, name: "Other" } })).toMatchObject({
      code: "CONFLICT",
      reason: "IDEMPOTENCY_KEY_REUSED",
    });
    expect((await expectData(schema, owner, API_KEYS)).apiKeys.edges).toHaveLength(1);
    const revoke = () => expectData(schema, owner, REVOKE, { apiKeyId: made.apiKey.id });
    const [first, again] = [await revoke(), await revoke()];
    expect(first.revokeApiKey).toEqual({ id: made.apiKey.id, revokedAt: expect.any(String) });
    expect(again).toEqual(first);
    expect(await verifyApiKey(made.key as string)).toBeUndefined();
  });

  it.each([
    [{ roles: ["owner"] }, { code: "FORBIDDEN", reason: "IDENTITY_PERMISSION_NOT_HELD" }],
    [{ permissions: ["tenant:manage"] }, { code: "FORBIDDEN", reason: "IDENTITY_PERMISSION_NOT_HELD" }],
    [{ roles: ["emperor"] }, { code: "BAD_USER_INPUT", reason: "IDENTITY_ROLE_UNKNOWN" }],
    [{ permissions: ["world:rule"] }, { code: "BAD_USER_INPUT", reason: "IDENTITY_API_KEY_INVALID" }],
    [{}, { code: "BAD_USER_INPUT", reason: "IDENTITY_API_KEY_INVALID" }],
    [
      { name: "x".repeat(201), roles: ["partner"] },
      { code: "BAD_USER_INPUT", reason: "INPUT_INVALID" },
    ],
    [{ roles: ["partner"], expiresAt: "2000-01-01T00:00:00Z" }, { reason: "IDENTITY_API_KEY_INVALID" }],
  ])("are refused to an administrator who asks for %j", async (asked, refusal) => {
    const { caller } = await givenMember("admin");
    expect(await expectRefusal(schema, caller, CREATE, { input: { name: "K", ...asked } })).toMatchObject(refusal);
    expect((await listApiKeys(caller, { first: 10 })).items).toEqual([]);
  });

  it("are neither made nor revoked by who lacks apikey:manage, nor revoked by another tenant", async () => {
    const [tenant, other] = [await givenTenant(), await givenTenant()];
    const operator = await givenMember("operator", tenant);
    const { id, key } = await createApiKey(tenant.owner, { name: "K", roles: ["partner"] });
    const apiKeyId = encodeId("ApiKey", id);
    const input = { name: "Mine", roles: ["partner"] };
    expect(await expectRefusal(schema, operator.caller, CREATE, { input })).toMatchObject({ code: "FORBIDDEN" });
    expect(await expectRefusal(schema, operator.caller, REVOKE, { apiKeyId })).toMatchObject({ code: "FORBIDDEN" });
    expect(await expectRefusal(schema, other.owner, REVOKE, { apiKeyId })).toMatchObject({
      code: "NOT_FOUND",
      reason: "IDENTITY_API_KEY_NOT_FOUND",
    });
    expect(await verifyApiKey(key)).toBeDefined();
  });
});
