import { describe, expect, it } from "vitest";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { recordAudit } from "@sba/platform/audit";
import { withTenant } from "@sba/platform/db";
import { encodeId } from "@sba/platform/ids";
import { createApiKey } from "../api-key/api-key.ts";
import { schema } from "../schema.ts";
import { givenMember, givenTenant } from "../testing.ts";

const database = useDatabase();

const AUDIT = `query ($first: Int = 20, $after: String, $filter: AuditFilter) {
  auditEntries(first: $first, after: $after, filter: $filter) {
    edges { node { id at action target details requestId principal { id displayName } } } pageInfo { hasNextPage endCursor }
  }
}`;
const nodesOf = (data: { auditEntries: { edges: { node: { action: string } }[] } }) =>
  data.auditEntries.edges.map(({ node }) => node);

describe("the audit log", () => {
  it("names who did what to what, newest first, in two statements however many entries there are", async () => {
    const tenant = await givenTenant();
    const { caller } = await givenMember("viewer", tenant);
    const { id } = await createApiKey(tenant.owner, { name: "Robot", roles: ["partner"] });
    const { result, statements } = await countStatements(() => expectData(schema, tenant.owner, AUDIT));
    expect(statements).toHaveLength(2);
    const owner = { id: encodeId("Principal", tenant.owner.principalId), displayName: "Mo Owner" };
    expect(nodesOf(result)).toMatchObject([
      {
        action: "identity.apiKey.created",
        target: encodeId("ApiKey", id),
        details: { name: "Robot", permissions: ["usage:read"] },
        principal: owner,
        requestId: tenant.owner.requestId,
      },
      {
        action: "identity.member.added",
        target: encodeId("Principal", caller.principalId),
        details: { roles: ["viewer"] },
      },
      { action: "identity.member.added", target: owner.id },
      { action: "identity.tenant.provisioned", target: encodeId("Tenant", tenant.tenantId), principal: owner },
    ]);
  });

  it("is paged and filtered", async () => {
    const tenant = await givenTenant();
    const { caller } = await givenMember("viewer", tenant);
    const page1 = await expectData(schema, tenant.owner, AUDIT, { first: 2 });
    const page2 = await expectData(schema, tenant.owner, AUDIT, {
      first: 2,
      after: page1.auditEntries.pageInfo.endCursor,
    });
    expect([...nodesOf(page1), ...nodesOf(page2)].map(({ action }) => action)).toEqual([
      "identity.member.added",
      "identity.member.added",
      "identity.tenant.provisioned",
    ]);
    expect(page2.auditEntries.pageInfo.hasNextPage).toBe(false);
    const filtered = async (filter: object) =>
      nodesOf(await expectData(schema, tenant.owner, AUDIT, { filter })).length;
    expect(await filtered({ action: "identity.tenant.provisioned" })).toBe(1);
    expect(await filtered({ target: encodeId("Principal", caller.principalId) })).toBe(1);
    expect(await filtered({ principalId: encodeId("Principal", caller.principalId) })).toBe(0);
    expect(await filtered({ from: "2020-01-01T00:00:00Z", to: "2020-01-02T00:00:00Z" })).toBe(0);
    expect(await filtered({ from: "2020-01-01T00:00:00Z" })).toBe(3);
  });

  it("is asked for no time that the database has not", async () => {
    const { owner } = await givenTenant();
    expect(await expectRefusal(schema, owner, AUDIT, { filter: { from: "0000-01-01T00:00:00Z" } })).toMatchObject({
      reason: "INPUT_INVALID",
    });
    expect(nodesOf(await expectData(schema, owner, AUDIT, { filter: { from: "0001-01-01T00:00:00Z" } }))).toHaveLength(
      2,
    );
  });

  it("is written in the transaction that does it, and cannot be changed by the application", async () => {
    const { owner } = await givenTenant();
    await withTenant(owner, async (tx) => {
      await recordAudit(tx, owner, { action: "test.thing.done", target: "x" });
      throw new Error("rolled back");
    }).catch(() => undefined);
    expect(nodesOf(await expectData(schema, owner, AUDIT)).map(({ action }) => action)).not.toContain(
      "test.thing.done",
    );
    await expect(withTenant(owner, (tx) => tx.sql`UPDATE platform.audit_entry SET action = 'x'`)).rejects.toThrow(
      /permission denied/,
    );
    await expect(withTenant(owner, (tx) => tx.sql`DELETE FROM platform.audit_entry`)).rejects.toThrow(
      /permission denied/,
    );
    const { rows } = await database().owner.query("SELECT 1 FROM platform.audit_entry WHERE tenant_id = $1", [
      owner.tenantId,
    ]);
    expect(rows).toHaveLength(2);
  });

  it("is shown to no other tenant, and to nobody without audit:read", async () => {
    const [mine, other] = [await givenTenant(), await givenTenant()];
    expect(
      nodesOf(
        await expectData(schema, mine.owner, AUDIT, {
          filter: { principalId: encodeId("Principal", other.owner.principalId) },
        }),
      ),
    ).toEqual([]);
    const viewer = await givenMember("viewer", mine);
    expect(await expectRefusal(schema, viewer.caller, AUDIT)).toMatchObject({ code: "FORBIDDEN" });
  });
});
