import { parse } from "graphql";
import { describe, expect, it } from "vitest";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import type { Caller } from "@sba/platform/caller";
import { executeInProcess } from "@sba/platform/execute";
import { encodeId, newId } from "@sba/platform/ids";
import { createApiKey, revokeApiKey } from "../api-key/api-key.ts";
import { removeMember, setMemberRoles, setMemberStatus } from "../membership/membership.ts";
import { ROLES } from "../role/role.ts";
import { schema } from "../schema.ts";
import { givenMember, givenTenant } from "../testing.ts";

const database = useDatabase();

// `tenant { plan }` is billing's: the gateway joins it.
const ME = `query Me { me { id email displayName tenant { id name } roles { key } permissions } }`;
const PRINCIPALS = `query ($principals: [_Any!]!) { _entities(representations: $principals) { ... on Principal { id kind displayName } } }`;
const GRANTS = `query ($tenantId: ID!, $principalId: ID!) { principalGrants(tenantId: $tenantId, principalId: $principalId) { tenantId principalId principalKind permissions expiresAt } }`;
const KEY_GRANTS = `query ($key: String!) { apiKeyGrants(key: $key) { tenantId principalId principalKind permissions expiresAt } }`;

async function askAsGateway(source: string, variables: Record<string, unknown>) {
  return executeInProcess(
    schema,
    { document: parse(source), variables },
    { caller: undefined, internal: true, requestId: "test" },
  );
}
const grantsOf = async (tenantId: string, principalId: string) =>
  (await askAsGateway(GRANTS, { tenantId, principalId })).data?.["principalGrants"];
const grantsOfKey = async (key: string) => (await askAsGateway(KEY_GRANTS, { key })).data?.["apiKeyGrants"];

describe("me", () => {
  it("tells a member who, where and what they may do, in two statements", async () => {
    const tenant = await givenTenant({ name: "Acme" });
    const { caller, email } = await givenMember("operator", tenant);
    const { result, statements } = await countStatements(() => expectData(schema, caller, ME));
    expect(result.me).toEqual({
      id: encodeId("Principal", caller.principalId),
      email,
      displayName: "Mo Operator",
      tenant: { id: encodeId("Tenant", tenant.tenantId), name: "Acme" },
      roles: [{ key: "operator" }],
      permissions: [...ROLES.operator.permissions],
    });
    expect(statements).toHaveLength(2);
  });

  it("tells an API key the same, without an e-mail address", async () => {
    const { owner, tenantId } = await givenTenant();
    const { id } = await createApiKey(owner, { name: "Partner", roles: ["partner"] });
    const caller: Caller = {
      tenantId,
      principalId: id,
      principalKind: "API_KEY",
      permissions: new Set(["usage:read"]),
      requestId: "test",
    };
    expect((await expectData(schema, caller, ME)).me).toMatchObject({
      id: encodeId("Principal", id),
      email: null,
      displayName: "Partner",
      roles: [{ key: "partner" }],
      permissions: ["usage:read"],
    });
  });

  it("is refused to nobody in particular, and to one who is no longer known", async () => {
    expect(await expectRefusal(schema, undefined, ME)).toMatchObject({ code: "UNAUTHENTICATED" });
    const { owner } = await givenTenant();
    expect(await expectRefusal(schema, { ...owner, principalId: newId() }, ME)).toMatchObject({
      reason: "IDENTITY_PRINCIPAL_NOT_FOUND",
    });
  });
});

