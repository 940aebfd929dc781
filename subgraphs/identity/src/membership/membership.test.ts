import { describe, expect, it } from "vitest";
import { eventually } from "@sba/testkit/eventually";
import { expectData, expectRefusal } from "@sba/testkit/graphql";
import { useDatabase } from "@sba/testkit/services";
import { countStatements } from "@sba/testkit/statements";
import { encodeId, newId } from "@sba/platform/ids";
import { reader } from "@sba/platform/reader";
import { schema } from "../schema.ts";
import { countLockWaits, givenMember, givenTenant, PASSWORD } from "../testing.ts";
import { createUser } from "../user/user.ts";
import { addMember, findActiveMembership, removeMember, setMemberRoles, setMemberStatus } from "./membership.ts";

const database = useDatabase();

const MEMBERS = `query ($first: Int = 20, $after: String) {
  members(first: $first, after: $after) {
    edges { node { id email principal { id kind displayName } roles { key } status joinedAt } } pageInfo { hasNextPage endCursor }
  }
}`;

const SET_ROLES = `mutation ($memberId: ID!, $roles: [ID!]!) { setMemberRoles(input: { memberId: $memberId, roles: $roles }) { id roles { key } } }`;
const SET_STATUS = `mutation ($memberId: ID!, $status: MemberStatus!) { setMemberStatus(input: { memberId: $memberId, status: $status }) { id status } }`;
const REMOVE = `mutation ($memberId: ID!) { removeMember(input: { memberId: $memberId }) { id displayName } }`;
const memberIdOf = ({ principalId }: { principalId: string }) => encodeId("Member", principalId);

const tenantIdsOf = async (scope: { tenantId: string }, userId: string) =>
  (await reader(scope).user.findUniqueOrThrow({ where: { id: userId } })).tenantIds;

