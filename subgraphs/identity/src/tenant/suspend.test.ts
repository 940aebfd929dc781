import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { readEvents, streamOf } from "@sba/platform/events";
import { encodeId, newId } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import { ALLOWED_WHILE_SUSPENDED } from "@sba/platform/suspension";
import { describe, expect, it } from "vitest";
import { createApiKey } from "../api-key/api-key.ts";
import { findGrants, findGrantsByApiKey } from "../principal/principal.ts";
import { ROLES } from "../role/role.ts";
import { schema } from "../schema.ts";
import { givenMember, givenTenant } from "../testing.ts";
import { resumeTenant, suspendTenant } from "./suspend.ts";

useDatabase();

const SUSPEND = `mutation ($reason: String!) { suspendTenant(input: { reason: $reason }) { id suspension { by reason suspendedAt } } }`;
const RESUME = `mutation { resumeTenant { id suspension { by } } }`;
const ME = `{ me { tenant { suspension { by reason } } } }`;

const permissionsOf = async (tenantId: string, principalId: string) =>
  (await findGrants({ tenantId }, principalId))?.permissions;

describe("a suspended tenant", () => {
  it("leaves its people and keys what it takes to see it and put it in order, until it is resumed", async () => {
    const tenant = await givenTenant();
    const { tenantId, owner } = tenant;
    const [operator, key] = [
      await givenMember("operator", tenant),
      await createApiKey(owner, { name: "Robot", roles: ["operator"] }),
    ];
    const { suspendTenant: suspended } = await expectData(schema, owner, SUSPEND, { reason: "An incident" });
    expect(suspended).toEqual({
      id: encodeId("Tenant", tenantId),
      suspension: { by: "OWNER", reason: "An incident", suspendedAt: expect.any(String) },
    });
    expect(await permissionsOf(tenantId, owner.principalId)).toEqual(ALLOWED_WHILE_SUSPENDED);
    const left = new Set(["tenant:read", "member:read"]);
    expect(await findGrants(tenant, operator.caller.principalId)).toMatchObject({
      permissions: left,
      isSuspended: true,
    });
    expect(await findGrantsByApiKey(key.key)).toMatchObject({ permissions: left, isSuspended: true });
    expect((await expectData(schema, operator.caller, ME)).me.tenant.suspension).toEqual({
      by: "OWNER",
      reason: "An incident",
    });
    expect((await expectData(schema, owner, RESUME)).resumeTenant.suspension).toBeNull();
    expect(await findGrants(tenant, operator.caller.principalId)).toMatchObject({
      permissions: new Set(ROLES.operator.permissions),
      isSuspended: false,
    });
  });

  it("is suspended and resumed once, audited and told in its stream", async () => {
    const { tenantId, owner } = await givenTenant();
    for (const reason of ["An incident", "Another reason"]) await expectData(schema, owner, SUSPEND, { reason });
    for (let i = 0; i < 2; i++) await expectData(schema, owner, RESUME);
    const events = await readEvents(owner, streamOf("tenant", tenantId), { after: 1, first: 10 });
    expect(events.map(({ type, payload }) => [type, payload])).toEqual([
      ["identity.tenant.suspended", { by: "OWNER", reason: "An incident" }],
      ["identity.tenant.resumed", { by: "OWNER" }],
    ]);
    const audited = await reader(owner).auditEntry.findMany({
      where: { target: encodeId("Tenant", tenantId), action: { startsWith: "identity.tenant." } },
      orderBy: { id: "asc" },
    });
    expect(audited.map(({ action }) => action)).toEqual([
      "identity.tenant.provisioned",
      "identity.tenant.suspended",
      "identity.tenant.resumed",
    ]);
  });

  it("by the platform is resumed by the platform alone, whatever its owner lifts", async () => {
    const { owner } = await givenTenant();
    const platform = { ...owner, principalId: newId() };
    await suspendTenant(owner, { by: "OWNER", reason: "Ours" });
    await suspendTenant(platform, { by: "PLATFORM", reason: "Not paid" });
    expect((await expectData(schema, owner, ME)).me.tenant.suspension).toEqual({ by: "PLATFORM", reason: "Not paid" });
    expect(await expectRefusal(schema, owner, RESUME)).toMatchObject({
      code: "FORBIDDEN",
      reason: "IDENTITY_TENANT_SUSPENDED_BY_PLATFORM",
    });
    await resumeTenant(platform, { by: "PLATFORM" });
    expect((await expectData(schema, owner, ME)).me.tenant.suspension).toEqual({ by: "OWNER", reason: "Ours" });
    expect((await expectData(schema, owner, RESUME)).resumeTenant.suspension).toBeNull();
  });

  it("is its owner's to suspend, with a reason, and no other tenant's", async () => {
    const [mine, other] = [await givenTenant(), await givenTenant()];
    const admin = await givenMember("admin", mine);
    for (const operation of [SUSPEND, RESUME])
      expect(await expectRefusal(schema, admin.caller, operation, { reason: "No" })).toMatchObject({
        code: "FORBIDDEN",
      });
    expect(await expectRefusal(schema, mine.owner, SUSPEND, { reason: "" })).toMatchObject({ code: "BAD_USER_INPUT" });
    await expectData(schema, mine.owner, SUSPEND, { reason: "Mine" });
    expect((await expectData(schema, other.owner, ME)).me.tenant.suspension).toBeNull();
    expect(await findGrants(other, other.owner.principalId)).toMatchObject({ isSuspended: false });
    await expect(
      suspendTenant({ ...mine.owner, tenantId: newId() }, { by: "PLATFORM", reason: "?" }),
    ).rejects.toMatchObject({ code: "IDENTITY_TENANT_NOT_FOUND" });
  });
});