describe("principals", () => {
  const of = (...ids: string[]) => ({
    principals: ids.map((id) => ({ __typename: "Principal", id: encodeId("Principal", id) })),
  });

  it("are people and keys under one kind of id, found in one statement however many there are", async () => {
    const tenant = await givenTenant();
    const { caller } = await givenMember("viewer", tenant);
    const { id } = await createApiKey(tenant.owner, { name: "Robot", roles: ["partner"] });
    const { result, statements } = await countStatements(() =>
      expectData(schema, tenant.owner, PRINCIPALS, of(id, caller.principalId, tenant.owner.principalId, newId(), id)),
    );
    expect(statements).toHaveLength(1);
    expect(result._entities).toEqual([
      { id: encodeId("Principal", id), kind: "API_KEY", displayName: "Robot" },
      { id: encodeId("Principal", caller.principalId), kind: "USER", displayName: "Mo Viewer" },
      { id: encodeId("Principal", tenant.owner.principalId), kind: "USER", displayName: "Mo Owner" },
      null,
      { id: encodeId("Principal", id), kind: "API_KEY", displayName: "Robot" },
    ]);
  });

  it("keep their names after they left", async () => {
    const tenant = await givenTenant();
    const { caller } = await givenMember("viewer", tenant);
    await removeMember(tenant.owner, caller.principalId);
    expect((await expectData(schema, tenant.owner, PRINCIPALS, of(caller.principalId)))._entities).toMatchObject([
      { displayName: "Mo Viewer" },
    ]);
  });

  it("of another tenant are not there, although users are global rows", async () => {
    const [mine, other] = [await givenTenant(), await givenTenant()];
    const { id } = await createApiKey(other.owner, { name: "Theirs", roles: ["partner"] });
    expect((await expectData(schema, mine.owner, PRINCIPALS, of(other.owner.principalId, id)))._entities).toEqual([
      null,
      null,
    ]);
  });
});

describe("grants, for the gateway", () => {
  it("are those of a member's roles now, and nothing for the suspended, the removed and the unknown", async () => {
    const tenant = await givenTenant();
    const { caller } = await givenMember("viewer", tenant);
    const { principalId, tenantId } = caller;
    expect(await grantsOf(tenantId, principalId)).toEqual({
      tenantId,
      principalId,
      principalKind: "USER",
      permissions: [...ROLES.viewer.permissions],
      expiresAt: null,
    });
    await setMemberRoles(tenant.owner, { userId: principalId, roles: ["partner"] });
    expect(await grantsOf(tenantId, principalId)).toMatchObject({ permissions: ["usage:read"] });
    await setMemberStatus(tenant.owner, principalId, "SUSPENDED");
    expect(await grantsOf(tenantId, principalId)).toBeNull();
    await setMemberStatus(tenant.owner, principalId, "ACTIVE");
    expect(await grantsOf(tenantId, principalId)).not.toBeNull();
    await removeMember(tenant.owner, principalId);
    expect(await grantsOf(tenantId, principalId)).toBeNull();
    expect(await grantsOf(tenantId, newId())).toBeNull();
    expect(await grantsOf(newId(), tenant.owner.principalId)).toBeNull();
  });

  it("of an API key are found by its text and its id, until it is revoked", async () => {
    const { owner, tenantId } = await givenTenant();
    const expiresAt = new Date(Date.now() + 3_600_000);
    const { id, key } = await createApiKey(owner, { name: "Partner", roles: ["partner"], expiresAt });
    const expected = {
      tenantId,
      principalId: id,
      principalKind: "API_KEY",
      permissions: ["usage:read"],
      expiresAt: expiresAt.toISOString(),
    };
    expect(await grantsOfKey(key)).toEqual(expected);
    expect(await grantsOf(tenantId, id)).toEqual(expected);
    await revokeApiKey(owner, id);
    expect(await grantsOfKey(key)).toBeNull();
    expect(await grantsOf(tenantId, id)).toBeNull();
  });

  it("of an expired key are none", async () => {
    const { owner, tenantId } = await givenTenant();
    const { id, key } = await createApiKey(owner, { name: "Partner", roles: ["partner"] });
    await database().owner.query("UPDATE identity.api_key SET expires_at = now() WHERE id = $1", [id]);
    expect([await grantsOfKey(key), await grantsOf(tenantId, id)]).toEqual([null, null]);
  });

  it("are told to nobody but the gateway itself, and ask for UUIDs", async () => {
    const { owner, tenantId } = await givenTenant();
    for (const caller of [owner, undefined]) {
      const refused = await expectRefusal(schema, caller, GRANTS, { tenantId, principalId: owner.principalId });
      expect(["FORBIDDEN", "UNAUTHENTICATED"]).toContain(refused["code"]);
    }
    const { data, errors } = await askAsGateway(GRANTS, { tenantId: "ten_x", principalId: owner.principalId });
    expect(data?.["principalGrants"]).toBeNull();
    expect(errors?.[0]?.extensions).toMatchObject({ reason: "INPUT_INVALID" });
  });
});