describe("members", () => {
  it("are added once: a repeat changes nothing, other roles are a conflict", async () => {
    const tenant = await givenTenant();
    const { caller } = await givenMember("viewer", tenant);
    await addMember(tenant.owner, { userId: caller.principalId, roles: ["viewer"] });
    expect(await tenantIdsOf(tenant, caller.principalId)).toEqual([tenant.tenantId]);
    await expect(addMember(tenant.owner, { userId: caller.principalId, roles: ["admin"] })).rejects.toMatchObject({
      code: "IDENTITY_MEMBER_EXISTS",
    });
    expect(await findActiveMembership(tenant, caller.principalId)).toMatchObject({ roles: ["viewer"] });
  });

  it("must be known users, and cannot be given more than who adds them holds", async () => {
    const tenant = await givenTenant();
    const operator = await givenMember("operator", tenant);
    await expect(addMember(tenant.owner, { userId: newId(), roles: ["viewer"] })).rejects.toMatchObject({
      code: "IDENTITY_USER_NOT_FOUND",
    });
    const user = await createUser({ email: `${newId()}@example.test`, displayName: "New", password: PASSWORD });
    await expect(addMember(operator.caller, { userId: user.id, roles: ["owner"] })).rejects.toMatchObject({
      code: "IDENTITY_PERMISSION_NOT_HELD",
    });
    expect(await findActiveMembership(tenant, user.id)).toBeUndefined();
  });

  it("who are suspended or removed lose the tenant, and get it back when let in again", async () => {
    const tenant = await givenTenant();
    const { caller } = await givenMember("viewer", tenant);
    const userId = caller.principalId;
    await setMemberStatus(tenant.owner, userId, "SUSPENDED");
    expect(await findActiveMembership(tenant, userId)).toBeUndefined();
    expect(await tenantIdsOf(tenant, userId)).toEqual([]);
    await setMemberStatus(tenant.owner, userId, "ACTIVE");
    expect(await tenantIdsOf(tenant, userId)).toEqual([tenant.tenantId]);
    await removeMember(tenant.owner, userId);
    expect(await tenantIdsOf(tenant, userId)).toEqual([]);
    await expect(removeMember(tenant.owner, userId)).rejects.toMatchObject({ code: "IDENTITY_MEMBER_NOT_FOUND" });
    await addMember(tenant.owner, { userId, roles: ["operator"] });
    expect(await findActiveMembership(tenant, userId)).toMatchObject({ roles: ["operator"] });
  });

  it("cannot change those who hold more than they do", async () => {
    const tenant = await givenTenant();
    const admin = await givenMember("admin", tenant);
    await expect(removeMember(admin.caller, tenant.owner.principalId)).rejects.toMatchObject({
      code: "IDENTITY_PERMISSION_NOT_HELD",
    });
    await expect(
      setMemberRoles(admin.caller, { userId: admin.caller.principalId, roles: ["owner"] }),
    ).rejects.toMatchObject({ code: "IDENTITY_PERMISSION_NOT_HELD" });
  });

  it("always include an owner, even when the last two leave at the same time", async () => {
    const tenant = await givenTenant();
    const second = await givenMember("owner", tenant);
    const { owner: connection } = database();
    // Both are held up in the middle, so that both are under way when the first goes on.
    await connection.query("BEGIN");
    await connection.query("SELECT 1 FROM identity.membership WHERE tenant_id = $1 FOR UPDATE", [tenant.tenantId]);
    const leaving = Promise.allSettled([
      removeMember(tenant.owner, tenant.owner.principalId),
      setMemberRoles(second.caller, { userId: second.caller.principalId, roles: ["viewer"] }),
    ]);
    await eventually(async () => (await countLockWaits(connection)) === 2);
    await connection.query("COMMIT");
    const left = await leaving;
    expect(left.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    expect(left.find(({ status }) => status === "rejected")).toMatchObject({ reason: { code: "IDENTITY_LAST_OWNER" } });
  });

  it("are listed page by page in two statements however many there are", async () => {
    const tenant = await givenTenant();
    const members = [
      await givenMember("viewer", tenant),
      await givenMember("operator", tenant),
      await givenMember("admin", tenant),
    ];
    await removeMember(tenant.owner, members[2]!.caller.principalId);
    await setMemberStatus(tenant.owner, members[1]!.caller.principalId, "SUSPENDED");
    const { result, statements } = await countStatements(() => expectData(schema, tenant.owner, MEMBERS, { first: 2 }));
    // Wake-ups of the changes above may still be on their way.
    expect(statements.filter((statement) => !statement.includes("pg_notify"))).toHaveLength(2);
    expect(result.members.edges.map(({ node }: { node: object }) => node)).toMatchObject([
      {
        email: members[1]!.email,
        principal: { kind: "USER", displayName: "Mo Operator" },
        roles: [{ key: "operator" }],
        status: "SUSPENDED",
      },
      { email: members[0]!.email, roles: [{ key: "viewer" }], status: "ACTIVE" },
    ]);
    const next = await expectData(schema, tenant.owner, MEMBERS, { after: result.members.pageInfo.endCursor });
    expect(next.members).toMatchObject({
      edges: [{ node: { email: tenant.ownerEmail } }],
      pageInfo: { hasNextPage: false },
    });
  });

  it("are not shown to another tenant, nor without member:read, nor for a cursor of nothing", async () => {
    const [mine, other] = [await givenTenant(), await givenTenant()];
    await givenMember("viewer", other);
    expect((await expectData(schema, mine.owner, MEMBERS)).members.edges).toHaveLength(1);
    expect(await expectRefusal(schema, { ...mine.owner, permissions: new Set(["run:read"]) }, MEMBERS)).toMatchObject({
      code: "FORBIDDEN",
    });
    expect(await expectRefusal(schema, mine.owner, MEMBERS, { after: "bm9uc2Vuc2U" })).toMatchObject({
      reason: "CURSOR_INVALID",
    });
  });

  it("are given other roles, suspended, let in again and removed by operations", async () => {
    const tenant = await givenTenant();
    const { caller } = await givenMember("viewer", tenant);
    const memberId = memberIdOf(caller);
    const ask = (operation: string, variables: object = {}) =>
      expectData(schema, tenant.owner, operation, { memberId, ...variables });
    expect(await ask(SET_ROLES, { roles: ["operator", "partner"] })).toEqual({
      setMemberRoles: { id: memberId, roles: [{ key: "operator" }, { key: "partner" }] },
    });
    expect(await ask(SET_STATUS, { status: "SUSPENDED" })).toEqual({
      setMemberStatus: { id: memberId, status: "SUSPENDED" },
    });
    expect(await ask(SET_STATUS, { status: "ACTIVE" })).toMatchObject({ setMemberStatus: { status: "ACTIVE" } });
    expect(await ask(REMOVE)).toEqual({
      removeMember: { id: encodeId("Principal", caller.principalId), displayName: "Mo Viewer" },
    });
    expect(await expectRefusal(schema, tenant.owner, REMOVE, { memberId })).toMatchObject({
      code: "NOT_FOUND",
      reason: "IDENTITY_MEMBER_NOT_FOUND",
    });
  });

  it("cannot raise themselves or others above what they hold, nor leave the tenant without an owner", async () => {
    const tenant = await givenTenant();
    const [admin, viewer] = [await givenMember("admin", tenant), await givenMember("viewer", tenant)];
    const notHeld = { code: "FORBIDDEN", reason: "IDENTITY_PERMISSION_NOT_HELD" };
    for (const { caller } of [admin, viewer])
      expect(
        await expectRefusal(schema, admin.caller, SET_ROLES, { memberId: memberIdOf(caller), roles: ["owner"] }),
      ).toMatchObject(notHeld);
    const memberId = memberIdOf(tenant.owner);
    for (const [operation, variables] of [
      [SET_ROLES, { roles: [] }],
      [SET_STATUS, { status: "SUSPENDED" }],
      [REMOVE, {}],
    ] as const) {
      expect(await expectRefusal(schema, admin.caller, operation, { memberId, ...variables })).toMatchObject(notHeld);
      expect(await expectRefusal(schema, tenant.owner, operation, { memberId, ...variables })).toMatchObject({
        code: "CONFLICT",
        reason: "IDENTITY_LAST_OWNER",
      });
    }
    expect(
      await expectRefusal(schema, tenant.owner, SET_ROLES, { memberId: memberIdOf(viewer.caller), roles: ["emperor"] }),
    ).toMatchObject({ code: "BAD_USER_INPUT", reason: "IDENTITY_ROLE_UNKNOWN" });
    expect(await findActiveMembership(tenant, viewer.caller.principalId)).toMatchObject({ roles: ["viewer"] });
  });

  it("are not changed by who lacks member:manage, nor by another tenant", async () => {
    const [tenant, other] = [await givenTenant(), await givenTenant()];
    const [operator, viewer] = [await givenMember("operator", tenant), await givenMember("viewer", tenant)];
    const memberId = memberIdOf(viewer.caller);
    for (const [operation, variables] of [
      [SET_ROLES, { roles: [] }],
      [SET_STATUS, { status: "SUSPENDED" }],
      [REMOVE, {}],
    ] as const) {
      const asked = { memberId, ...variables };
      expect(await expectRefusal(schema, operator.caller, operation, asked)).toMatchObject({ code: "FORBIDDEN" });
      expect(await expectRefusal(schema, other.owner, operation, asked)).toMatchObject({ code: "NOT_FOUND" });
    }
    expect(await findActiveMembership(tenant, viewer.caller.principalId)).toMatchObject({ roles: ["viewer"] });
  });
});
